"""One instance of a stream's service, from its start to its end.

Every instance begins as a follower of the journal. It leads once the journal has been silent for long enough: a plain
start refuses to wait for that, a standby does nothing else. To lead is, in this order: fence whoever led before, read
the journal to its now unchangeable end, go on from the positions in it.
"""

import asyncio
import contextlib
import gc
import signal
import time
from typing import Any, Final, NamedTuple

import structlog

from consumers.kafka.connection import KafkaUnreachable, client_options, reachable
from consumers.kafka.follower import Follower
from consumers.kafka.inputs import InputLost, InputReader
from consumers.kafka.journal_reader import Undecided
from consumers.kafka.output import CommitInDoubt, Fenced, Output
from consumers.kafka.recovery import begin_to_follow
from consumers.kafka.settings import ServiceConfig
from consumers.service.checkpoints import BeyondTheJournal, Schedule
from consumers.service.exits import Exit, leave
from consumers.service.journal import Header, JournalError
from consumers.service.loop import Leader, Pace
from consumers.service.observer import Observer
from consumers.service.sequencing import Poisoned, Sequencer
from consumers.service.stream import WRITTEN, Input, Stream
from consumers.service.tidying import Tidier
from consumers.snapshots.errors import StoreFailure
from consumers.snapshots.store import SnapshotStore
from engine.sequence import BrokenStream
from schemas.config_change import list_changes

COOL_DOWN_SECONDS: Final = 10.0
"""For how long an instance that was replaced leaves its successor alone."""

REACH_SECONDS: Final = 30.0
"""For how long a start waits for a broker to answer."""

TICK_SECONDS: Final = 1.0
"""Idleness after which a leader lets time pass."""

log = structlog.get_logger()


class Refused(RuntimeError):
    """This instance must not or cannot lead: says why, and what to do."""


class Launch(NamedTuple):
    """What one start is told: who it is, by which code, with which config, and how it may come to lead."""

    instance: str
    code: str
    config_text: str
    standby: bool
    takeover: bool
    quarantined: frozenset[str]


