"""What one shard knows: plain lists and dictionaries, and nothing that could be found by looking."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

from schemas.claims import Claim
from schemas.commands import OrderNew
from schemas.events import AdlLight
from schemas.fields import MarginMode, PositionSide
from tests.reference.exact import LIMIT, floor
from tests.reference.rules import MarketRules, ShardRules, duration
from tests.reference.stream import Memory, Refused, Stream

if TYPE_CHECKING:
    from tests.reference.funding import Round

SIDES: dict[int, PositionSide] = {1: "long", 0: "flat", -1: "short"}


@dataclass
class Parcel:
    """A quantity with a value: after j of its n lots, floor(value × j ÷ n) has left."""

    lots: int = 0
    value: int = 0
    start_lots: int = 0
    start_value: int = 0

    def grow(self, lots: int, value: int) -> None:
        """Add, and count the parts anew."""
        self.lots = self.start_lots = self.lots + lots
        self.value = self.start_value = self.value + value

    def share(self, lots: int) -> int:
        """What the next `lots` take along."""
        gone_before = self.start_value - self.value
        gone_after = floor(Fraction(self.start_value * (self.start_lots - self.lots + lots), self.start_lots))
        return self.value if lots == self.lots else gone_after - gone_before


@dataclass(eq=False)
class Order:
    """An order at rest. `cost` is fixed when it is accepted.

    `shown` is what of it may trade at its `place` in the queue; an iceberg order shows at most `display` at a time.
    """

    account: str
    market: str
    order_id: str
    sign: int
    price: int
    lots: int
    cost: int
    reduce_only: bool
    post_only: bool
    stp: str
    expire_at: int
    display: int | None
    shown: int
    place: int = 0


@dataclass(eq=False)
class Stop:
    """An order that waits for its price; `rises` +1, or −1 where it waits for a fall."""

    account: str
    market: str
    order_id: str
    command: OrderNew
    trigger: int
    rises: int
    lots: int
    has_come: bool = False


@dataclass(eq=False)
class Position:
    """An account's stake in a market. Its margin is a balance of the ledger, its orders are in the market's list."""

    account: str
    market: str
    leverage: Fraction
    mode: str
    sign: int = 0
    parcel: Parcel = field(default_factory=Parcel)
    reduced_at: int = -1
    realised: int = 0


@dataclass(eq=False)
class Residual:
    """What a liquidation order did not fill: in suspense, in a fund's hands, or ADL's work."""

    liquidation_id: str
    side: int
    parcel: Parcel
    round: int = 0
    is_open: bool = False
    fund: str | None = None
    budget: int = 0
    loss: int = 0
    taken_over_at: int = 0
    slice_lots: int = 0
    next_slice_at: int = 0
    traded_lots: int = 0
    traded_value: int = 0
    pnl: int = 0
    adl_lots: int = 0
    balance: int = 0
    socialised: int = 0


@dataclass(eq=False)
class Account:
    """A trader. `left_residual`: a position of the liquidation that runs went to settlement."""

    name: str
    cancel_at: int = 0
    left_residual: bool = False


def mode_of(position: Position) -> MarginMode:
    """The word for how it is margined."""
    return "cross" if position.mode == "cross" else "isolated"


class Market:
    """One market; `orders` and `stops` in the order in which they came to rest."""

    def __init__(self, rules: MarketRules) -> None:
        self.rules = rules
        self.mark = 0
        self.marks = 0
        self.trades = 0
        self.orders: list[Order] = []
        self.stops: list[Stop] = []
        self.residuals: list[Residual] = []
        self.realised: dict[str, int] = {}
        self.period_end = 0
        self.fundings = 0
        self.places = 0
        self.lights_at = 0
        self.lights_of = 0
        self.lights: list[AdlLight] = []

    @property
    def name(self) -> str:
        """Its name."""
        return self.rules.name

    def value_at_mark(self, lots: int) -> int:
        """What so many lots are worth now."""
        return self.rules.value(self.mark, lots)


class Shard:
    """The state of one shard.

    `queue` holds who waits to be liquidated: an account and the market of its isolated position, or "" for the
    account's cross positions. `rounds` are fundings that run, by market, in the order in which they began; `payers`
    have paid and may be due by it. `prints` are trades that stop orders have not been compared with yet.
    """

    def __init__(self, rules: ShardRules) -> None:
        self.rules = rules
        self.stream = Stream(f"engine:{rules.name}", rules.asset)
        self.accounts: dict[str, Account] = {}
        self.markets = {name: Market(market) for name, market in rules.markets.items()}
        self.positions: dict[tuple[str, str], Position] = {}
        self.queue: list[tuple[str, str]] = []
        self.timers: list[tuple[int, str, str, str]] = []
        self.triggered: list[tuple[Stop, int]] = []
        self.prints: list[tuple[str, int]] = []
        self.fee_shares: dict[str, int] = {}
        self.touched: list[Position] = []
        self.touched_accounts: list[str] = []
        self.transfers = Memory(duration(rules.limits.transfer_memory))
        self.closed_ids = Memory(duration(rules.limits.closed_order_memory))
        self.claims = 0
        self.decisions = 0
        self.liquidations = 0
        self.marks = 0
        self.rounds: dict[str, Round] = {}
        self.met: list[str] = []
        self.payers: list[Position] = []
        self.funding_left = 0
        self.liquidations_left = 0
        self.stops_left = 0

    # --- money -------------------------------------------------------------------------------------------------

    def purse(self, *names: str) -> str:
        """A balance of this shard by its name in the ledger."""
        return "/".join((self.rules.name, *names))

    @property
    def transit(self) -> str:
        """What is on its way to settlement."""
        return f"transit/{self.rules.name}"

    def wallet(self, account: str) -> int:
        """What an account has outside isolated positions."""
        return self.stream.balances[self.purse("wallet", account)]

    def margin(self, position: Position) -> int:
        """M of an isolated position."""
        return self.stream.balances[self.purse("margin", position.market, position.account)]

    # --- finding -----------------------------------------------------------------------------------------------

    def position(self, account: str, market: str) -> Position:
        """The account's stake in the market; one that never was is flat."""
        rules = self.markets[market].rules
        fresh = Position(account, market, rules.default_leverage, rules.default_mode)
        return self.positions.get((account, market), fresh)

    def register(self, position: Position) -> None:
        """Remember it: from the first accepted command on, and in that order."""
        self.positions.setdefault((position.account, position.market), position)

    def market_of(self, position: Position | Order | Stop) -> Market:
        """The market it is in."""
        return self.markets[position.market]

    def open_positions(self, account: str | None = None, market: str | None = None) -> list[Position]:
        """All that are not flat, by account and market name."""
        return [
            position
            for key, position in sorted(self.positions.items())
            if position.sign and account in (None, key[0]) and market in (None, key[1])
        ]

    def orders_of(self, position: Position) -> list[Order]:
        """Its open orders, the oldest first."""
        return [order for order in self.market_of(position).orders if order.account == position.account]

    def stops_of(self, position: Position) -> list[Stop]:
        """Its stop orders, the oldest first."""
        return [stop for stop in self.market_of(position).stops if stop.account == position.account]

    def is_waiting(self, account: str) -> bool:
        """Whether a liquidation of the account waits for its turn."""
        return any(name == account for name, _ in self.queue)

    def open_questions(self) -> int:
        """How many residuals settlement has been asked about and has not answered."""
        return sum(residual.is_open for market in self.markets.values() for residual in market.residuals)

    # --- publishing --------------------------------------------------------------------------------------------

    def claim(self, event: Claim) -> None:
        """Publish what settlement acts on."""
        self.claims += 1
        event.claim = self.claims
        self.stream.emit(event)

    def touch(self, position: Position) -> None:
        """Publish the position at the end of the command."""
        if position not in self.touched:
            self.touched.append(position)

    def touch_account(self, name: str) -> None:
        """Publish the wallet at the end of the command."""
        if name not in self.touched_accounts:
            self.touched_accounts.append(name)

    def realise(self, position: Position, amount: int) -> None:
        """Count PnL in the command and in the market's reconciliation period."""
        realised = self.market_of(position).realised
        position.realised += amount
        realised[position.account] = realised.get(position.account, 0) + amount

    def residuals(self) -> Iterator[tuple[Market, Residual]]:
        """All residuals with their markets."""
        for market in self.markets.values():
            for residual in market.residuals:
                yield market, residual


