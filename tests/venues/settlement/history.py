"""An example as a venue and a command log."""

from collections.abc import Iterable
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import Any

import orjson

from tests.venues.published import places
from tests.venues.settlement.published import AdlExample, Example, FundExample, SocialisedExample, Stake

SECOND = 1_000_000
HOUSE, TRADER, CARRIER = "house", "trader", "carrier"
RATE = Decimal("1e-9")
"""The finest rate there is."""

ROUNDING_OF_VALUES = 10 * RATE
"""What an inverse position may be due later by than exact numbers say."""

DECIMALS = 9
"""Of the asset, where the example does not say."""

WHOLE = "999999999"
"""The one risk tier ends above everything."""


class History:
    """Commands, one a second."""

    def __init__(self) -> None:
        self.commands: list[dict[str, Any]] = []

    def lines(self) -> bytes:
        """The command log."""
        return b"".join(orjson.dumps(command) + b"\n" for command in self.commands)

    def send(self, type_: str, **fields: Any) -> None:
        """A command."""
        now = 1_767_225_600 + len(self.commands)
        self.commands.append({"type": type_, "ts": now * SECOND, **fields})

    def deposit(self, account: str, amount: Decimal) -> None:
        """Money for an account."""
        transfer_id = f"t{len(self.commands)}"
        self.send("account.deposit", shard="s", account=account, amount=_text(amount), transfer_id=transfer_id)

    def mark(self, price: str | Decimal) -> None:
        """A mark of the market."""
        self.send("price.mark", market="M", price=_text(Decimal(price)))

    def leverage(self, account: str, leverage: str | Decimal) -> None:
        """The leverage of an account."""
        self.send("account.leverage", market="M", account=account, leverage=_text(Decimal(leverage)))

    def order(self, account: str, side: str, price: str | Decimal, qty: str | Decimal | int) -> None:
        """A limit order."""
        fields = {"market": "M", "account": account, "order_id": f"o{len(self.commands)}", "side": side}
        self.send("order.new", **fields, kind="limit", price=_text(Decimal(price)), qty=_text(Decimal(qty)))

    def open(self, account: str, side: str, price: str | Decimal, qty: str | Decimal | int) -> None:
        """A position at a price, from the house."""
        self.order(HOUSE, "sell" if side == "long" else "buy", price, qty)
        self.order(account, "buy" if side == "long" else "sell", price, qty)


def written(example: Example) -> tuple[str, bytes]:
    """The venue config and the command log."""
    if isinstance(example, FundExample):
        return _fund(example)
    if isinstance(example, AdlExample):
        return _adl(example)
    return _socialised(example)


def _fund(example: FundExample) -> tuple[str, bytes]:
    """The trader opens, the house bids at the fill, the mark goes to the liquidation price and then to the fill."""
    sign = 1 if example.side == "long" else -1
    entry, qty = _entry(example, sign), Decimal(example.qty)
    value = qty * entry if example.contract == "linear" else qty / entry
    margin = _margin(example, entry, value)
    maintenance = _maintenance(example, sign)
    initial = (maintenance * Decimal("1.01")).quantize(RATE, ROUND_UP)
    leverage = (value / margin).quantize(Decimal("1e-3"), ROUND_UP)
    tick = _step(*filter(None, (example.fill, example.liquidation, example.bankruptcy)), f"{entry:f}")

    history = History()
    history.mark(entry)
    for account in (HOUSE, TRADER):
        history.deposit(account, (20 * value).quantize(Decimal(1), ROUND_UP) if account == HOUSE else margin)
    history.leverage(HOUSE, "1")
    history.leverage(TRADER, leverage)
    history.open(TRADER, example.side, entry, qty)
    rest = margin - (value / leverage).quantize(Decimal(1).scaleb(-DECIMALS), ROUND_UP)
    if rest:
        history.send("account.margin", market="M", account=TRADER, amount=_text(rest))
    history.order(HOUSE, "buy" if sign > 0 else "sell", example.fill, qty)
    if example.liquidation is not None:
        history.mark(Decimal(example.liquidation) + sign * tick)
        history.mark(example.liquidation)
    history.mark(example.fill)
    market = {"contract": example.contract, "tick": tick, "lot": _step(example.qty)}
    tier = (f"{initial:f}", f"{maintenance:f}")
    return _venue({"opening": example.opening}, market, tier), history.lines()


def _entry(example: FundExample, sign: int) -> Decimal:
    """Printed or, as far above the liquidation price as that is above the bankruptcy price."""
    if example.entry is not None:
        return Decimal(example.entry)
    assert example.liquidation is not None
    assert example.bankruptcy is not None
    return 2 * Decimal(example.liquidation) - Decimal(example.bankruptcy)


def _margin(example: FundExample, entry: Decimal, value: Decimal) -> Decimal:
    if example.margin is not None:
        return Decimal(example.margin)
    if example.leverage is not None:
        return (value / Decimal(example.leverage)).quantize(Decimal(1).scaleb(-DECIMALS), ROUND_UP)
    assert example.bankruptcy is not None
    qty, bankruptcy = Decimal(example.qty), Decimal(example.bankruptcy)
    lost = qty * bankruptcy if example.contract == "linear" else qty / bankruptcy
    return abs(value - lost).quantize(Decimal(1).scaleb(-DECIMALS), ROUND_DOWN)


