"""The trading rules of a market: how large an order may be, how far from the mark, how many may be open.

They bind what accounts send. Liquidation orders and unwinding funds are bound by their bankruptcy price and budget.
"""

from engine.fixed import AMOUNT_LIMIT, RATE, divide_down, divide_up
from engine.market import Market
from engine.position import Position
from engine.reject import Refused


def check_order(market: Market, price: int | None, lots: int) -> None:
    """Refuse an order that is too large, or whose limit price (None: a market order) is off the band."""
    spec = market.spec
    mark = market.mark
    limit = mark if price is None else price
    if spec.value(limit if (limit - mark) * spec.direction > 0 else mark, lots) >= AMOUNT_LIMIT:
        raise Refused("amount_too_large", "the order's value is 2^63 units or more")
    if lots > spec.max_order_lots:
        raise Refused("order_too_large", f"the largest order is {spec.lots.text(spec.max_order_lots)}")
    if spec.max_order_value is not None and spec.value(limit, lots) > spec.max_order_value:
        raise Refused("order_too_large", f"the largest order is worth {spec.asset.text(spec.max_order_value)}")
    if price is not None and spec.price_band is not None:
        lowest, highest = band_edge(market, -1), band_edge(market, 1)
        if not lowest <= price <= highest:
            text = spec.ticks.text
            raise Refused("price_band", f"price {text(price)} lies outside {text(lowest)} to {text(highest)}")


def check_display(market: Market, display: int, lots: int, parts_max: int) -> None:
    """Refuse an iceberg order that shows more than it has, or that would come in too many parts.

    Each part is a meeting of its own, and a liquidation order that meets its last one leaves a residual: without a
    bound, one order that shows a lot at a time could hold it up.
    """
    text = market.spec.lots.text
    if display > lots:
        raise Refused("display_too_large", f"display_qty {text(display)} is more than qty {text(lots)}")
    if display * parts_max < lots:
        raise Refused(
            "display_too_small", f"display_qty {text(display)} shows qty {text(lots)} in over {parts_max} parts"
        )


def check_open_orders(position: Position, orders_max: int) -> None:
    """Refuse an order that would rest beside as many as are allowed."""
    if len(position.orders) + len(position.stops) >= orders_max:
        raise Refused("too_many_orders", f"{orders_max} orders are open in {position.market.spec.name} already")


def band_edge(market: Market, sign: int) -> int:
    """The highest (+1) or lowest (−1) limit price within mark × (1 ± band), in ticks; at least one tick."""
    band = market.spec.price_band
    assert band is not None, "only markets with a band have edges"
    if sign > 0:
        return divide_down(market.mark * (RATE + band), RATE)
    return max(1, divide_up(market.mark * (RATE - band), RATE))


def market_limit(market: Market, sign: int) -> int | None:
    """The price beyond which a market order does not trade: the edge of the band; None where there is no band."""
    return None if market.spec.price_band is None else band_edge(market, sign)
