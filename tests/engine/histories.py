"""Random histories: commands that trade, over-reach, crash the price and starve the fund, from a seed.

Nothing in them is meant to be sensible. Prices jump far beyond bankruptcy, orders are off the book, funds are
nearly empty, limits are tiny; whatever comes out must still conserve.
"""

import random
from collections.abc import Iterator
from typing import Any

SECOND = 1_000_000
ACCOUNTS = [f"a{i}" for i in range(8)]


class History:
    """An endless stream of commands as dictionaries, a function of its seed alone."""

    def __init__(self, seed: int, market: str = "BTC-USDT") -> None:
        self._rng = random.Random(seed)
        self._parts = random.Random(seed)  # apart, so that what shows of an order changes no other command
        self._market = market
        self._now = 1_700_000_000 * SECOND
        self._price = 10_000  # in ticks of 0.1
        self._ids = 0
        self._orders: list[tuple[str, str]] = []

    def __iter__(self) -> Iterator[dict[str, Any]]:
        yield self._stamp({"type": "price.mark", "market": self._market, "price": self._ticks(self._price)})
        for account in ACCOUNTS:
            yield self._deposit(account)
        while True:
            yield self._next()

    def _next(self) -> dict[str, Any]:
        roll = self._rng.random()
        if roll < 0.55:
            return self._order()
        if roll < 0.65:
            return self._cancel()
        if roll < 0.70:
            return self._amend()
        if roll < 0.845:
            return self._mark()
        if roll < 0.86:
            return self._funding()
        if roll < 0.90:
            return self._stamp(
                {
                    "type": "account.leverage",
                    "market": self._market,
                    "account": self._account(),
                    "leverage": self._rng.choice(["1", "2.5", "7", "20", "33.3", "50", "100"]),
                }
            )
        if roll < 0.93:
            return self._deposit(self._account())
        if roll < 0.945:
            return self._stamp(
                {
                    "type": "account.withdraw",
                    "shard": "usdt",
                    "account": self._account(),
                    "amount": str(self._rng.randrange(1, 400)),
                    "transfer_id": self._id("w"),
                }
            )
        if roll < 0.965:
            amount = self._rng.randrange(1, 60)
            return self._stamp(
                {
                    "type": "account.margin",
                    "market": self._market,
                    "account": self._account(),
                    "amount": f"{self._rng.choice(['', '-'])}{amount}.{self._rng.randrange(100):02}",
                }
            )
        if roll < 0.975:
            return self._stamp({"type": "order.cancel_all", "shard": "usdt", "account": self._account()})
        if roll < 0.98:
            seconds = self._rng.choice([0, 1, 20])
            return self._stamp(
                {"type": "account.cancel_after", "shard": "usdt", "account": self._account(), "seconds": seconds}
            )
        if roll < 0.985:
            self._now += self._rng.choice([1, 60, 700, 30_000]) * SECOND
            return self._stamp({"type": "clock.tick"})
        kind = self._rng.choice(["fund.deposit", "fund.withdraw"])
        command = {
            "type": kind,
            "fund": "btc",
            "amount": str(self._rng.randrange(1, 300)),
            "transfer_id": self._id("f"),
        }
        if kind == "fund.deposit":
            command["kind"] = "injection"
        return self._stamp(command)

    def _mark(self) -> dict[str, Any]:
        step = self._rng.choice([1, 5, 20, 100, 100, 400, 1500])
        self._price = max(50, self._price + self._rng.randrange(-step, step + 1))
        if self._price > 40_000:
            self._price = 10_000
        return self._stamp({"type": "price.mark", "market": self._market, "price": self._ticks(self._price)})

    def _funding(self) -> dict[str, Any]:
        rate = self._rng.choice(["0.0001", "0.0001", "0.0075", "0.000000001", "0.04", "0.7", "1", "0"])
        sign = self._rng.choice(["", "-"])
        return self._stamp({"type": "price.funding", "market": self._market, "rate": f"{sign}{rate}"})

    def _order(self) -> dict[str, Any]:
        account = self._account()
        command: dict[str, Any] = {
            "type": "order.new",
            "market": self._market,
            "account": account,
            "order_id": self._id("o"),
            "side": self._rng.choice(["buy", "sell"]),
            "qty": f"{self._rng.choice([1, 7, 50, 333, 1000, 4001]) / 1000:.3f}",
            "stp": self._rng.choice(["cancel_taker", "cancel_maker", "cancel_both"]),
            "reduce_only": self._rng.random() < 0.15,
        }
        if self._rng.random() < 0.2:
            command |= {"kind": "market", "tif": self._rng.choice(["gtc", "ioc", "fok"])}
        else:
            away = self._rng.choice([0, 1, 3, 10, 50, 300])
            price = max(1, self._price + self._rng.randrange(-away, away + 1))
            command |= {"kind": "limit", "price": self._ticks(price)}
            if self._rng.random() < 0.1:
                command["post_only"] = True
            else:
                command["tif"] = self._rng.choice(["gtc", "gtc", "gtc", "gtt", "ioc", "fok"])
                if command["tif"] == "gtt":
                    command["expire_at"] = self._now + self._rng.randrange(1, 90) * SECOND
            if command.get("tif") not in ("ioc", "fok") and self._parts.random() < 0.3:
                command["display_qty"] = self._shown(command["qty"])
        if self._rng.random() < 0.12:
            away = self._rng.randrange(1, 150)
            rises = self._rng.random() < 0.5
            command["trigger_price"] = self._ticks(max(1, self._price + away if rises else self._price - away))
            command["trigger_when"] = "rises_to" if rises else "falls_to"
            command["trigger_by"] = self._rng.choice(["mark", "last"])
        self._orders.append((account, command["order_id"]))
        return self._stamp(command)

    def _cancel(self) -> dict[str, Any]:
        account, order_id = self._known_order()
        return self._stamp({"type": "order.cancel", "market": self._market, "account": account, "order_id": order_id})

    def _amend(self) -> dict[str, Any]:
        account, order_id = self._known_order()
        command: dict[str, Any] = {
            "type": "order.amend",
            "market": self._market,
            "account": account,
            "order_id": order_id,
            "qty": f"{self._rng.choice([1, 20, 500, 2000]) / 1000:.3f}",
        }
        if self._rng.random() < 0.5:
            command["price"] = self._ticks(max(1, self._price + self._rng.randrange(-60, 61)))
        return self._stamp(command)

    def _deposit(self, account: str) -> dict[str, Any]:
        return self._stamp(
            {
                "type": "account.deposit",
                "shard": "usdt",
                "account": account,
                "amount": f"{self._rng.choice([3, 50, 400, 2500])}.{self._rng.randrange(10**6):06}",
                "transfer_id": self._id("d"),
            }
        )

    def _shown(self, qty: str) -> str:
        """A part of a quantity, down to a lot, or now and then more than all of it."""
        lots = int(qty.replace(".", ""))
        part = max(1, lots // self._parts.choice([1, 2, 3, 10]))
        return f"{part * self._parts.choice([1] * 15 + [2]) / 1000:.3f}"

    def _known_order(self) -> tuple[str, str]:
        if not self._orders:
            return self._account(), "o0"
        return self._rng.choice(self._orders[-60:])

    def _account(self) -> str:
        return self._rng.choice(ACCOUNTS)

    def _id(self, letter: str) -> str:
        self._ids += 1
        return f"{letter}{self._ids}"

    def _stamp(self, command: dict[str, Any]) -> dict[str, Any]:
        self._now += self._rng.randrange(0, 2 * SECOND)
        return {**command, "ts": self._now}

    @staticmethod
    def _ticks(ticks: int) -> str:
        return f"{ticks // 10}.{ticks % 10}"
