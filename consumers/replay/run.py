"""The loop of a replay: poll a batch of lines, apply each command, write its events; then the next batch."""

import asyncio
import gc
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

import structlog

from consumers.command_log import CommandLog, Line, LogUnreadable
from consumers.dead_letters.line import DeadLetter
from consumers.progress import InputProgress
from consumers.replay.outcome import FAILED, REFUSED, Stop
from consumers.replay.outputs import Outputs
from consumers.replay.tally import Tally
from engine.venue import Venue
from schemas.commands import Command
from schemas.envelope import Event
from schemas.wire import RECORD_BYTES_MAX, WireError, decode_command, encode

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

# Money is added up as often as was asked for. Comparing books and indexes with a full scan costs ten times as much.
_CONSISTENCY_EVERY: Final = 1_000

log = structlog.get_logger()


class Observer(Protocol):
    """Something else that wants to see what passes, in order."""

    def genesis(self, events: list[Event]) -> None: ...
    def applied(self, command: Command, events: list[Event]) -> None: ...
    def dead_letter(self, letter: DeadLetter) -> None: ...


class Replay:
    """One run over a command log. Use it once."""

    def __init__(
        self,
        commands: CommandLog,
        venue: Venue,
        outputs: Outputs,
        tally: Tally,
        progress: InputProgress,
        *,
        strict: bool,
        check_every: int | None,
        observer: Observer | None,
    ) -> None:
        self._commands = commands
        self._venue = venue
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
        genesis = self._venue.genesis()
        self._take(genesis)
        if self._observer is not None:
            self._observer.genesis(genesis)
        while True:
            try:
                batch = await asyncio.to_thread(self._commands.poll)
            except LogUnreadable as failure:
                return Stop("log_unreadable", failure.message, REFUSED)
            if not batch:
                return None
            stop = self._apply_batch(batch)
            self._outputs.flush()
            self._progress.advance(self._commands.bytes_read, self._tally.commands)
            if stop is not None:
                return stop
            if self._signal is not None:
                return Stop.by_signal(self._signal, f"{self._reached}, {self._tally.commands:,} commands applied")

    def _apply_batch(self, batch: list[Line]) -> Stop | None:
        for line in batch:
            stop = self._apply_line(line)
            if stop is not None:
                return stop
        self._reached = f"after {batch[-1].place}"
        return None

    def _apply_line(self, line: Line) -> Stop | None:
        try:
            if line.length > RECORD_BYTES_MAX:
                raise WireError("too_large", f"record: expected at most {RECORD_BYTES_MAX} bytes, got {line.length}")
            command = decode_command(line.raw)
        except WireError as error:
            return self._bury(DeadLetter.of(line, error))
        try:
            events = self._venue.apply(command)
        except Exception as error:  # noqa: BLE001 — whatever it is, the state is in doubt and the run ends here
            return self._failed(line, error)
        self._tally.command(command)
        self._take(events)
        if self._observer is not None:
            self._observer.applied(command, events)
        if self._check_every is not None and self._tally.commands % self._check_every == 0:
            try:
                self._venue.check()
                if self._tally.commands >= self._consistency_due:
                    self._venue.check_consistency()
                    self._consistency_due = self._tally.commands + _CONSISTENCY_EVERY
            except AssertionError as error:
                return Stop("invariant_broken", f"{line.place}: invariant broken after this command: {error}", FAILED)
        return None

    def _take(self, events: list[Event]) -> None:
        for event in events:
            self._tally.event(event)
            self._outputs.event(encode(event))

    def _bury(self, letter: DeadLetter) -> Stop | None:
        self._tally.dead_letter(letter.code)
        self._outputs.dead_letter(letter)
        if self._observer is not None:
            self._observer.dead_letter(letter)
        if self._strict:
            return Stop("dead_letter", f"{letter.line.place}: {letter.code}: {letter.reason}", REFUSED)
        return None

    def _failed(self, line: Line, error: Exception) -> Stop:
        log.info("replay.failed", at=line.place, traceback=traceback.format_exc())
        kind = "invariant broken" if isinstance(error, AssertionError) else type(error).__name__
        reason = f"{line.place}: {kind} while this command was applied: {error}"
        return Stop("failed", reason, FAILED)

    def _broken_at_the_end(self, *, complete: bool) -> Stop | None:
        """A run that did not conserve its money must not pass for a good one, whatever else was asked for."""
        if self._check_every is not None:
            try:
                self._venue.check()
                self._venue.check_consistency()
            except AssertionError as error:
                return Stop("invariant_broken", f"invariant broken at the end of the run: {error}", FAILED, complete)
        for asset, residual in self._venue.residuals().items():
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