def find_market(shard: Shard, name: str) -> Market:
    """Raises Refused."""
    if name not in shard.markets:
        venue = shard.rules.venue
        raise Refused("wrong_shard" if venue is not None and name in venue.shard_of_market else "unknown_market")
    return shard.markets[name]


def find_account(shard: Shard, name: str) -> Account:
    """Raises Refused."""
    if name not in shard.accounts:
        raise Refused("unknown_account")
    return shard.accounts[name]


def refuse_halted(market: Market) -> None:
    """Raises Refused while nothing is matched."""
    if market.rules.is_halted:
        raise Refused("market_halted")


def refuse_waiting(shard: Shard, account: str) -> None:
    """Raises Refused while a liquidation of the account waits."""
    if shard.is_waiting(account):
        raise Refused("in_liquidation")


def refuse_other_shard(shard: Shard, name: str) -> None:
    """Raises Refused."""
    if name != shard.rules.name:
        raise Refused("wrong_shard")


def parse_ticks(rules: MarketRules, text: str) -> int:
    """A price in ticks. Raises Refused."""
    ticks = Fraction(text) / rules.tick
    if ticks.denominator != 1:
        raise Refused("off_tick")
    if ticks >= LIMIT:
        raise Refused("amount_too_large")
    return int(ticks)


def parse_lots(rules: MarketRules, text: str) -> int:
    """A quantity in lots. Raises Refused."""
    lots = Fraction(text) / rules.lot
    if lots.denominator != 1:
        raise Refused("off_lot")
    return int(lots)
