"""Who there is: makers, takers, leveraged traders, and what each brings.

Sizes are in quote terms: a stake is a number of lots' worth at the first price, never less than a few lots,
so the population fits any market's grid.
"""

from dataclasses import dataclass
from typing import Final

from consumers.generate.account import BUY, SELL, Account
from consumers.generate.dice import Dice
from consumers.generate.scenarios import Crowd
from consumers.generate.terms import Terms

ACCOUNTS_MIN: Final = 10

_MAKER_PERCENT: Final = 2
_MAKERS_MIN: Final = 4
_TAKER_PERCENT: Final = 25

_STAKE_BASE: Final = 400
"""In whole units of the asset: the small end of what an account brings."""

_STAKE_OCTAVES: Final = 9
"""The large end is 2^9 times the small end: 400 to 204,800, the median 800."""

_STAKE_LOTS_MIN: Final = 4
"""Nobody comes with less than the margin for so many lots."""

TAKER_LEVERAGE: Final = ((1, 40), (2, 40), (3, 20))

MAKER_LEVERAGE: Final = 2
"""Low, so that a maker's inventory survives any path that the market itself survives."""

MAKER_DISTANCES: Final = (500, 700, 1_000, 1_500, 2_200, 3_200, 4_700, 6_800, 10_000, 15_000, 22_000, 32_000)
"""How far from the mark makers begin to quote, in ppm: together they are the ladder of the book."""

_STOP_PERCENT: Final = 25

_DEPOSIT_LIMIT: Final = 1 << 62
"""Amounts on the wire stay below 2^63 units; the whole population stays below half of it."""


@dataclass(slots=True)
class Maker:
    """Quotes both sides of the book.

    `distance` (ppm) is where its quotes begin, `level_lots` what a level holds in quiet times, `nerve` the
    stress, in percent of a normal market's speed, at which it leaves. While `quoting`, `reference` is the
    price it quoted around and `orders` what it laid out, buys and sells in turn from the innermost level on.
    """

    account: Account
    distance: int
    levels: int
    level_lots: int
    nerve: int
    quoting: bool = False
    reference: int = 0
    orders: tuple[str, ...] = ()


@dataclass(slots=True)
class Taker:
    """Trades small amounts both ways at low leverage; `lots` is the signed position it believes to have."""

    account: Account
    leverage: int
    order_lots: int
    lots_max: int
    lots: int = 0


@dataclass(slots=True)
class Trader:
    """Holds leveraged positions of one direction, one at a time.

    What it believes of its position: `lots`, `entry_value` and `margin` in units, `liquidation` and `stop`
    prices in ticks (0: none), the open take-profit order. A position with no lots has none of these.
    """

    account: Account
    side: int
    leverage: int
    stake: int
    stops: bool
    lots: int = 0
    entry_value: int = 0
    margin: int = 0
    liquidation: int = 0
    stop: int = 0
    profit_order: str = ""
    profit_price: int = 0
    resting: bool = False


@dataclass(frozen=True, slots=True)
class Population:
    """Everybody, in the order in which they arrive."""

    makers: tuple[Maker, ...]
    takers: tuple[Taker, ...]
    traders: tuple[Trader, ...]
    stakes: tuple[tuple[Account, int, int], ...]
    """(account, deposit in units, leverage) of each account."""


def populate(terms: Terms, crowd: Crowd, *, accounts: int, price: int, dice: Dice) -> Population:
    """Draw the population that trades from `price` (ticks) on."""
    makers_count = max(_MAKERS_MIN, accounts * _MAKER_PERCENT // 100)
    takers_count = accounts * _TAKER_PERCENT // 100
    traders_count = accounts - makers_count - takers_count
    lot_value = terms.spec.value(price, 1)
    stake_limit = _DEPOSIT_LIMIT // (4 * accounts)
    stakes: list[tuple[Account, int, int]] = []

    def stake(leverage: int) -> int:
        amount = dice.heavy_tailed(_STAKE_BASE * 10**terms.spec.asset.decimals, _STAKE_OCTAVES)
        return min(stake_limit, max(amount, _STAKE_LOTS_MIN * lot_value // leverage))

    takers: list[Taker] = []
    for i in range(takers_count):
        leverage = min(terms.leverage_max, dice.weighted(TAKER_LEVERAGE))
        account, amount = Account(f"taker-{i + 1:05}", terms), stake(leverage)
        power = terms.lots_worth(min(amount * leverage, terms.notional_max(leverage)), price)
        takers.append(Taker(account, leverage, max(1, power // 10), power // 2))
        stakes.append((account, amount, leverage))

    longs = (traders_count * crowd.long_percent + 50) // 100
    traders: list[Trader] = []
    power_total = 0
    for i in range(traders_count):
        side = BUY if i < longs else SELL
        number = i + 1 if i < longs else i - longs + 1
        leverage = min(terms.leverage_max, dice.weighted(crowd.leverages))
        account = Account(f"{'long' if side == BUY else 'short'}-{number:05}", terms)
        amount = stake(leverage)
        traders.append(Trader(account, side, leverage, amount, dice.percent(_STOP_PERCENT)))
        stakes.append((account, amount, leverage))
        power_total += min(amount * leverage, terms.notional_max(leverage))

    makers = _makers(terms, makers_count, traders_count, power_total, price, dice)
    leverage = min(terms.leverage_max, MAKER_LEVERAGE)
    # Deep pockets: all makers together carry three times what the traders could open in one direction.
    pocket = min(stake_limit, 3 * power_total // (makers_count * leverage) + _STAKE_LOTS_MIN * lot_value)
    stakes = [(maker.account, pocket, leverage) for maker in makers] + stakes
    return Population(tuple(makers), tuple(takers), tuple(traders), tuple(stakes))


def _makers(terms: Terms, makers: int, traders: int, power_total: int, price: int, dice: Dice) -> list[Maker]:
    """Spread over the distances, inner ones with few small levels, outer ones with more and larger."""
    # Some times the mean order of a leveraged trader, who opens with about half of what it could.
    mean_order = max(1, terms.lots_worth(power_total // (2 * traders), price))
    made: list[Maker] = []
    for i in range(makers):
        rung = i * len(MAKER_DISTANCES) // makers
        levels = 1 if rung < 4 else 2 if rung < 8 else 4
        lots = mean_order * (4 + rung) * dice.between(75, 125) // 200
        nerve = dice.between(100, 600)
        account = Account(f"maker-{i + 1:05}", terms)
        made.append(Maker(account, MAKER_DISTANCES[rung], levels, max(1, lots), nerve))
    return made
