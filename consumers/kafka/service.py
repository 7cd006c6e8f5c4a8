"""One instance of a stream's service, from its start to its end.

Every instance begins as a follower of the journal. It leads once the journal has been silent for long enough: a plain
start refuses to wait for that, a standby does nothing else. To lead is, in this order: fence whoever led before, read
the journal to its now unchangeable end, go on from the positions in it.
"""

import asyncio
import contextlib
import gc
import signal
from collections.abc import Mapping
from typing import Any, NamedTuple

import structlog
from aiokafka.admin import AIOKafkaAdminClient

from consumers.kafka.follower import Follower
from consumers.kafka.inputs import InputLost, InputReader
from consumers.kafka.journal_reader import JournalReader
from consumers.kafka.output import CommitInDoubt, Fenced, Output
from consumers.service.exits import Exit, leave
from consumers.service.journal import Header, JournalError
from consumers.service.loop import Leader, Pace
from consumers.service.observer import Observer
from consumers.service.publication import HeaderStyle, Publisher
from consumers.service.replica import Replica
from consumers.service.sequencing import Poisoned, Sequencer
from consumers.service.stream import Stream
from engine.sequence import BrokenStream

log = structlog.get_logger()


class Refused(RuntimeError):
    """This instance must not or cannot lead: says why, and what to do."""


class Terms(NamedTuple):
    """How an instance runs. Durations in seconds, but for `ahead_max` in µs."""

    options: Mapping[str, Any]
    prefix: str
    instance: str
    code: str
    config_text: str
    headers: HeaderStyle
    caps: Mapping[str, int]
    pace: Pace
    silence: float
    cool_down: float
    commit_deadline: float
    transaction_timeout: float
    ahead_max: int
    quarantined: frozenset[str]
    standby: bool
    takeover: bool


class Service:
    """A stream's service. `run` returns the exit code of an orderly end; anything else ends the process on the spot."""

    def __init__(self, stream: Stream, terms: Terms, observer: Observer) -> None:
        self._stream = stream
        self._terms = terms
        self._observer = observer
        self._stopping = asyncio.Event()
        self._leader: Leader | None = None

    async def run(self) -> Exit:
        """Follow, lead when it is time, stop when asked to."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        try:
            follower = await self._follow()
            if follower is not None:
                await self._lead(follower)
        except Fenced as error:
            leave(Exit.FENCED, "fenced", stream=self._stream.name, reason=str(error))
        except CommitInDoubt as error:
            leave(Exit.IN_DOUBT, "commit_in_doubt", stream=self._stream.name, reason=str(error))
        except Refused as error:
            leave(Exit.REFUSED, "refused", stream=self._stream.name, reason=str(error))
        except Poisoned as error:
            arrival = error.arrival
            leave(
                Exit.FAILED,
                "poisoned",
                stream=self._stream.name,
                topic=arrival.topic,
                partition=arrival.partition,
                offset=arrival.offset,
                reason=str(error),
            )
        except (JournalError, InputLost, BrokenStream) as error:
            leave(Exit.FAILED, "cannot_continue", stream=self._stream.name, reason=str(error))
        return Exit.STOPPED

    def _stop(self) -> None:
        self._stopping.set()
        self._observer.became("stopping")
        if self._leader is not None:
            self._leader.stop()

    async def _follow(self) -> Follower | None:
        """Follow the journal until this instance may lead; None when it was told to stop before."""
        terms, stream = self._terms, self._stream
        publisher = Publisher(stream.name, stream.partition_of, terms.headers)
        reader = JournalReader(terms.options, terms.prefix, stream.partition)
        follower = Follower(Replica(stream, publisher, terms.code), reader)
        self._observer.following(follower)
        await reader.start()
        await follower.catch_up()
        self._observer.became("standby")
        log.info("caught_up", stream=stream.name, applied=follower.replica.applied, records=follower.records)
        while not self._stopping.is_set():
            self._observer.turned()
            count = await follower.follow()
            if not follower.records:
                return follower  # nobody has ever led
            if follower.silence >= terms.silence and follower.may_take_over(terms.instance, terms.cool_down):
                return follower
            if count and not terms.standby:
                if terms.takeover:
                    return follower
                raise Refused(
                    f"instance {follower.tenure.instance} of this stream is alive; start with --standby to wait for "
                    "its end, or with --takeover to replace it"
                )
        await reader.stop()
        return None

    async def _lead(self, follower: Follower) -> None:
        terms, stream, replica = self._terms, self._stream, follower.replica
        output = Output(
            terms.options,
            transactional_id=f"{terms.prefix}{stream.name}",
            prefix=terms.prefix,
            transaction_timeout_ms=int(terms.transaction_timeout * 1_000),
            commit_deadline=terms.commit_deadline,
        )
        self._observer.became("taking_over")
        await output.start()
        await follower.catch_up()
        await follower.reader.stop()
        header = Header(
            stream=stream.name,
            first=0,
            last=0,
            chain="",
            config=stream.config_hash,
            code=terms.code,
            cluster=await _cluster_id(terms.options),
            instance=terms.instance,
            epoch=output.epoch,
        )
        wake = asyncio.Event()
        sources = [
            InputReader(source, terms.options, terms.prefix, terms.caps.get(source.topic, 1_000), wake)
            for source in stream.inputs
        ]
        await asyncio.gather(
            *(each.start(replica.next.get(each.source.name), replica.seen.get(each.source.name)) for each in sources)
        )
        sequencer = Sequencer(replica, header, ahead_max=terms.ahead_max, quarantined=terms.quarantined)
        self._leader = Leader(
            sequencer,
            sources,
            output,
            stream.partition,
            pace=terms.pace,
            wake=wake,
            observer=self._observer,
        )
        self._observer.leading(replica, sources, output.epoch)
        log.info("leading", stream=stream.name, applied=replica.applied, epoch=output.epoch, instance=terms.instance)
        gc.collect()
        gc.freeze()
        gc.disable()
        if not replica.has_begun:
            await self._leader.commit_genesis(terms.config_text)
        await self._leader.run()
        log.info("stopped", stream=stream.name, applied=replica.applied)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(terms.commit_deadline):
                await asyncio.gather(*(each.stop() for each in sources))
                await output.stop()


async def _cluster_id(options: Mapping[str, Any]) -> str:
    admin = AIOKafkaAdminClient(**options)
    await admin.start()
    try:
        return str((await admin.describe_cluster())["cluster_id"])
    finally:
        await admin.close()
