"""Random histories made for cascades: many markets full of positions at high leverage, marks that jump, thin books.

In half of the markets nobody rich trades, so that a jump leaves nobody who could take over what it bankrupts.
"""

import random
from collections.abc import Iterator, Mapping
from typing import Any

SECOND = 1_000_000
POOR = tuple(f"p{number}" for number in range(6))
RICH = ("r0", "r1")

Addressed = tuple[str, dict[str, Any]]
"""Which machine a command is for, a shard or "settlement", and the command."""


class Cascade:
    """An endless stream of commands, a function of its seed; `markets` are shard and fund of each."""

    def __init__(self, rng: random.Random, markets: Mapping[str, tuple[str, str]]) -> None:
        self._rng = rng
        self._markets = markets
        self._names = list(markets)
        self._funds = list(dict.fromkeys(fund for _, fund in markets.values()))
        self._now = 1_700_000_000 * SECOND
        self._prices = dict.fromkeys(markets, 10_000)  # in ticks of 0.1
        self._rich = {market: rng.random() < 0.5 for market in markets}
        self._ids = 0

    def __iter__(self) -> Iterator[Addressed]:
        for shard in dict.fromkeys(shard for shard, _ in self._markets.values()):
            for account in POOR:
                yield self._transfer(shard, "account.deposit", account, self._rng.choice([100, 300, 900]))
            for account in RICH:
                yield self._transfer(shard, "account.deposit", account, 1_000_000)
        for market in self._names:
            yield self._mark(market, 0)
            for account in POOR:
                yield self._leverage(market, account)
        while True:
            yield from self._next()

    def _next(self) -> Iterator[Addressed]:
        rng, roll = self._rng, self._rng.random()
        market = rng.choice(self._names)
        shard, fund = self._markets[market]
        if roll < 0.45:
            buyer, seller = rng.sample((*POOR, *RICH) if self._rich[market] else POOR, 2)
            qty = rng.choice([1, 3, 8])
            price = self._prices[market] + rng.randrange(-10, 11)
            yield self._order(market, seller, "sell", qty, price, "gtc")
            yield self._order(market, buyer, "buy", qty, price, "ioc")
        elif roll < 0.52:
            side = rng.choice(["buy", "sell"])
            away = rng.choice([5, 50, 400]) * (-1 if side == "buy" else 1)
            account = rng.choice(RICH if self._rich[market] else POOR)
            yield self._order(market, account, side, rng.choice([1, 4]), max(1, self._prices[market] + away), "gtc")
        elif roll < 0.54:
            yield self._command(shard, "order.cancel_all", shard=shard, account=rng.choice(POOR), market=market)
        elif roll < 0.72:
            yield self._mark(market, rng.choice([3, 30, 100]))
        elif roll < 0.82:
            yield self._mark(market, rng.choice([600, 1_500, 2_500]))
        elif roll < 0.88:
            yield self._transfer(shard, "account.deposit", rng.choice(POOR), rng.choice([100, 300, 900]))
        elif roll < 0.90:
            yield self._transfer(shard, "account.withdraw", rng.choice(POOR), rng.choice([20, 200]))
        elif roll < 0.92:
            yield self._leverage(market, rng.choice(POOR))
        elif roll < 0.94:
            fields = {"market": market, "account": rng.choice(POOR), "amount": rng.choice(["20", "-5"])}
            yield self._command(shard, "account.margin", **fields)
        elif roll < 0.96:
            rate = rng.choice(["0.0001", "-0.0005", "0.01", "-0.03"])
            yield self._command(shard, "price.funding", market=market, rate=rate)
        elif roll < 0.975:
            self._now += rng.choice([20, 20, 400, 4_000, 90_000]) * SECOND
            yield self._command(rng.choice([shard, "settlement"]), "clock.tick")
        else:
            yield self._of_fund(fund)

    def _of_fund(self, fund: str) -> Addressed:
        rng = self._rng
        amount = str(rng.choice([5, 60, 400]))
        others = [other for other in self._funds if other != fund]
        kinds = ["fund.deposit", "fund.withdraw", "fund.minimum", *(["fund.transfer"] if others else [])]
        kind = rng.choice(kinds)
        fields: dict[str, Any] = {"fund": fund, "amount": amount}
        if kind != "fund.minimum":
            fields["transfer_id"] = self._id("f")
        if kind == "fund.deposit":
            fields["kind"] = rng.choice(["injection", "donation"])
        elif kind == "fund.transfer":
            fields["to"] = rng.choice(others)
        return self._command("settlement", kind, **fields)

    def _mark(self, market: str, step: int) -> Addressed:
        price = self._prices[market] + self._rng.randrange(-step, step + 1)
        self._prices[market] = price if 3_000 < price < 30_000 else 10_000
        price = self._prices[market]
        return self._command(self._markets[market][0], "price.mark", market=market, price=self._ticks(price))

    def _order(self, market: str, account: str, side: str, qty: int, price: int, tif: str) -> Addressed:
        fields = {"side": side, "kind": "limit", "qty": str(qty), "price": self._ticks(price), "tif": tif}
        shard = self._markets[market][0]
        return self._command(shard, "order.new", market=market, account=account, order_id=self._id("o"), **fields)

    def _leverage(self, market: str, account: str) -> Addressed:
        leverage = self._rng.choice(["5", "20", "50", "100"])
        return self._command(
            self._markets[market][0], "account.leverage", market=market, account=account, leverage=leverage
        )

    def _transfer(self, shard: str, type_: str, account: str, amount: int) -> Addressed:
        fields = {"shard": shard, "account": account, "amount": str(amount), "transfer_id": self._id("t")}
        return self._command(shard, type_, **fields)

    def _command(self, machine: str, type_: str, /, **fields: Any) -> Addressed:
        self._now += self._rng.randrange(0, 2 * SECOND)
        return machine, {"type": type_, "ts": self._now, **fields}

    def _id(self, letter: str) -> str:
        self._ids += 1
        return f"{letter}{self._ids}"

    @staticmethod
    def _ticks(ticks: int) -> str:
        return f"{ticks // 10}.{ticks % 10}"
