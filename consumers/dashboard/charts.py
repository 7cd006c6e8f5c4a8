"""The charts of one market, stacked over one time axis, as a Plotly figure in plain JSON.

Colours are written as `@role`; the page puts in what the role is in its light or dark scheme.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from consumers.dashboard.cases import OUTCOMES, Case, Outcome
from consumers.dashboard.timeline import Bars, Point
from consumers.exact import text
from consumers.moments import SECOND, calendar
from consumers.numbers import amount

if TYPE_CHECKING:
    from consumers.dashboard.watch import FundWatch, MarketWatch

_ROW_PIXELS: Final = {"price": 400, "fund": 190, "liquidated": 150, "adl": 150, "interest": 150}
_GAP_PIXELS: Final = 44
"""Between rows: holds the title and the legend of the row below."""

_MARGIN_PIXELS: Final = {"l": 84, "r": 16, "t": 64, "b": 44}
_MARKER_SIZES: Final = (6.0, 24.0)


class _Figure:
    """Rows from top to bottom that share the time axis of the lowest one."""

    def __init__(self, rows: Sequence[str]) -> None:
        self._rows = list(rows)
        self.traces: list[dict[str, Any]] = []
        self._pixels = sum(_ROW_PIXELS[row] for row in rows) + _GAP_PIXELS * (len(rows) - 1)
        self._domains: list[tuple[float, float]] = []
        top = self._pixels
        for row in rows:
            bottom = top - _ROW_PIXELS[row]
            self._domains.append((bottom / self._pixels, top / self._pixels))
            top = bottom - _GAP_PIXELS

    def add(self, row: str, points: Sequence[Point], **trace: Any) -> None:
        number = self._number(row)
        self.traces.append(
            {
                "x": [_instant(ts) for ts, _ in points],
                "y": [text(value) for _, value in points],
                "xaxis": "x",
                "yaxis": f"y{number}",
                "legend": f"legend{number}",
                **trace,
            }
        )

    def layout(self, titles: dict[str, str]) -> dict[str, Any]:
        layout: dict[str, Any] = {
            "height": self._pixels + _MARGIN_PIXELS["t"] + _MARGIN_PIXELS["b"],
            "margin": _MARGIN_PIXELS,
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": "inherit", "size": 12, "color": "@muted"},
            "hovermode": "closest",
            "hoverlabel": {"align": "left", "font": {"family": "inherit", "size": 12}},
            "barmode": "stack",
            "bargap": 0.15,
            "dragmode": "zoom",
            "showlegend": True,
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": "@line", "activecolor": "@text"},
            "xaxis": {
                "type": "date",
                "anchor": f"y{self._number(self._rows[-1])}",
                "gridcolor": "@grid",
                "linecolor": "@line",
                "zeroline": False,
                "showspikes": True,
                "spikemode": "across",
                "spikethickness": 1,
                "spikedash": "dot",
                "spikecolor": "@line",
            },
            "annotations": [],
        }
        for row, domain in zip(self._rows, self._domains, strict=True):
            number = self._number(row)
            layout[f"legend{number}"] = {
                "orientation": "h",
                "traceorder": "normal",
                "itemsizing": "constant",
                "x": 1,
                "xanchor": "right",
                "y": domain[1],
                "yanchor": "bottom",
                "bgcolor": "rgba(0,0,0,0)",
                "font": {"size": 11},
            }
            layout[f"yaxis{number}"] = {
                "type": "linear",
                "domain": domain,
                "anchor": "x",
                "gridcolor": "@grid",
                "zerolinecolor": "@line",
                "tickformat": ",",
                "automargin": False,
                "nticks": 6,
                "rangemode": "normal" if row == "price" else "tozero",
            }
            layout["annotations"].append(
                {
                    "text": titles[row],
                    "xref": "paper",
                    "yref": "paper",
                    "x": 0,
                    "y": domain[1],
                    "xanchor": "left",
                    "yanchor": "bottom",
                    "showarrow": False,
                    "font": {"size": 13, "color": "@text"},
                }
            )
        return layout

    def _number(self, row: str) -> str:
        """What the names of the row's axis and legend end in: Plotly writes y, y2, y3…"""
        index = self._rows.index(row) + 1
        return "" if index == 1 else str(index)


def market_figure(market: "MarketWatch", fund: "FundWatch | None") -> dict[str, Any]:
    """The figure of a market. Rows without anything to show are left out."""
    rows = ["price"]
    if fund is not None and fund.balance.seen:
        rows.append("fund")
    if market.cases.added:
        rows.append("liquidated")
    if market.adl_executions.added:
        rows.append("adl")
    if market.longs.seen or market.shorts.seen:
        rows.append("interest")
    figure = _Figure(rows)
    _draw_price(figure, market)
    if fund is not None and "fund" in rows:
        _draw_fund(figure, fund)
    if "liquidated" in rows:
        _draw_liquidated(figure, market)
    if "adl" in rows:
        _draw_adl(figure, market)
    if "interest" in rows:
        _draw_interest(figure, market)
    titles = {
        "price": f"{market.name}: mark price, and who was liquidated",
        "fund": f"Fund {market.fund}, {market.asset}",
        "liquidated": f"Liquidated notional, {market.asset} per {_width(market.bars)}",
        "adl": f"Auto-deleveraged quantity per {_width(market.bars)}",
        "interest": "Open interest of users: where the two differ, funds hold the rest",
    }
    return {"data": figure.traces, "layout": figure.layout(titles)}


