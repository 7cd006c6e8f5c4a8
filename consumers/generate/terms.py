"""The market as its traders know it: grids, margin, and what a lot is worth."""

from typing import Final

from engine.fixed import RATE
from engine.spec import MarketSpec, TierSpec

PPM: Final = 1_000_000

_LEVERAGE_MAX: Final = 1_000
"""Nobody in the population asks for more, whatever the tiers allow."""

_TIER_USE: Final = 90
"""Percent of a tier that a trader fills: a rising mark must not put its next order into the next tier."""


class Terms:
    """Prices in ticks, quantities in lots, amounts in units of the asset, own rates in ppm."""

    __slots__ = ("_notional_caps", "market", "shard", "spec", "taker_fee")

    def __init__(self, shard: str, spec: MarketSpec) -> None:
        self.market = spec.name
        self.shard = shard
        self.spec = spec
        self.taker_fee = -(-max(spec.taker_fee, spec.maker_fee, 0) * PPM // RATE)
        self._notional_caps: dict[int, int] = {}

    @property
    def leverage_max(self) -> int:
        """The whole leverage that the first tier allows: 1/initial, rounded down."""
        return max(1, min(_LEVERAGE_MAX, RATE // self.spec.tiers[0].initial))

    def notional_max(self, leverage: int) -> int:
        """The largest notional that a trader opens with this leverage: most of the last tier allowing it."""
        cap = self._notional_caps.get(leverage)
        if cap is None:
            fitting = [tier.up_to for tier in self.spec.tiers if leverage * tier.initial <= RATE]
            cap = max(fitting, default=self.spec.tiers[0].up_to) * _TIER_USE // 100
            self._notional_caps[leverage] = cap
        return cap

    def lots_worth(self, value: int, price: int) -> int:
        """How many whole lots `value` buys at `price`."""
        return value // max(1, self.spec.value(price, 1))

    def trigger(self, *, side: int, lots: int, entry_value: int, margin: int, price: int) -> int:
        """About the mark at which an isolated position is liquidated, in ticks; 0 when there is none.

        Long: (EV − M) ÷ (1 − r), short: (EV + M) ÷ (1 + r), per lot, with r of the tier at the current price.
        The tier's deduction is left out: a trader who looks at a screen is no more exact than that.
        """
        r = self._tier(self.spec.value(price, lots)).maintenance
        value = max(0, entry_value - side * margin) * RATE // (RATE - side * r)
        return value // max(1, self.spec.value(1, lots))

    def _tier(self, value: int) -> TierSpec:
        return next((tier for tier in self.spec.tiers if value <= tier.up_to), self.spec.tiers[-1])