class Service:
    """A stream's service. `run` returns the exit code of an orderly end; anything else ends the process on the spot."""

    def __init__(
        self, stream: Stream, settings: ServiceConfig, store: SnapshotStore, launch: Launch, observer: Observer
    ) -> None:
        self._stream = stream
        self._settings = settings
        self._store = store
        self._options: dict[str, Any] = client_options(settings)
        self._prefix = settings.kafka.topic_prefix
        self._launch = launch
        self._observer = observer
        self._given = stream.config
        self._cluster = ""
        self._found: frozenset[Input] = frozenset()
        self._stopping = asyncio.Event()
        self._tidier = Tidier()
        self._leader: Leader[InputReader] | None = None

    async def run(self) -> Exit:
        """Follow, lead when it is time, stop when asked to. Raises UsageFailure where Kafka cannot be used at all."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        self._cluster = await self._reach()
        stream = self._stream.name
        self._tidier.begin()
        try:
            follower = await self._follow()
            if follower is not None:
                await self._lead(follower)
        except Fenced as error:
            leave(Exit.FENCED, "fenced", stream=stream, reason=str(error))
        except (CommitInDoubt, Undecided) as error:
            leave(Exit.IN_DOUBT, "in_doubt", stream=stream, reason=str(error))
        except Refused as error:
            leave(Exit.REFUSED, "refused", stream=stream, reason=str(error))
        except Poisoned as error:
            leave(Exit.FAILED, "poisoned", stream=stream, at=error.arrival.place, reason=str(error))
        except (JournalError, InputLost, BrokenStream, BeyondTheJournal, StoreFailure) as error:
            leave(Exit.FAILED, "cannot_continue", stream=stream, reason=str(error))
        except Exception as error:  # noqa: BLE001 -- whatever it is, memory is in doubt and the process ends here
            leave(Exit.FAILED, "failed", stream=stream, reason=f"{type(error).__name__}: {error}", exc_info=True)
        return Exit.STOPPED

    async def _reach(self) -> str:
        """Find everything there; where nobody answers, ask again for a while. The id of the cluster."""
        end = time.monotonic() + REACH_SECONDS
        stream = self._stream
        partitions = [(source.topic, source.partition) for source in stream.inputs]
        partitions += [(topic, stream.partition) for topic in WRITTEN[stream.kind] if topic != "decisions"]
        while True:
            try:
                cluster = await reachable(self._settings, tuple(sorted({topic for topic, _ in partitions})))
                for topic, partition in partitions:
                    cluster.check(self._prefix + topic, partition)
                self._found = frozenset(stream.inputs)
                return cluster.id
            except KafkaUnreachable as failure:
                if not failure.may_pass or self._stopping.is_set() or time.monotonic() >= end:
                    raise
                log.warning("kafka_unreachable", stream=self._stream.name, reason=failure.message)
            await asyncio.sleep(1)

    def _stop(self) -> None:
        self._stopping.set()
        self._observer.became("stopping")
        if self._leader is not None:
            self._leader.stop()

    async def _follow(self) -> Follower | None:
        """Follow the journal until this instance may lead; None when it was told to stop before."""
        launch, snapshots, store = self._launch, self._settings.snapshots, self._store
        follower = await begin_to_follow(self._stream, self._settings, self._options, self._cluster, store, launch.code)
        self._stream = stream = follower.replica.stream
        schedule = Schedule(store, snapshots.every.seconds, snapshots.every_commands, self._observer.snapshot_taken)
        self._observer.following(follower)
        await follower.catch_up()
        gc.freeze()
        self._observer.became("standby")
        log.info("caught_up", stream=stream.name, applied=follower.replica.applied, records=follower.records)
        self._check_config()
        silence = self._settings.service.silence.seconds
        while not self._stopping.is_set():
            self._observer.turned()
            heard = await follower.follow()
            if not follower.replica.has_begun and not launch.standby:
                return follower  # nobody has ever led
            await schedule.look(follower.replica, follower.journal, follower.next_offset, follower.epoch)
            self._tidier.look()
            if follower.silence >= silence and follower.may_take_over(launch.instance, COOL_DOWN_SECONDS):
                return follower
            if heard and not launch.standby:
                if launch.takeover:
                    return follower
                raise Refused(
                    f"instance {follower.tenure.instance} of this stream is alive; start with --standby to wait for "
                    "its end, or with --takeover to replace it"
                )
        await schedule.finish()
        await follower.reader.stop()
        return None

    def _check_config(self) -> None:
        """The config file must say what the journal ends with: what it says otherwise is not so, and would mislead."""
        differing = [change.setting for change in list_changes(self._stream.config, self._given)]
        if differing:
            raise Refused(
                f"the config file and the journal differ in {', '.join(differing[:5])}"
                + (f" and {len(differing) - 5} more" if len(differing) > 5 else "")
                + "; 'backstop config diff' shows how, 'backstop config apply' makes it so"
            )

    async def _lead(self, follower: Follower) -> None:
        stream, replica, launch, terms = self._stream, follower.replica, self._launch, self._settings.service
        output = Output(
            self._options,
            transactional_id=f"{self._prefix}{stream.name}",
            prefix=self._prefix,
            transaction_timeout=terms.transaction_timeout.seconds,
            commit_deadline=terms.commit_deadline.seconds,
        )
        self._observer.became("taking_over")
        await output.start()
        await follower.reader.until_decided(2 * terms.transaction_timeout.seconds)
        await follower.catch_up()
        await follower.reader.stop()
        header = Header(
            stream=stream.name,
            first=0,
            last=0,
            chain="",
            config="",
            code=launch.code,
            cluster=self._cluster,
            instance=launch.instance,
            epoch=output.epoch,
        )
        wake = asyncio.Event()

        async def open_source(source: Input) -> InputReader:
            if source not in self._found:  # another shard was added since
                cluster = await reachable(self._settings, (source.topic,))
                cluster.check(self._prefix + source.topic, source.partition)
            reader = InputReader(source, self._options, self._prefix, terms.cap(source.topic), wake)
            await reader.start(replica.next.get(source.name), replica.seen.get(source.name))
            return reader

        self._leader = leader = Leader(
            Sequencer(replica, header, ahead_max=terms.ts_ahead.ms * 1_000, quarantined=launch.quarantined),
            stream,
            output,
            open_source=open_source,
            pace=Pace(terms.heartbeat.seconds, TICK_SECONDS if terms.clock_ticks else None),
            wake=wake,
            observer=self._observer,
            tidier=self._tidier,
        )
        await leader.connect()
        self._observer.leading(replica, leader.sources, output.epoch)
        log.info("leading", stream=stream.name, applied=replica.applied, epoch=output.epoch, instance=launch.instance)
        gc.freeze()
        if not replica.has_begun:
            await leader.commit_genesis(launch.config_text)
        if self._stopping.is_set():
            leader.stop()
        await leader.run()
        log.info("stopped", stream=stream.name, applied=replica.applied)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(terms.commit_deadline.seconds):
                await leader.stop_sources()
                await output.stop()
