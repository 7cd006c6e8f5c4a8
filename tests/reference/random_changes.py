"""Random changes of a config: settings of every table, things added, and what cannot be."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from tests.reference.worlds import MarketSketch, World, random_contract, random_fund, random_limits, random_market

Patch = dict[str, Any]

OPTIONAL = {
    "market": ("max_order_qty", "max_order_notional", "price_band", "adl_lights", "adl_cap"),
    "fund": ("takeover_interval", "treasury", "adl_trigger"),
}
"""What a change at times puts back to its default."""


@dataclass
class Added:
    """What a change adds that can be traded: shards with their assets, and markets."""

    shards: list[tuple[str, str]] = field(default_factory=list)
    markets: list[MarketSketch] = field(default_factory=list)


class Changes:
    """Makes changes for one history. What they add to the venue it remembers, whether or not they are accepted."""

    def __init__(self, rng: random.Random, world: World) -> None:
        self._rng = rng
        self._world = world
        self._asset_of_shard = {name: str(shard["asset"]) for name, shard in world.settings["shards"].items()}
        self._asset_of_fund = {name: str(fund["asset"]) for name, fund in world.settings["funds"].items()}
        self.scale = {asset: world.scale[shard] for shard, asset in self._asset_of_shard.items()}
        self.decimals = {asset: world.decimals[shard] for shard, asset in self._asset_of_shard.items()}
        self._markets = list(world.markets)
        self._not_open: list[str] = []
        self._names = 0

    def make(self) -> tuple[Patch, Added | None]:
        """A patch, and what it adds."""
        if self._not_open and self._rng.random() < 0.6:
            name = self._not_open.pop()
            return {"markets": {name: {"status": self._rng.choice(["open", None])}}}, None
        makers: list[tuple[Callable[[], Patch], int]] = [
            (self._status, 4),
            (self._market, 6),
            (self._fund, 6),
            (self._limits, 2),
            (self._shard, 1),
            (self._asset, 1),
            (self._several, 1),
            (self._bad, 2),
        ]
        (make,) = self._rng.choices([maker for maker, _ in makers] + [None], [weight for _, weight in makers] + [3])
        return (make(), None) if make is not None else self._add()

    def _status(self) -> Patch:
        name = self._sketch().name
        self._not_open.append(name)
        return {"markets": {name: {"status": self._rng.choice(["reduce_only", "reduce_only", "halted"])}}}

    def _market(self) -> Patch:
        """Some settings of a market, as if it were made anew; together they may make no sense."""
        rng, sketch = self._rng, self._sketch()
        asset = self._asset_of_shard[sketch.shard]
        anew = random_market(rng, self.scale[asset], self.decimals[asset], sketch, self._world.features)
        picked = rng.sample(sorted(anew), rng.randrange(1, 4))
        if rng.random() < 0.5:
            picked += ["tiers", "default_leverage"]
        settings = {name: anew[name] for name in picked}
        if rng.random() < 0.2:
            settings[rng.choice(OPTIONAL["market"])] = None
        return {"markets": {sketch.name: settings}}

    def _fund(self) -> Patch:
        rng = self._rng
        name = rng.choice(list(self._asset_of_fund))
        asset = self._asset_of_fund[name]
        anew = random_fund(rng, asset, self.scale[asset], self.decimals[asset])
        for fixed in ("asset", "opening"):
            del anew[fixed]
        settings = {name: anew[name] for name in rng.sample(sorted(anew), rng.randrange(1, 5))}
        trigger = anew.get("adl_trigger")
        if trigger is not None and rng.random() < 0.7:
            # Over one of the other kind, its own settings must go.
            others = ("cut",) if trigger["kind"] == "drawdown" else ("start", "stop")
            settings["adl_trigger"] = trigger | dict.fromkeys(others)
        if rng.random() < 0.2:
            settings[rng.choice(OPTIONAL["fund"])] = None
        return {"funds": {name: settings}}

    def _limits(self) -> Patch:
        limits = random_limits(self._rng)
        picked = self._rng.sample(sorted(limits), self._rng.randrange(1, len(limits) + 1))
        return {
            "limits": {name: limits[name] for name in picked} | ({"stops_per_command": None} if len(picked) > 2 else {})
        }

    def _shard(self) -> Patch:
        setting = self._rng.choice(["position_detail", "free_profit"])
        return {"shards": {self._rng.choice(list(self._asset_of_shard)): {setting: self._rng.random() < 0.5}}}

    def _asset(self) -> Patch:
        return {"assets": {self._rng.choice(list(self.scale)): {"usd": self._rng.choice([None, "1", "43210.5"])}}}

    def _several(self) -> Patch:
        """One change of several tables."""
        return {**self._market(), **self._fund(), **self._limits()}

    def _bad(self) -> Patch:
        """What is not accepted: a setting that is fixed, something removed, values that are none, unknown names."""
        market, fund = self._sketch().name, self._rng.choice(list(self._asset_of_fund))
        patches: list[Patch] = [
            {"markets": {market: {"tick": "0.7"}}},
            {"markets": {market: {"multiplier": "3"}, "half": {}}},
            {"markets": {market: None}},
            {"markets": {market: {"status": "closed"}}},
            {"markets": {market: {"maker_fee": "-0.5"}}},
            {"markets": {market: {"fund": "no-fund"}}},
            {"markets": {market: {"taker_fee": 1}}},
            {"markets": {"astray": {"shard": "elsewhere", "fund": fund, "tick": "1", "lot": "1", "tiers": []}}},
            {"markets": {market: {"tiers": [{"up_to": "5", "initial": "0.1", "maintenance": "0.2"}]}}},
            {"funds": {fund: {"opening": "12345"}}},
            {"funds": {fund: None}},
            {"funds": {fund: {"minimum": "-1"}}},
            {"funds": {"poor": {"asset": "GOLD"}}},
            {"shards": {self._rng.choice(list(self._asset_of_shard)): {"partition": 77}}},
            {"assets": {"USDT": {"decimals": 3}}},
            {"limits": {"max_open_orders": 0}},
            {"limits": None, "markets": None},
            {"venue": {}},
        ]
        return self._rng.choice(patches)

    def _add(self) -> tuple[Patch, Added]:
        """A fund, a market of a shard that there is, or a shard with a market; an asset has both from the first on."""
        rng = self._rng
        self._names += 1
        patch: Patch = {}
        added = Added()
        shard = rng.choice(list(self._asset_of_shard))
        asset = self._asset_of_shard[shard]
        # Over a broker a new machine is started by its operator, so there the venue only gets to know of it.
        may_begin = self._world.arrivals is None
        if may_begin and rng.random() < 0.2:
            if rng.random() < 0.3:
                asset = f"COIN{self._names}"
                self.scale[asset], self.decimals[asset] = Fraction(1), 6
                patch["assets"] = {asset: {"decimals": 6}}
            shard = f"s{self._names}"
            self._asset_of_shard[shard] = asset
            patch["shards"] = {shard: {"asset": asset, "position_detail": rng.random() < 0.5}}
            added.shards.append((shard, asset))
        elif rng.random() < 0.2:
            return {"assets": {f"IDLE{self._names}": {"decimals": 2}}} if may_begin else self._shard(), Added()
        funds = [name for name, of in self._asset_of_fund.items() if of == asset]
        if not funds or rng.random() < 0.3:
            fund = f"f{self._names}"
            self._asset_of_fund[fund] = asset
            patch["funds"] = {fund: random_fund(rng, asset, self.scale[asset], self.decimals[asset])}
            funds = [fund]
        if len(self._markets) < 6 or added.shards:
            name = f"N{self._names}-{shard}"
            sketch, grids = random_contract(rng, name, shard, asset == "BTC", self.scale[asset])
            market = random_market(rng, self.scale[asset], self.decimals[asset], sketch, self._world.features)
            patch["markets"] = {name: {"shard": shard, "fund": rng.choice(funds), **grids, **market}}
            self._markets.append(sketch)
            added.markets.append(sketch)
        return patch, added

    def _sketch(self) -> MarketSketch:
        return self._rng.choice(self._markets)
