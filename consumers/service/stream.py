"""The streams of a venue: what each state machine reads, in which rank, and where it writes.

A stream is `engine:<shard>` or `settlement:<asset>`: one state machine, one process, and on every topic it writes a
partition that nobody else writes to.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, Protocol

import msgspec

from consumers.snapshots import snapshot
from engine.settlement import Settlement
from engine.shard import Shard
from engine.spec import VenueSpec, compile_venue
from schemas.claims import AnyClaim, AnyDecision, Claim, Decision
from schemas.commands import Command, OutsideCommand
from schemas.config import ConfigError, VenueConfig, config_hash
from schemas.envelope import Event
from schemas.partitions import stream_partitions

Message = Command | Claim | Decision

WRITTEN: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "engine": frozenset({"executions", "positions", "liquidations", "adl", "ledger", "journal", "dead-letters"}),
        "settlement": frozenset({"decisions", "settlements", "executions", "ledger", "journal", "dead-letters"}),
    }
)
"""The topics that each kind of stream writes."""


class Machine(snapshot.Machine, Protocol):
    """A deterministic state machine. `applied` is the number of the last input that it took."""

    @property
    def applied(self) -> int: ...
    def genesis(self) -> list[Event]: ...
    def apply(self, record: Any, /) -> list[Event]: ...


class Input(NamedTuple):
    """A partition that a stream reads. What comes from `outside` may be anything; the others are our own."""

    topic: str
    partition: int
    source: Literal["outside", "claims", "decisions"] = "outside"

    @property
    def name(self) -> str:
        """How the journal names it."""
        return f"{self.topic}/{self.partition}"


class Stream:
    """A state machine, and how the config of the moment connects it.

    `inputs` are in the order of their rank: of one poll, all of the first comes before all of the next. What operators
    say comes first, so that no claim of a new market comes before the market; then what the other service says, so that
    no question stays open longer than need be; then prices, so that an order is judged at the newest mark that is
    known; then money, so that orders find it; orders come last.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.name = machine.stream
        self.kind, _, self._of = self.name.partition(":")
        decoder = _engine_decoder if self.kind == "engine" else _settlement_decoder
        self.decode: Final = decoder.decode
        self.connect()

    def connect(self) -> None:
        """Go by the config of the moment, which may have brought another shard."""
        self.config = config = self.machine.config
        self.config_hash = config_hash(config)
        self._partitions = partitions = stream_partitions(config)
        self.partition = partitions[self.name]
        if self.kind == "engine":
            self.inputs = _engine_inputs(self.partition)
        else:
            shards = [name for name, shard in config.shards.items() if shard.asset == self._of]
            self.inputs = _settlement_inputs(self.partition, sorted(partitions[f"engine:{name}"] for name in shards))

    def partition_of(self, event: Event) -> int:
        """Where an event of this stream goes: to its own partition, but a decision to that of the shard it is for."""
        return self._partitions[f"engine:{event.shard}"] if isinstance(event, Decision) else self.partition


_engine_decoder: Final[msgspec.json.Decoder[Message]] = msgspec.json.Decoder(OutsideCommand | AnyDecision)
_settlement_decoder: Final[msgspec.json.Decoder[Message]] = msgspec.json.Decoder(OutsideCommand | AnyClaim)


def stream_names(config: VenueConfig) -> list[str]:
    """All streams of a venue."""
    return [*(f"engine:{shard}" for shard in config.shards), *(f"settlement:{asset}" for asset in config.assets)]


def open_stream(config: VenueConfig, name: str) -> Stream:
    """The stream of that name at its genesis. Raises ConfigError where the venue has no such stream."""
    return Stream(_machine(compile_venue(config), name))


def _machine(venue: VenueSpec, name: str) -> Machine:
    kind, _, of = name.partition(":")
    if kind == "engine" and of in venue.shards:
        return Shard(venue.shards[of])
    if kind == "settlement" and of in venue.assets:
        return Settlement(venue, venue.assets[of])
    known = [*(f"engine:{shard}" for shard in venue.shards), *(f"settlement:{asset}" for asset in venue.assets)]
    raise ConfigError(f"the config has no stream {name}; it has {', '.join(known)}")


def _engine_inputs(partition: int) -> tuple[Input, ...]:
    return (
        Input("admin", partition),
        Input("decisions", partition, "decisions"),
        Input("mark-prices", partition),
        Input("accounts", partition),
        Input("orders", partition),
    )


def _settlement_inputs(partition: int, shards: list[int]) -> tuple[Input, ...]:
    return (
        Input("admin", partition),
        *(Input("liquidations", shard, "claims") for shard in shards),
        Input("fund-admin", partition),
    )
