"""The proof of one stream: its journal is replayed, and what it causes is compared with what stands in the topics."""

from collections.abc import Mapping
from typing import NamedTuple

from consumers.service.journal import JournalError
from consumers.service.publication import Publisher
from consumers.service.replica import Replica, Step
from consumers.service.stream import Stream
from consumers.verify.crossings import Arrived, Ends, Sent, money_in, receiver_of
from consumers.verify.evidence import Evidence, Journal, JournalRecord, Tapes
from consumers.verify.inputs import ReadInputs, open_inputs
from consumers.verify.outputs import RecordedEvents
from consumers.verify.verdict import Findings, StreamVerdict, TooManyFindings
from engine.conservation import InvariantBroken, settlement_residual, shard_residual
from engine.settlement import Settlement
from engine.shard import Shard
from engine.spec import AssetSpec
from schemas.claims import Claim, Decision
from schemas.config import VenueConfig


class Balance(NamedTuple):
    """The money of one machine at the end of its journal as it was first seen, in units.

    `transit` is what its purses between engine and settlement hold; `flow` what the messages that it sent carried, less
    those that it took.
    """

    asset: AssetSpec
    residual: int
    transit: int
    flow: int


class _Compared(NamedTuple):
    """What the replay is compared with; with files only, there are no inputs and no tapes."""

    outputs: RecordedEvents
    inputs: ReadInputs | None
    tapes: Tapes | None


class StreamProof:
    """Proves one stream. Use it once.

    `settlement` is the stream of the settlement of its asset; `arrived` what stands in the journals of the receivers.
    """

    def __init__(
        self, stream: Stream, settlement: str, publisher: Publisher, code: str, arrived: Mapping[Ends, Arrived]
    ) -> None:
        self.verdict = StreamVerdict(stream.name)
        self.balance: Balance | None = None
        self._stream = stream
        self._settlement = settlement
        self._replica = Replica(stream, publisher, code)
        self._findings = Findings(stream.name, self.verdict.findings)
        self._asset = (
            stream.machine.asset if isinstance(stream.machine, Settlement) else _engine(stream).state.spec.asset
        )
        self._flow = 0
        self.sent = {
            ends: Sent(ends, there, self._findings) for ends, there in arrived.items() if ends[0] == stream.name
        }

    @property
    def config(self) -> VenueConfig:
        """The config as the changes in the journal have left it."""
        return self._stream.config

    async def run(self, evidence: Evidence, journal: Journal) -> None:
        """Look at everything, up to where too much is wrong."""
        tapes = Tapes(evidence) if evidence.has_topics else None
        outputs = RecordedEvents(self._stream, tapes, self._findings)
        try:
            inputs = None if tapes is None else await open_inputs(self._stream, tapes, self._findings)
            compared = _Compared(outputs, inputs, tapes)
            try:
                while (record := await journal.next()) is not None:
                    await self._follow(record, compared)
                self._note_balance()
                await self._finish(journal, compared)
            except JournalError as error:
                self._end_with(str(error))
            except TooManyFindings:
                pass
            self._count(compared)
        finally:
            if tapes is not None:
                await tapes.close()

    async def _follow(self, journalled: JournalRecord, compared: _Compared) -> None:
        record, where = journalled
        steps = self._replica.steps(record, where)
        while True:
            try:
                step = next(steps, None)
            except JournalError:
                raise
            except Exception as error:
                raise JournalError(f"{where}: {type(error).__name__} while its inputs were applied: {error}") from error
            if step is None:
                break
            await self._compare(step, compared.outputs)
        if compared.inputs is not None:
            await compared.inputs.account(record, where)
        self.verdict.records += 1

    async def _compare(self, step: Step, outputs: RecordedEvents) -> None:
        if isinstance(step.message, Claim | Decision):
            self._flow -= money_in(step.message, self._units)
        for event, outgoing in zip(step.events, step.published, strict=True):
            if isinstance(event, Claim | Decision):
                self._flow += money_in(event, self._units)
                ends = (self._stream.name, receiver_of(event, self._settlement))
                if ends not in self.sent:
                    self.sent[ends] = Sent(ends, Arrived(), self._findings)
                self.sent[ends].add(event)
            await outputs.compare(event, outgoing)
            self.verdict.events += 1

    async def _finish(self, journal: Journal, compared: _Compared) -> None:
        """What was committed while we looked may be in a topic already, and in the journal only a moment later."""
        outputs, inputs, tapes = compared
        if tapes is not None:
            await tapes.fix_ends()
        journal.extend()
        while await self._is_behind(outputs, inputs):
            record = await journal.next()
            if record is None:
                break
            await self._follow(record, compared)
        await outputs.finish()
        if inputs is not None:
            await inputs.finish()
        for sent in self.sent.values():
            sent.finish()

    async def _is_behind(self, outputs: RecordedEvents, inputs: ReadInputs | None) -> bool:
        return (
            any(sent.is_behind for sent in self.sent.values())
            or await outputs.is_behind()
            or (inputs is not None and await inputs.is_behind())
        )

    def _note_balance(self) -> None:
        machine = self._stream.machine
        if isinstance(machine, Settlement):
            residual = settlement_residual(machine)
            transit = sum(shard.transit.balance for shard in machine.shards.values())
        else:
            try:
                residual = shard_residual(_engine(self._stream))
            except InvariantBroken as error:
                self._findings.add("conservation", "the end of the journal", "all invariants to hold", error)
                return
            transit = _engine(self._stream).state.transit.balance
        self.balance = Balance(self._asset, residual, transit, self._flow)
        text = self._asset.text
        if residual:
            self._findings.add("conservation", "the end of the journal", f"residual {text(0)}", text(residual))
        if transit != self._flow:
            expected = f"{text(self._flow)} moved to the other machines, as the messages say"
            self._findings.add("conservation", "the end of the journal", expected, text(transit))

    def _count(self, compared: _Compared) -> None:
        verdict, (outputs, inputs, _) = self.verdict, compared
        verdict.inputs = self._replica.applied
        verdict.chain = self._replica.chain.hex()
        verdict.state_hash = self._stream.machine.state_hash()
        verdict.partitions = {f"{topic}/{number}": count for (topic, number), count in outputs.matched.items() if count}
        verdict.unverifiable = outputs.unverifiable
        if inputs is not None:
            verdict.dead_letters = inputs.dead_letters
            verdict.passed_over = inputs.passed_over
            verdict.unverifiable += inputs.unverifiable

    def _end_with(self, reason: str) -> None:
        try:
            self._findings.add("journal", "the replay", "a journal that follows from itself", reason)
        except TooManyFindings:
            return

    def _units(self, text: str) -> int:
        amount = self._asset.parse(text)
        assert amount is not None, text  # or the machine had not taken it
        return amount


def _engine(stream: Stream) -> Shard:
    assert isinstance(stream.machine, Shard)
    return stream.machine
