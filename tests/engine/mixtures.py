"""Random histories over three markets, both contracts and margin modes, made for cross accounts that come to grief.

Small accounts carry as much as they may beside a few rich ones whose orders fill theirs. Marks jump, losing positions
are closed while profits elsewhere carry the wallet below zero, modes are switched in between.
"""

import random
from collections.abc import Iterator
from typing import Any

SECOND = 1_000_000
MARKETS = ("A", "B", "C")
POOR = tuple(f"p{i}" for i in range(5))
RICH = ("r0", "r1", "r2")

_TIERS = {
    "linear": (
        '[{ up_to = "100000", initial = "0.01", maintenance = "0.005" }]',
        """[{ up_to = "2000", initial = "0.01", maintenance = "0.005" },
            { up_to = "8000", initial = "0.02", maintenance = "0.01" },
            { up_to = "80000", initial = "0.05", maintenance = "0.025" }]""",
    ),
    "inverse": (
        '[{ up_to = "100", initial = "0.01", maintenance = "0.005" }]',
        """[{ up_to = "2", initial = "0.01", maintenance = "0.005" },
            { up_to = "8", initial = "0.02", maintenance = "0.01" },
            { up_to = "80", initial = "0.05", maintenance = "0.025" }]""",
    ),
}


def mixed_venue(seed: int) -> str:
    """The TOML of a venue with three markets of one contract, in which the rest differs; a function of its seed."""
    rng = random.Random(seed)
    contract = rng.choice(["linear", "linear", "inverse"])
    opening = rng.choice(["0", "0", "5", "1000"])
    markets = "".join(
        f"""
        [markets.{name}]
        shard = "s"
        fund = "f"
        contract = "{contract}"
        tick = "0.1"
        lot = "{"1" if contract == "inverse" else "0.001"}"
        default_mode = "{rng.choice(["cross", "cross", "cross", "isolated"])}"
        default_leverage = "{rng.choice([20, 50, 100])}"
        maker_fee = "{rng.choice(["0", "0.0002", "-0.0001"])}"
        taker_fee = "{rng.choice(["0.0001", "0.0005"])}"
        liquidation_fee = "{rng.choice(["0", "0.002"])}"
        surplus = "{rng.choice(["fund", "account"])}"
        partial = "{rng.choice(["none", "tier"])}"
        tiers = {rng.choice(_TIERS[contract])}
        """
        for name in MARKETS
    )
    return f"""
        [assets.X]
        decimals = {rng.choice([3, 8]) if contract == "inverse" else rng.choice([4, 6])}
        [limits]
        liquidations_per_command = {rng.choice([1, 2, 200])}
        max_fills_per_order = {rng.choice([3, 1000])}
        [funds.f]
        asset = "X"
        opening = "{opening}"
        takeover_slippage = "{rng.choice(["0", "0.01"])}"
        [shards.s]
        asset = "X"
        position_detail = true
        {markets}"""


