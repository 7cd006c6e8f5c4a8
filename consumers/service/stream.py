"""The streams of a venue: what each state machine reads, in which rank, and where it writes.

A stream is `engine:<shard>` or `settlement:<asset>`: one state machine, one process, and on every topic it writes a
partition that nobody else writes to.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final, Literal, NamedTuple, Protocol

import msgspec

from engine.settlement import Settlement
from engine.shard import Shard
from engine.spec import VenueSpec, compile_venue
from schemas.claims import AnyClaim, AnyDecision, Claim, Decision
from schemas.commands import Command, OutsideCommand
from schemas.config import ConfigError, VenueConfig
from schemas.envelope import Event

Message = Command | Claim | Decision


class Machine(Protocol):
    """A deterministic state machine. `applied` is the number of the last input that it took."""

    @property
    def stream(self) -> str: ...
    @property
    def applied(self) -> int: ...
    def genesis(self) -> list[Event]: ...
    def apply(self, record: Any, /) -> list[Event]: ...
    def state_hash(self) -> str: ...


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
    """One stream of a venue config and its machine, at genesis.

    `inputs` are in the order of their rank: of one batch, all of the first comes before all of the next. What others
    decided comes first, so that no question stays open longer than need be; then what operators say; then prices, so
    that an order is judged at the newest mark that is known; orders come last.
    """

    def __init__(
        self,
        machine: Machine,
        config: VenueConfig,
        partition: int,
        inputs: tuple[Input, ...],
        partition_of: Callable[[Event], int],
        decoder: msgspec.json.Decoder[Message],
    ) -> None:
        self.machine = machine
        self.name = machine.stream
        self.config_hash = config_hash(config)
        self.partition = partition
        self.inputs = inputs
        self.partition_of = partition_of
        self.decode: Final = decoder.decode


_engine_decoder: Final[msgspec.json.Decoder[Message]] = msgspec.json.Decoder(OutsideCommand | AnyDecision)
_settlement_decoder: Final[msgspec.json.Decoder[Message]] = msgspec.json.Decoder(OutsideCommand | AnyClaim)


def config_hash(config: VenueConfig) -> str:
    """SHA-256 over what a config file comes to, whatever its layout."""
    return sha256(msgspec.json.encode(config)).hexdigest()


def stream_names(config: VenueConfig) -> list[str]:
    """All streams of a venue."""
    return [*(f"engine:{shard}" for shard in config.shards), *(f"settlement:{asset}" for asset in config.assets)]


def open_stream(config: VenueConfig, name: str) -> Stream:
    """The stream of that name at its genesis. Raises ConfigError where the venue has no such stream."""
    venue = compile_venue(config)
    partitions = _partitions(config)
    kind, _, of = name.partition(":")
    if kind == "engine" and of in venue.shards:
        return _open_engine(config, venue, of, partitions)
    if kind == "settlement" and of in venue.assets:
        return _open_settlement(config, venue, of, partitions)
    raise ConfigError(f"the config has no stream {name}; it has {', '.join(stream_names(config))}")


def _partitions(config: VenueConfig) -> dict[str, int]:
    numbers = {f"engine:{name}": shard.partition for name, shard in config.shards.items()}
    first = max(numbers.values()) + 1
    return numbers | {f"settlement:{name}": first + n for n, name in enumerate(config.assets)}


def _open_engine(config: VenueConfig, venue: VenueSpec, shard: str, partitions: dict[str, int]) -> Stream:
    spec = venue.shards[shard]
    partition = partitions[f"engine:{shard}"]
    inputs = (
        Input("decisions", partition, "decisions"),
        Input("admin", partition),
        Input("mark-prices", partition),
        Input("accounts", partition),
        Input("orders", partition),
    )
    return Stream(Shard(spec), config, partition, inputs, lambda _: partition, _engine_decoder)


def _open_settlement(config: VenueConfig, venue: VenueSpec, asset: str, partitions: dict[str, int]) -> Stream:
    spec = venue.assets[asset]
    partition = partitions[f"settlement:{asset}"]
    shards = {
        shard.name: partitions[f"engine:{shard.name}"] for shard in venue.shards.values() if shard.asset.name == asset
    }
    inputs = (
        *(Input("liquidations", number, "claims") for number in sorted(shards.values())),
        Input("admin", partition),
        Input("fund-admin", partition),
    )

    def partition_of(event: Event) -> int:
        return shards[event.shard] if isinstance(event, Decision) else partition

    return Stream(Settlement(venue, spec), config, partition, inputs, partition_of, _settlement_decoder)
