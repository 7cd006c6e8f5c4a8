"""The number of each stream of a venue: its Kafka partition, on every topic that it reads or writes."""

from collections.abc import Mapping

from schemas.config import AssetConfig, ConfigError, ShardConfig, VenueConfig


def stream_partitions(config: VenueConfig) -> dict[str, int]:
    """The partition of each stream, `engine:<shard>` and `settlement:<asset>`.

    Left out, shards get even numbers and assets odd ones, the first that are free, in the order of the config: so what
    is added to a venue later, behind what is there, moves nobody. Each partition has one writer, so no two streams of
    a venue may have the same: raises ConfigError.
    """
    taken: dict[int, str] = {}
    for kind, table in (("shards", config.shards), ("assets", config.assets)):
        for name, settings in table.items():
            if settings.partition is None:
                continue
            where = f"{kind}.{name}"
            other = taken.setdefault(settings.partition, where)
            if other != where:
                raise ConfigError(f"{where}.partition: expected another than that of {other}, {settings.partition}")
    shards = _numbered(config.shards, taken, 0)
    assets = _numbered(config.assets, taken, 1)
    return {f"engine:{name}": number for name, number in shards.items()} | {
        f"settlement:{name}": number for name, number in assets.items()
    }


def _numbered(
    table: Mapping[str, ShardConfig] | Mapping[str, AssetConfig], taken: dict[int, str], first: int
) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, settings in table.items():
        number = settings.partition
        if number is None:
            while first in taken:
                first += 2
            number = first
            taken[number] = name
        found[name] = number
    return found