class Mixture:
    """An endless stream of commands as dictionaries, a function of its seed alone."""

    def __init__(self, seed: int, contract: str) -> None:
        self._rng = random.Random(seed)
        self._inverse = contract == "inverse"
        self._now = 1_700_000_000 * SECOND
        self._prices = dict.fromkeys(MARKETS, 10_000)  # in ticks of 0.1
        self._ids = 0
        self._orders: list[tuple[str, str, str]] = []

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for market in MARKETS:
            yield self._stamp({"type": "price.mark", "market": market, "price": "1000.0"})
        for account in POOR:
            yield self._transfer("account.deposit", account, self._rng.choice([30, 100, 300]))
        for account in RICH:
            yield self._transfer("account.deposit", account, 1_000_000)
        while True:
            yield self._next()

    def _next(self) -> dict[str, Any]:
        roll, rng = self._rng.random(), self._rng
        market = rng.choice(MARKETS)
        if roll < 0.30:
            return self._order(market, rng.choice(RICH))
        if roll < 0.62:
            return self._order(market, rng.choice(POOR))
        if roll < 0.66 and self._orders:
            market, account, order_id = rng.choice(self._orders[-60:])
            return self._stamp({"type": "order.cancel", "market": market, "account": account, "order_id": order_id})
        if roll < 0.87:
            return self._mark(market)
        account = rng.choice(POOR if rng.random() < 0.8 else RICH)
        if roll < 0.90:
            leverage = rng.choice(["2.5", "20", "33.3", "50", "100"])
            return self._stamp({"type": "account.leverage", "market": market, "account": account, "leverage": leverage})
        if roll < 0.925:
            mode = rng.choice(["cross", "cross", "isolated"])
            return self._stamp({"type": "account.margin_mode", "market": market, "account": account, "mode": mode})
        if roll < 0.96:
            return self._transfer("account.deposit", account, rng.choice([5, 100, 300]))
        if roll < 0.975:
            return self._transfer("account.withdraw", account, rng.choice([1, 10, 50]))
        if roll < 0.985:
            amount = rng.choice(["", "-"]) + self._amount(rng.choice([1, 5, 30]))
            return self._stamp({"type": "account.margin", "market": market, "account": account, "amount": amount})
        if roll < 0.99:
            return self._stamp({"type": "order.cancel_all", "shard": "s", "account": account})
        if roll < 0.995:
            self._now += rng.choice([1, 60, 700, 30_000]) * SECOND
            return self._stamp({"type": "clock.tick"})
        return self._stamp(
            {
                "type": "fund.deposit",
                "fund": "f",
                "amount": self._amount(rng.choice([1, 100])),
                "kind": "injection",
                "transfer_id": self._id("f"),
            }
        )

    def _mark(self, market: str) -> dict[str, Any]:
        step = self._rng.choice([1, 5, 20, 60, 100, 400, 1500])
        price = max(50, self._prices[market] + self._rng.randrange(-step, step + 1))
        self._prices[market] = price if price < 30_000 else 10_000
        return self._stamp({"type": "price.mark", "market": market, "price": self._ticks(self._prices[market])})

    def _order(self, market: str, account: str) -> dict[str, Any]:
        rng = self._rng
        lots = rng.choice([7, 50, 333, 1000, 2000, 6000])
        command: dict[str, Any] = {
            "type": "order.new",
            "market": market,
            "account": account,
            "order_id": self._id("o"),
            "side": rng.choice(["buy", "sell"]),
            "qty": str(lots) if self._inverse else f"{lots / 1000:.3f}",
            "stp": rng.choice(["cancel_taker", "cancel_maker", "cancel_both"]),
            "reduce_only": account in POOR and rng.random() < 0.2,
        }
        if account in POOR and rng.random() < 0.5:
            command |= {"kind": "market", "tif": rng.choice(["gtc", "ioc", "fok"])}
        else:
            away = rng.choice([0, 1, 3, 10, 50, 300])
            price = max(1, self._prices[market] + rng.randrange(-away, away + 1))
            command |= {
                "kind": "limit",
                "price": self._ticks(price),
                "tif": rng.choice(["gtc", "gtc", "gtc", "ioc", "fok"]),
            }
        if rng.random() < 0.04:
            away = rng.randrange(1, 150)
            rises = rng.random() < 0.5
            command["trigger_price"] = self._ticks(max(1, self._prices[market] + (away if rises else -away)))
            command["trigger_when"] = "rises_to" if rises else "falls_to"
            command["trigger_by"] = rng.choice(["mark", "last"])
        self._orders.append((market, account, command["order_id"]))
        return self._stamp(command)

    def _transfer(self, type_: str, account: str, amount: int) -> dict[str, Any]:
        transfer = {"shard": "s", "account": account, "amount": self._amount(amount), "transfer_id": self._id("t")}
        return self._stamp({"type": type_, **transfer})

    def _amount(self, amount: int) -> str:
        """An amount that matters in the markets' notionals: an inverse lot is worth about 0.001."""
        if self._inverse:
            return f"{amount // 1000}.{amount % 1000:03}"
        return f"{amount}.{self._rng.randrange(10**4):04}"

    def _id(self, letter: str) -> str:
        self._ids += 1
        return f"{letter}{self._ids}"

    def _stamp(self, command: dict[str, Any]) -> dict[str, Any]:
        self._now += self._rng.randrange(0, 2 * SECOND)
        return {**command, "ts": self._now}

    @staticmethod
    def _ticks(ticks: int) -> str:
        return f"{ticks // 10}.{ticks % 10}"
