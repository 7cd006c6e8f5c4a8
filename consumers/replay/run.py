"""The loop of a replay: poll a batch of lines, apply each, write what it caused; then the next batch."""

import asyncio
import gc
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

from consumers.command_log import Line, LogUnreadable
from consumers.dead_letters.line import DeadLetter
from consumers.progress import InputProgress
from consumers.replay.feed import Applied, Feed, Machines, Stopped
from consumers.replay.outcome import FAILED, REFUSED, Stop
from consumers.replay.outputs import Outputs
from consumers.replay.tally import Tally
from consumers.service.stream import Message
from schemas.envelope import Event

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

# Money is added up as often as was asked for. Comparing books and indexes with a full scan costs ten times as much.
_CONSISTENCY_EVERY: Final = 1_000


class Observer(Protocol):
    """Something else that wants to see what passes, in order."""

    def genesis(self, events: Sequence[Event]) -> None: ...
    def applied(self, command: Message, events: Sequence[Event]) -> None: ...
    def dead_letter(self, letter: DeadLetter) -> None: ...


class Replay:
    """One run over a command log or a journal. Use it once."""

    def __init__(
        self,
        feed: Feed,
        machines: Machines,
        outputs: Outputs,
        tally: Tally,
        progress: InputProgress,
        *,
        strict: bool,
        check_every: int | None,
        observer: Observer | None,
    ) -> None:
        self._feed = feed
        self._machines = machines
        self._outputs = outputs
        self._tally = tally
        self._progress = progress
        self._strict = strict
        self._check_every = check_every
        self._observer = observer
        self._consistency_due = 0
        self._signal: int | None = None
        self._reached = "before the first line"

    async def run(self) -> Stop | None:
        """Apply the log to its end, or to where something stops it; then prove what was left of the money."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._remember_signal, loop, number)
        try:
            with _without_garbage_collector():
                stop = await self._loop()
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)
        if stop is not None and stop.exit_code == FAILED:
            return stop
        return self._broken_at_the_end(complete=stop is None) or stop

    def _remember_signal(self, loop: asyncio.AbstractEventLoop, number: int) -> None:
        """Stop after the current batch. A second signal finds its default action again, which ends the process."""
        self._signal = number
        for each in _SIGNALS:
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)

    async def _loop(self) -> Stop | None:
        genesis = self._feed.begin()
        if genesis is not None:
            self._take(genesis)
        while True:
            try:
                batch = await asyncio.to_thread(self._feed.poll)
            except LogUnreadable as failure:
                return Stop("log_unreadable", failure.message, REFUSED)
            try:
                if not batch:
                    self._feed.end()
                    return None
                stop = self._play(batch)
            except Stopped as stopped:
                stop = stopped.stop
            self._outputs.flush()
            self._progress.advance(self._feed.bytes_read, self._tally.commands)
            if stop is not None:
                return stop
            if self._signal is not None:
                return Stop.by_signal(self._signal, f"{self._reached}, {self._tally.commands:,} commands applied")

    def _play(self, batch: list[Line]) -> Stop | None:
        for line in batch:
            for done in self._feed.play(line):
                stop = self._bury(done) if isinstance(done, DeadLetter) else self._take(done)
                if stop is not None:
                    return stop
        self._reached = f"after {batch[-1].place}"
        return None

    def _take(self, applied: Applied) -> Stop | None:
        place, message, events, encoded = applied
        for event in events:
            self._tally.event(event)
        for line in encoded:
            self._outputs.event(line)
        if message is None:
            if self._observer is not None:
                self._observer.genesis(events)
            return None
        self._tally.command(message)
        if self._observer is not None:
            self._observer.applied(message, events)
        if self._check_every is not None and self._tally.commands % self._check_every == 0:
            try:
                self._machines.check()
                if self._tally.commands >= self._consistency_due:
                    self._machines.check_consistency()
                    self._consistency_due = self._tally.commands + _CONSISTENCY_EVERY
            except AssertionError as error:
                return Stop("invariant_broken", f"{place}: invariant broken after this command: {error}", FAILED)
        return None

    def _bury(self, letter: DeadLetter) -> Stop | None:
        self._tally.dead_letter(letter.code)
        self._outputs.dead_letter(letter)
        if self._observer is not None:
            self._observer.dead_letter(letter)
        if self._strict:
            return Stop("dead_letter", f"{letter.line.place}: {letter.code}: {letter.reason}", REFUSED)
        return None

    def _broken_at_the_end(self, *, complete: bool) -> Stop | None:
        """A run that did not conserve its money must not pass for a good one, whatever else was asked for."""
        if self._check_every is not None:
            try:
                self._machines.check()
                self._machines.check_consistency()
            except AssertionError as error:
                return Stop("invariant_broken", f"invariant broken at the end of the run: {error}", FAILED, complete)
        for asset, residual in self._machines.residuals().items():
            if residual.strip("-0."):
                return Stop(
                    "not_conserved", f"{asset} is not conserved: {residual} at the end of the run", FAILED, complete
                )
        return None


@contextmanager
def _without_garbage_collector() -> Iterator[None]:
    """The state makes no reference cycles, so the collector would only walk an ever larger heap for nothing."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
