"""Which partition a command goes to: that of the stream it is for, which every producer has to know."""

from engine.fund_commands import FundCommand
from schemas.commands import (
    AccountCancelAfter,
    AccountDeposit,
    AccountWithdraw,
    ClockTick,
    Command,
    ConfigSet,
    OrderCancelAll,
)
from schemas.config import VenueConfig
from schemas.partitions import stream_partitions


class NoRoute(ValueError):
    """A command that names nothing of the venue, so that no stream is to get it."""


class Routes:
    """The partitions of a venue's streams, by what commands name."""

    def __init__(self, config: VenueConfig) -> None:
        self._streams = stream_partitions(config)
        self._of_market = {name: self._streams[f"engine:{market.shard}"] for name, market in config.markets.items()}
        self._of_shard = {name: self._streams[f"engine:{name}"] for name in config.shards}
        self._of_fund = {name: self._streams[f"settlement:{fund.asset}"] for name, fund in config.funds.items()}

    def partitions(self, command: Command) -> list[int]:
        """Where a command goes; a clock tick to every stream. Raises NoRoute."""
        if isinstance(command, ClockTick):
            return sorted(self._streams.values())
        if isinstance(command, ConfigSet):
            raise NoRoute("config.set goes to all streams in a certain order: use 'backstop config apply'")
        if isinstance(command, FundCommand):
            return [_look_up(self._of_fund, "fund", command.fund)]
        if isinstance(command, AccountDeposit | AccountWithdraw | AccountCancelAfter | OrderCancelAll):
            return [_look_up(self._of_shard, "shard", command.shard)]
        market: str = command.market  # type: ignore[attr-defined]  # all others have one
        return [_look_up(self._of_market, "market", market)]


def _look_up(table: dict[str, int], what: str, name: str) -> int:
    if name not in table:
        raise NoRoute(f"{what}: the config has no {name}; it has {', '.join(table)}")
    return table[name]
