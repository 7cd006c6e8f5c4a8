"""One market of a shard: its book, mark price, positions, trigger index and unsettled residuals."""

from typing import TYPE_CHECKING

from engine.book import Book
from engine.position import Position
from engine.purse import Purse
from engine.residual import Residual
from engine.spec import MarketSpec
from engine.stops import MarketStops
from engine.triggers import TriggerIndex
from schemas.events import AdlLight

if TYPE_CHECKING:
    from engine.adl_queue import AdlQueue
    from engine.funding import FundingRound


class Market:
    """The state of one market.

    `mark` and `cheapest_mark`, at which a lot was worth least, are in ticks, 0 before the first mark price; `marks`
    counts them. `stale` are the positions that changed since the last mark and are indexed anew at the next.
    `adl_queues` are those of its sides that have been ranked under this mark, by sign. `realised` is
    the PnL that each account realised since the last reconciliation; the next is at `period_end`. `clearing` holds
    minus the signed entry values, `suspense` the balances of residuals, `deficit` what is missing after a last resort,
    as a negative balance. `funding` is the round of funding payments that runs, if one does; `fundings` counts them,
    and `funding_purse` holds what was paid and not received yet. `lights` are ADL lights that are not published yet,
    reckoned at `lights_of`; the next are due at `lights_at`. `largest_notional` is the largest end of a last tier that
    held before the tiers of now, 0 if none did: what positions may have been opened within.
    """

    __slots__ = (
        "adl_queues",
        "book",
        "cheapest_mark",
        "clearing",
        "deficit",
        "funding",
        "funding_purse",
        "fundings",
        "largest_notional",
        "lights",
        "lights_at",
        "lights_of",
        "mark",
        "marks",
        "period_end",
        "positions",
        "realised",
        "residuals",
        "shard_name",
        "spec",
        "stale",
        "stops",
        "suspense",
        "trades",
        "triggers",
    )

    def __init__(self, shard_name: str, spec: MarketSpec) -> None:
        self.shard_name = shard_name
        self.spec = spec
        self.book = Book()
        self.mark = 0
        self.cheapest_mark = 0
        self.marks = 0
        self.trades = 0
        self.positions: dict[str, Position] = {}
        self.triggers = TriggerIndex()
        self.stops = MarketStops()
        self.stale: list[Position] = []
        self.adl_queues: dict[int, AdlQueue] = {}
        self.realised: dict[str, int] = {}
        self.residuals: dict[str, Residual] = {}
        self.clearing = Purse(f"{shard_name}/clearing/{spec.name}")
        self.suspense = Purse(f"{shard_name}/suspense/{spec.name}")
        self.deficit = Purse(f"{shard_name}/deficit/{spec.name}")
        self.funding: FundingRound | None = None
        self.fundings = 0
        self.funding_purse = Purse(f"{shard_name}/funding/{spec.name}")
        self.period_end = 0
        self.lights: list[AdlLight] = []
        self.lights_at = 0
        self.lights_of = 0
        self.largest_notional = 0

    def opposing(self, side: int) -> list[Position]:
        """The open positions against a quantity of this side, in the order in which they first appeared."""
        return [position for position in self.positions.values() if position.sign == -side]
