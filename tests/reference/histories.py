"""Random histories: commands that trade, over-reach, crash prices, starve funds and make no sense, from a seed.

Prices jump far beyond bankruptcy, ids and transfers come twice, times go back, names are unknown. Whatever comes in,
engine and model must say the same.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any

from tests.reference.random_changes import Changes
from tests.reference.worlds import RICH, MarketSketch, World, text

SECOND = 1_000_000
SMALL = (1, 7, 50, 333, 1000)
LARGE = (50, 333, 1000, 4000, 12_000, 30_000)
"""What orders are worth, in the scale of the shard; deposits are of 3 to 2,500."""

INDEX_PRICES = (None, "1", None, "0.999800010000000001", "43210.5", "999999999999999999999999", "0.000000000000000001")
"""What donations are valued at, some of them absurd."""

Fields = dict[str, Any]


class History:
    """An endless stream of commands as dictionaries, a function of world and seed alone."""

    def __init__(self, world: World, seed: int) -> None:
        self._rng = rng = random.Random(f"history {seed}")
        self._world = world
        self._markets, self._funds, self._shards = list(world.markets), list(world.funds), list(world.shards)
        self._scale, self._decimals = dict(world.scale), dict(world.decimals)
        self._funds_of_markets = [(market["shard"], market["fund"]) for market in world.settings["markets"].values()]
        self._changes = Changes(rng, world)
        self._now = 1_700_000_000 * SECOND
        self._prices = {market.name: market.price for market in world.markets}
        self._ids = 0
        self._orders: list[tuple[str, str, str]] = []
        self._transfers: list[Fields] = []
        self._coming: list[Fields] = []
        self._trend = 0
        self._steps = rng.choice([[2000, 200, 50, 20, 7], [200, 50, 20, 7, 3], [50, 7, 3, 2]])
        kinds: list[tuple[Callable[[], Fields], float]] = [
            (self._order, 40),
            (self._pair, 10),
            (self._depth, 5 if RICH in world.accounts else 0),
            (self._crash, 2),
            (self._cancel, 6),
            (self._amend, 5),
            (self._mark, 18),
            (self._funding, 1.5 if "funding" in world.features else 0),
            (self._leverage, 3),
            (self._deposit, 4),
            (self._withdraw, 2),
            (self._margin, 3),
            (self._mode, 3 if "cross" in world.features else 0.5),
            (self._cancel_all, 1),
            (self._switch, 1),
            (self._tick, 0.7),
            (self._fund, 2),
            (self._config, 0.8 if "config" in world.features else 0),
            (self._again, 0.7),
            (self._nonsense, 0.7),
        ]
        self._makers = [maker for maker, _ in kinds]
        # What is rare in one history is common in another.
        self._weights = [weight * rng.choice([0.1, 0.3, 1, 1, 3]) for _, weight in kinds]

    def __iter__(self) -> Iterator[Fields]:
        for market in self._markets:
            if self._rng.random() < 0.9:
                yield self._stamp(self._mark_of(market))
        for account in self._world.accounts:
            for shard in self._shards:
                yield self._stamp(self._deposit_to(shard, account))
        while True:
            while self._coming:
                yield self._stamp(self._coming.pop(0))
            (make,) = self._rng.choices(self._makers, self._weights)
            yield self._stamp(make())

    def _mark(self) -> Fields:
        """A walk with jumps and trends, back where it began when it is too far away."""
        market = self._market()
        most = max(1, self._prices[market.name] // self._rng.choice(self._steps))
        if self._rng.random() < 0.1:
            self._trend = self._rng.choice([-1, 0, 0, 1])
        move = self._rng.randrange(-most, most + 1)
        price = max(2, self._prices[market.name] + (abs(move) * self._trend or move))
        if not market.price // 6 < price < market.price * 6:
            price = market.price
        self._prices[market.name] = price
        return self._mark_of(market)

    def _mark_of(self, market: MarketSketch) -> Fields:
        return {"type": "price.mark", "market": market.name, "price": self._price(market, self._prices[market.name])}

    def _funding(self) -> Fields:
        """Mostly what a venue would ask for; at times enough to ruin a side, or too much."""
        rate = self._rng.choice(["0.0001", "0.000333333", "-0.0004", "0.003", "-0.01", "0.07", "-0.5", "0", "1.5"])
        return {"type": "price.funding", "market": self._market().name, "rate": rate}

    def _order(self) -> Fields:
        rng = self._rng
        market, account = self._market(), self._account()
        command: Fields = {
            "type": "order.new",
            "market": market.name,
            "account": account,
            "order_id": self._id("o"),
            "side": rng.choice(["buy", "sell"]),
            "qty": self._qty(market),
            "stp": rng.choice(["cancel_taker", "cancel_maker", "cancel_both"]),
            "reduce_only": rng.random() < 0.15,
        }
        if rng.random() < 0.15:
            command |= {"kind": "market", "tif": rng.choice(["gtc", "ioc", "fok"])}
        else:
            command |= {"kind": "limit", "price": self._price_near(market)}
            if rng.random() < 0.1:
                command["post_only"] = True
            else:
                command["tif"] = rng.choice(["gtc", "gtc", "gtc", "gtt", "gtt", "gtt", "ioc", "fok"])
            if command.get("tif") == "gtt":
                command["expire_at"] = self._now + rng.randrange(-3, 150) * SECOND
            if "iceberg" in self._world.features and rng.random() < 0.2 and command.get("tif", "gtc") in ("gtc", "gtt"):
                command["display_qty"] = self._qty(market) if rng.random() < 0.2 else self._part(market, command["qty"])
        if rng.random() < 0.12:
            price, away = self._prices[market.name], rng.randrange(0, 2 + self._prices[market.name] // 40)
            rises = rng.random() < 0.5
            command["trigger_price"] = self._price(market, price + away if rises else price - away)
            command["trigger_when"] = "rises_to" if rises else "falls_to"
            command["trigger_by"] = rng.choice(["mark", "last"])
        self._orders.append((market.name, account, command["order_id"]))
        return command

    def _pair(self) -> Fields:
        """Two accounts trade with each other near the mark, at times more than they should: a position each."""
        market, sides = self._market(), self._rng.sample(["buy", "sell"], 2)
        price, qty = self._price_near(market, [300, 1000, 1000, 5000, 10**9]), self._qty(market, LARGE)
        orders = [
            {
                "type": "order.new",
                "market": market.name,
                "account": account,
                "order_id": self._id("p"),
                "side": side,
                "kind": "limit",
                "price": price,
                "qty": qty,
            }
            for account, side in zip(self._rng.sample(self._world.accounts, 2), sides, strict=True)
        ]
        self._orders.extend((market.name, str(order["account"]), str(order["order_id"])) for order in orders)
        self._coming.append(orders[1])
        return orders[0]

    def _crash(self) -> Fields:
        """Money for some accounts, as large positions as it carries, and a mark that several of them do not survive.

        At times the winners then pass their positions on, and the mark goes further: what the fund took over cannot be
        placed at its bankruptcy price any more.
        """
        rng, market = self._rng, self._market()
        weak = rng.sample(self._world.accounts, rng.randrange(1, len(self._world.accounts)))
        strong = [account for account in self._world.accounts if account not in weak]
        falls = rng.choice([-1, 1])
        leverage, amount = rng.choice([2, 5, 10, 20, 50]), rng.choice([20, 100, 600])
        qty = self._qty(market, [max(1, amount * leverage * 2 // 5)])
        weak_side, strong_side = ("buy", "sell") if falls > 0 else ("sell", "buy")
        for account in weak:
            deposit = {"type": "account.deposit", "shard": market.shard, "account": account}
            self._coming.append(self._transfer(deposit | {"amount": self._amount(market.shard, amount)}))
            switch = {"type": "account.leverage", "market": market.name, "account": account}
            self._coming.append(switch | {"leverage": str(leverage)})
            self._coming.append(self._limit(market, rng.choice(strong), strong_side, qty))
            self._coming.append(self._limit(market, account, weak_side, qty))
        if RICH in self._world.accounts and rng.random() < 0.7:
            away = -falls * (self._prices[market.name] // leverage // rng.choice([2, 4, 40]))
            price = self._price(market, self._prices[market.name] + away)
            self._coming.append(self._limit(market, RICH, weak_side, self._qty(market, [20_000])) | {"price": price})
        jump = max(1, self._prices[market.name] * rng.choice([1, 2, 4]) // leverage // 2)
        self._move(market, -falls * jump)
        self._coming.extend(self._order() | {"account": account} for account in weak[:3])
        self._coming.append(self._withdraw() | {"account": weak[-1], "shard": market.shard})
        if rng.random() < 0.6:
            for account in strong:
                self._coming.append(self._limit(market, rng.choice(self._world.accounts), strong_side, qty))
                self._coming.append(self._limit(market, account, weak_side, qty))
            for _ in range(rng.randrange(1, 4)):
                self._move(market, -falls * max(1, jump // rng.choice([1, 2, 10])))
        return self._switch()

    def _limit(self, market: MarketSketch, account: str, side: str, qty: str) -> Fields:
        """A plain limit order at the price of the moment."""
        return {
            "type": "order.new",
            "market": market.name,
            "account": account,
            "order_id": self._id("c"),
            "side": side,
            "kind": "limit",
            "price": self._price(market, self._prices[market.name]),
            "qty": qty,
        }

    def _move(self, market: MarketSketch, ticks: int) -> None:
        """A mark that comes next."""
        self._prices[market.name] = max(2, self._prices[market.name] + ticks)
        self._coming.append(self._mark_of(market))

    def _depth(self) -> Fields:
        """The rich account rests a large order far from the mark, which takes what is liquidated later."""
        market = self._market()
        command = self._order() | {"market": market.name, "account": RICH, "kind": "limit", "tif": "gtc"}
        for name in ("expire_at", "trigger_price", "trigger_when", "trigger_by", "post_only"):
            command.pop(name, None)
        away = self._prices[market.name] // self._rng.choice([2, 4, 10, 30])
        price = self._prices[market.name] + (away if command["side"] == "sell" else -away)
        return command | {"price": self._price(market, price), "qty": self._qty(market, LARGE), "reduce_only": False}

    def _cancel(self) -> Fields:
        market, account, order_id = self._known_order()
        return {"type": "order.cancel", "market": market, "account": account, "order_id": order_id}

    def _amend(self) -> Fields:
        name, account, order_id = self._known_order()
        market = next(market for market in self._markets if market.name == name)
        command: Fields = {"type": "order.amend", "market": name, "account": account, "order_id": order_id}
        wanted = self._rng.choice([("qty",), ("price",), ("qty", "price")])
        if "qty" in wanted:
            command["qty"] = self._qty(market)
        if "price" in wanted:
            command["price"] = self._price_near(market)
        return command

    def _leverage(self) -> Fields:
        leverage = self._rng.choice(["1", "2.5", "5", "7.77", "10", "20", "33.3", "50", "100", "0.5"])
        return {
            "type": "account.leverage",
            "market": self._market().name,
            "account": self._account(),
            "leverage": leverage,
        }

    def _deposit(self) -> Fields:
        return self._deposit_to(self._shard(), self._account())

    def _deposit_to(self, shard: str, account: str) -> Fields:
        amount = self._amount(shard, 1_000_000 if account == RICH else self._rng.choice([3, 50, 400, 2500]))
        return self._transfer({"type": "account.deposit", "shard": shard, "account": account, "amount": amount})

    def _withdraw(self) -> Fields:
        shard = self._shard()
        amount = self._amount(shard, self._rng.choice([3, 50, 400, 3000]))
        return self._transfer(
            {"type": "account.withdraw", "shard": shard, "account": self._account(), "amount": amount}
        )

    def _margin(self) -> Fields:
        market = self._market()
        amount = self._rng.choice(["", "-"]) + self._amount(market.shard, self._rng.choice([1, 20, 200]))
        return {"type": "account.margin", "market": market.name, "account": self._account(), "amount": amount}

    def _mode(self) -> Fields:
        mode = self._rng.choice(["isolated", "cross"])
        return {"type": "account.margin_mode", "market": self._market().name, "account": self._account(), "mode": mode}

    def _cancel_all(self) -> Fields:
        market = self._market()
        command = {"type": "order.cancel_all", "shard": market.shard, "account": self._account()}
        return command | {"market": market.name} if self._rng.random() < 0.5 else command

    def _switch(self) -> Fields:
        seconds = self._rng.choice([0, 1, 20, 60])
        return {
            "type": "account.cancel_after",
            "shard": self._shard(),
            "account": self._account(),
            "seconds": seconds,
        }

    def _tick(self) -> Fields:
        self._now += self._rng.choice([1, 60, 700, 30_000, 700_000]) * SECOND
        return {"type": "clock.tick"}

    def _fund(self) -> Fields:
        fund = self._rng.choice(self._funds)
        shard = next(name for name, market in self._shards_by_fund() if market == fund) if self._is_used(fund) else ""
        amount = self._amount(shard or self._shards[0], self._rng.choice([5, 60, 400]))
        match self._rng.choice(["deposit", "deposit", "withdraw", "transfer", "minimum"]):
            case "deposit":
                kind = self._rng.choice(["injection", "donation"])
                command: Fields = {"type": "fund.deposit", "fund": fund, "amount": amount, "kind": kind}
                index = INDEX_PRICES[self._ids % len(INDEX_PRICES)]
                if kind == "donation" and index is not None:
                    command["index"] = index
                return self._transfer(command)
            case "withdraw":
                return self._transfer({"type": "fund.withdraw", "fund": fund, "amount": amount})
            case "transfer" if len(self._funds) > 1:
                to = self._rng.choice([name for name in self._funds if name != fund])
                return self._transfer({"type": "fund.transfer", "fund": fund, "to": to, "amount": amount})
            case _:
                return {"type": "fund.minimum", "fund": fund, "amount": self._rng.choice(["0", amount])}

    def _shards_by_fund(self) -> list[tuple[str, str]]:
        return self._funds_of_markets

    def _is_used(self, fund: str) -> bool:
        return any(name == fund for _, name in self._shards_by_fund())

    def _again(self) -> Fields:
        """A transfer a second time, at times with other contents; or an old order id."""
        if self._rng.random() < 0.5 and self._orders:
            market, account, order_id = self._known_order()
            return self._order() | {"market": market, "account": account, "order_id": order_id}
        if not self._transfers:
            return {"type": "clock.tick"}
        command = self._rng.choice(self._transfers[-10:])
        return command | {"amount": "7"} if self._rng.random() < 0.3 else dict(command)

    def _nonsense(self) -> Fields:
        """Unknown names, values off their grids, absurd amounts."""
        market, rng = self._market(), self._rng
        makers: list[Callable[[], Fields]] = [
            lambda: self._order() | {"market": "nowhere"},
            lambda: self._order() | {"account": "nobody"},
            lambda: self._order() | {"qty": "0.0000001"},
            lambda: self._order() | {"qty": "99999999999999999"},
            lambda: self._mark_of(market) | {"price": "0.00000007"},
            lambda: self._mark_of(market) | {"market": "nowhere"},
            lambda: self._mark_of(market) | {"price": "90000000000000000000"},
            lambda: self._deposit() | {"shard": "elsewhere"},
            lambda: self._deposit() | {"account": "fund:x"},
            lambda: self._deposit() | {"amount": "0.000000000000000001"},
            lambda: self._deposit() | {"amount": "99999999999999999999999"},
            lambda: self._withdraw() | {"account": "nobody"},
            lambda: self._cancel() | {"order_id": "never"},
            lambda: self._cancel_all() | {"shard": "elsewhere"},
            lambda: self._cancel_all() | {"market": "nowhere"},
            lambda: self._switch() | {"account": "nobody"},
            lambda: self._leverage() | {"leverage": "1.0000000001"},
            lambda: self._leverage() | {"leverage": "5000"},
            lambda: self._margin() | {"amount": "0.0000000000000001"},
            lambda: self._fund() | {"fund": "no-fund"},
            lambda: self._cancel_all() | {"market": market.name},
        ]
        return rng.choice(makers)()

    def _config(self) -> Fields:
        """A change of the config. What it adds is traded from then on."""
        patch, added = self._changes.make()
        for fund in patch.get("funds", {}) if added else ():
            self._funds.append(fund)
        for name, asset in added.shards if added else ():
            self._shards.append(name)
            self._scale[name], self._decimals[name] = self._changes.scale[asset], self._changes.decimals[asset]
            self._coming.extend(self._deposit_to(name, account) for account in self._world.accounts)
        for sketch in added.markets if added else ():
            self._markets.append(sketch)
            self._funds_of_markets.append((sketch.shard, patch["markets"][sketch.name]["fund"]))
            self._prices[sketch.name] = sketch.price
            self._coming.append(self._mark_of(sketch))
        return {"type": "config.set", "changes": patch}

    # --- pieces ----------------------------------------------------------------------------------------------

    def _market(self) -> MarketSketch:
        return self._rng.choice(self._markets)

    def _shard(self) -> str:
        return self._rng.choice(self._shards)

    def _account(self) -> str:
        return self._rng.choice(self._world.accounts)

    def _known_order(self) -> tuple[str, str, str]:
        if not self._orders:
            return self._market().name, self._account(), "o0"
        return self._rng.choice(self._orders[-40:])

    def _qty(self, market: MarketSketch, worths: Sequence[int] = SMALL) -> str:
        worth = self._scale[market.shard] * self._rng.choice(worths)
        return text(max(1, int(worth / market.lot_value) + self._rng.randrange(2)) * market.lot, 3)

    def _part(self, market: MarketSketch, qty: str) -> str:
        """A third of a quantity, or less."""
        lots = int(Fraction(qty) / market.lot)
        return text(max(1, lots // self._rng.choice([3, 4, 10, 30])) * market.lot, 3)

    def _price(self, market: MarketSketch, ticks: int) -> str:
        return text(max(1, ticks) * market.tick, 3)

    def _price_near(self, market: MarketSketch, shares: Sequence[int] = (3, 40, 300, 1000, 5000)) -> str:
        """A price within one of these shares of the mark (1 ÷ 3, 1 ÷ 40, …)."""
        price = self._prices[market.name]
        away = max(1, price // self._rng.choice(shares))
        return self._price(market, price + self._rng.randrange(-away, away + 1))

    def _amount(self, shard: str, about: int) -> str:
        decimals = self._decimals[shard]
        amount = text(self._scale[shard] * about * self._rng.randrange(500, 1500) / 1000, decimals)
        return amount if Fraction(amount) else text(Fraction(1, 10**decimals), decimals)

    def _transfer(self, command: Fields) -> Fields:
        command["transfer_id"] = self._id("t")
        self._transfers.append(command)
        return command

    def _id(self, letter: str) -> str:
        self._ids += 1
        return f"{letter}{self._ids}"

    def _stamp(self, command: Fields) -> Fields:
        """The next time; at times a late one."""
        self._now += self._rng.randrange(0, 2 * SECOND)
        late = self._rng.choice([1, 20, 90, 4000]) * SECOND if self._rng.random() < 0.01 else 0
        return {**command, "ts": self._now - late}