def _draw_price(figure: _Figure, market: "MarketWatch") -> None:
    figure.add(
        "price",
        market.marks.points(),
        type="scatter",
        mode="lines",
        name="mark",
        line={"color": "@text", "width": 1.2},
        hovertemplate="%{y}<extra>mark</extra>",
    )
    cases = market.cases.in_order()
    largest = max((case.notional for case in cases), default=Decimal(1)) or Decimal(1)
    for outcome, label in OUTCOMES.items():
        for side, symbol in (("long", "triangle-down"), ("short", "triangle-up")):
            those = [case for case in cases if case.outcome == outcome and case.side == side]
            if those:
                _draw_markers(figure, those, outcome, f"{side}, {label}", symbol, largest)


def _draw_markers(
    figure: _Figure, cases: Sequence[Case], outcome: Outcome, name: str, symbol: str, largest: Decimal
) -> None:
    smallest_size, largest_size = _MARKER_SIZES
    figure.add(
        "price",
        [(case.ts, Decimal(case.mark_price)) for case in cases],
        type="scatter",
        mode="markers",
        name=name,
        text=[_told(case) for case in cases],
        hovertemplate="%{text}<extra></extra>",
        marker={
            "symbol": symbol,
            "color": f"@{outcome}",
            "opacity": 0.8,
            "line": {"width": 0.8, "color": "@surface"},
            # Area, not width, stands for the notional.
            "size": [
                round(smallest_size + (largest_size - smallest_size) * float(case.notional / largest) ** 0.5, 1)
                for case in cases
            ],
        },
    )


def _told(case: Case) -> str:
    """A liquidation in a few lines. Ids have no character that Plotly's pseudo-HTML could read as markup."""
    lines = [
        f"<b>{case.liquidation_id}</b>: {case.says}",
        f"{case.account}, {case.side} {amount(case.qty)} at mark {amount(case.mark_price)}",
        f"notional {amount(case.notional)}",
    ]
    if case.filled_qty:
        lines.append(f"book: {amount(case.filled_qty)} at {amount(case.average_price)}, surplus {amount(case.surplus)}")
    if case.fund is not None:
        lines.append(f"fund {case.fund}: PnL {amount(case.takeover_pnl)}")
    if case.adl_qty:
        lines.append(f"ADL: {amount(case.adl_qty)} from {case.adl_counterparties} counterparties")
    return "<br>".join(lines)


def _draw_fund(figure: _Figure, fund: "FundWatch") -> None:
    step = {"type": "scatter", "mode": "lines"}
    figure.add(
        "fund",
        fund.balance.points(),
        **step,
        name="fund balance",
        line={"color": "@fund", "width": 1.6, "shape": "hv"},
        hovertemplate="%{y:,}<extra>balance</extra>",
    )
    if any(value for _, value in fund.reserved.points()):
        figure.add(
            "fund",
            fund.reserved.points(),
            **step,
            name="reserved for takeovers",
            line={"color": "@takeover", "width": 1, "shape": "hv"},
            fill="tozeroy",
            fillcolor="@takeover-soft",
            hovertemplate="%{y:,}<extra>reserved</extra>",
        )
    figure.add(
        "fund",
        fund.minimum.points(),
        **step,
        name="fund minimum",
        line={"color": "@adl", "width": 1, "dash": "dash", "shape": "hv"},
        hovertemplate="%{y:,}<extra>minimum</extra>",
    )


def _draw_liquidated(figure: _Figure, market: "MarketWatch") -> None:
    for side in ("long", "short"):
        figure.add(
            "liquidated",
            market.bars.points(side),
            type="bar",
            name=f"{side}s liquidated",
            width=market.bars.width // 1000 * 0.85,
            marker={"color": f"@{side}", "line": {"width": 0}},
            hovertemplate=f"%{{y:,}}<extra>{side}s</extra>",
        )


def _draw_adl(figure: _Figure, market: "MarketWatch") -> None:
    counted = [amount(value) for _, value in market.bars.points("counterparties")]
    figure.add(
        "adl",
        market.bars.points("deleveraged"),
        type="bar",
        name="auto-deleveraged",
        width=market.bars.width // 1000 * 0.85,
        customdata=counted,
        marker={"color": "@adl", "line": {"width": 0}},
        hovertemplate="%{y:,} from %{customdata} counterparties<extra>ADL</extra>",
    )


def _draw_interest(figure: _Figure, market: "MarketWatch") -> None:
    for line, side in ((market.longs, "long"), (market.shorts, "short")):
        figure.add(
            "interest",
            line.points(),
            type="scatter",
            mode="lines",
            name=f"users' {side}s",
            line={"color": f"@{side}", "width": 1.4, "shape": "hv", "dash": "solid" if side == "long" else "dot"},
            hovertemplate=f"%{{y:,}}<extra>{side}s</extra>",
        )


def _instant(ts: int) -> str | int:
    """Event time as Plotly reads it: UTC to the microsecond, or milliseconds where the calendar ends."""
    date = calendar(ts)
    return ts // 1000 if date is None else date.strftime("%Y-%m-%d %H:%M:%S") + f".{ts % SECOND:06}"


def _width(bars: Bars) -> str:
    seconds = bars.width // SECOND
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