def _maintenance(example: FundExample, sign: int) -> Decimal:
    """The rate at which the position is due at its liquidation price, and not before; a small one if there is none."""
    if example.liquidation is None:
        return Decimal("0.001")
    assert example.bankruptcy is not None
    liquidation, bankruptcy = Decimal(example.liquidation), Decimal(example.bankruptcy)
    base = liquidation if example.contract == "linear" else bankruptcy
    rate = (sign * (liquidation - bankruptcy) / base).quantize(RATE, ROUND_UP)
    return rate if example.contract == "linear" else rate + ROUNDING_OF_VALUES


def _adl(example: AdlExample) -> tuple[str, bytes]:
    """Each position from the house at its entry price, the one to be liquidated last; then the marks."""
    multiplier = Decimal(example.multiplier)
    stakes = [*example.opposing, example.liquidated]
    whole = sum(Decimal(stake.qty) * multiplier * Decimal(stake.entry) for stake in stakes)
    opposite = "short" if example.side == "long" else "long"

    history = History()
    history.mark(stakes[0].entry)
    history.deposit(HOUSE, 10 * Decimal(whole))
    history.leverage(HOUSE, "1")
    for stake in stakes:
        history.mark(stake.entry)
        _open(history, stake, example.side if stake is example.liquidated else opposite, multiplier)
    for mark in example.marks:
        history.mark(mark)
    prices = [*example.marks, *(stake.entry for stake in stakes)]
    market = {
        "tick": _step(*prices),
        "lot": _step(*(stake.qty for stake in stakes)),
        "multiplier": example.multiplier,
        "default_mode": example.mode,
    }
    initial = f"{Decimal(example.maintenance) * Decimal('1.01'):f}"
    return _venue({"opening": example.opening}, market, (initial, example.maintenance)), history.lines()


def _open(history: History, stake: Stake, side: str, multiplier: Decimal) -> None:
    value = Decimal(stake.qty) * multiplier * Decimal(stake.entry)
    leverage = Decimal(stake.leverage or 1)
    margin = (value / leverage).quantize(Decimal(1).scaleb(-DECIMALS), ROUND_UP)
    history.deposit(stake.account, margin if stake.wallet is None else Decimal(stake.wallet))
    if stake.leverage is not None:
        history.leverage(stake.account, leverage)
    history.open(stake.account, side, stake.entry, stake.qty)


def _socialised(example: SocialisedExample) -> tuple[str, bytes]:
    """The fund takes a long over, and the mark falls beyond what the fund has and anybody can carry.

    First each winner realises its profit against the house. Then the house sells one lot to the trader, whose whole
    margin is lost at `bankruptcy`. The fund takes it over with all it has as the budget, which the next mark uses up.
    The house buys back from the carrier at `end`; so the carrier is the only one on the other side, and could not pay
    for closing at the bankruptcy price. At the mark of `end` nobody gains, and what the fund took over misses the loss.
    """
    unit = Decimal(1).scaleb(-example.decimals)
    loss, fund = Decimal(example.loss), Decimal(example.opening)
    thousandth = (loss / 400).quantize(unit, ROUND_UP)
    entry, bankruptcy = 1000 * thousandth, 999 * thousandth
    end = bankruptcy - loss
    profits = [Decimal(winner.profit) for winner in example.winners]
    assert sum(profits) >= entry - end, "the house, which gains that, has to stay a loser"

    history = History()
    history.mark(end)
    history.deposit(HOUSE, 10 * (sum(profits) + entry))
    history.leverage(HOUSE, "1")
    for winner, profit in zip(example.winners, profits, strict=True):
        history.deposit(winner.account, 2 * profit)
        history.leverage(winner.account, "1")
        history.mark(2 * profit)
        history.open(winner.account, "long", 2 * profit, 1)
        history.mark(3 * profit)
        history.open(winner.account, "short", 3 * profit, 1)
    history.mark(entry)
    history.deposit(TRADER, thousandth)
    history.leverage(TRADER, "1000")
    history.open(TRADER, "long", entry, 1)
    history.mark(bankruptcy)
    history.mark(bankruptcy - fund)
    history.deposit(CARRIER, loss - fund + (end / 1_000_000).quantize(unit, ROUND_UP))
    history.leverage(CARRIER, "1000000")
    history.open(CARRIER, "short", end, 1)
    history.mark(end)
    settings = {"opening": example.opening, "takeover_slippage": "1"}
    market = {"tick": f"{unit:f}", "lot": "1"}
    return _venue(settings, market, ("0.000001", "0.0000001"), example.decimals), history.lines()


def _venue(fund: dict[str, Any], market: dict[str, Any], tier: tuple[str, str], decimals: int = DECIMALS) -> str:
    up_to = WHOLE if decimals >= DECIMALS else "9" * 12
    return "\n".join(
        [
            f"[assets.A]\ndecimals = {decimals}",
            '[funds.f]\nasset = "A"',
            *_settings(fund),
            '[shards.s]\nasset = "A"',
            '[markets.M]\nshard = "s"\nfund = "f"\ndefault_leverage = "1"',
            *_settings(market),
            f'tiers = [{{ up_to = "{up_to}", initial = "{tier[0]}", maintenance = "{tier[1]}" }}]\n',
        ]
    )


def _settings(table: dict[str, Any]) -> Iterable[str]:
    return (f'{name} = "{value}"' for name, value in table.items())


def _step(*numbers: str) -> Decimal:
    """A grid that holds the numbers."""
    return Decimal(1).scaleb(-max(map(places, numbers)))


def _text(number: Decimal) -> str:
    return f"{number.normalize():f}"
