"""The page itself: headline numbers, a tab of charts and tables per market, funds, and the proof at the end.

It loads nothing: Plotly and all data stand in the file, and its content security policy forbids the rest.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import orjson
from jinja2 import Environment, StrictUndefined
from msgspec import Struct

from consumers import numbers
from consumers.dashboard.charts import market_figure
from consumers.exact import ZERO, minus, percentage, plus
from consumers.moments import moment
from consumers.replay import fund_tables
from consumers.replay.tally import FundFlows, Tally

if TYPE_CHECKING:
    from consumers.dashboard.watch import DeadLetterRow, FundWatch, MarketWatch

MARKETS_MAX: Final = 12
LARGEST_ROWS: Final = 20

_TEMPLATE: Final = "report.html.j2"


class Headline(Struct, frozen=True):
    """One number that is seen first. `tone` is good, bad or plain."""

    label: str
    value: str
    details: tuple[str, ...]
    tone: str = "plain"


class FundRow(Struct, frozen=True):
    """A fund with what moved it."""

    name: str
    asset: str
    flows: FundFlows
    stated: Mapping[str, Any]

    @property
    def movements(self) -> list[tuple[str, Decimal, Decimal]]:
        credited, debited = self.flows.credited, self.flows.debited
        return [(cause, credited.get(cause, ZERO), debited.get(cause, ZERO)) for cause in self.flows.causes]


def render_page(
    *,
    report: Mapping[str, Any],
    tally: Tally,
    markets: Mapping[str, "MarketWatch"],
    funds: Mapping[str, "FundWatch"],
    dead_letters: Sequence["DeadLetterRow"],
) -> bytes:
    """The whole page as bytes."""
    shown = _most_liquidated(markets)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "amount": numbers.amount,
        "brief": numbers.brief,
        "moment": moment,
        "share": percentage,
    }
    package = resources.files(__package__ or "consumers.dashboard")
    template = environment.from_string(package.joinpath(_TEMPLATE).read_text(encoding="utf-8"))
    figures = {market.name: market_figure(market, funds.get(market.fund)) for market in shown}
    plotly = resources.files("plotly").joinpath("package_data", "plotly.min.js").read_text(encoding="utf-8")
    html = template.render(
        report=report,
        tally=tally,
        headlines=_headlines(report, tally, markets, funds),
        markets=shown,
        markets_cut=len(markets) - len(shown),
        largest_rows=LARGEST_ROWS,
        funds=[
            FundRow(name, fund.asset, tally.funds.get(name, FundFlows()), report.get("funds", {}).get(name, {}))
            for name, fund in sorted(funds.items())
        ],
        totals=fund_tables.totals(report),
        donations=fund_tables.donations(report),
        periods=fund_tables.periods(report),
        dead_letters=dead_letters,
        figures=_embedded(figures),
        plotly=plotly,
    )
    return html.encode()


def _embedded(document: Any) -> str:
    """JSON that can stand inside a script element whatever text is in it: no `<` is left that could end it."""
    encoded = orjson.dumps(document).decode()
    for character in "<>&\u2028\u2029":
        encoded = encoded.replace(character, f"\\u{ord(character):04x}")
    return encoded


def _most_liquidated(markets: Mapping[str, "MarketWatch"]) -> list["MarketWatch"]:
    """The markets that the page has room for: first those where most was liquidated, then those with marks."""
    ranked = sorted(markets.values(), key=lambda market: (-market.liquidated_notional, -market.marks.seen, market.name))
    return ranked[:MARKETS_MAX]


def _by_asset(pairs: Sequence[tuple[str, Decimal]]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for asset, value in pairs:
        sums[asset] = plus(sums.get(asset, ZERO), value)
    return sums


def _headlines(
    report: Mapping[str, Any],
    tally: Tally,
    markets: Mapping[str, "MarketWatch"],
    funds: Mapping[str, "FundWatch"],
) -> list[Headline]:
    counts = report["counts"]
    return [
        _liquidated(counts, markets),
        _in_the_book(markets),
        _taken_over(counts, tally, markets),
        _deleveraged(counts, tally, markets),
        *_fund_totals(tally, funds),
        _last_resort(counts, tally, markets),
        Headline(
            "Refused",
            f"{counts['rejected'] + counts['dead_letters']:,}",
            (f"{counts['rejected']:,} commands rejected", f"{counts['dead_letters']:,} dead letters"),
        ),
    ]


def _liquidated(counts: Mapping[str, Any], markets: Mapping[str, "MarketWatch"]) -> Headline:
    notional = _by_asset([(market.asset, market.liquidated_notional) for market in markets.values()])
    details = tuple(f"{numbers.rounded(value)} {asset} notional" for asset, value in notional.items() if value)
    return Headline("Liquidations", f"{counts['liquidations']:,}", details)


def _in_the_book(markets: Mapping[str, "MarketWatch"]) -> Headline:
    notional = _by_asset([(market.asset, market.liquidated_notional) for market in markets.values()])
    filled = _by_asset([(market.asset, market.filled_notional) for market in markets.values()])
    shares = [(asset, percentage(filled[asset], whole)) for asset, whole in notional.items() if whole]
    if len(shares) == 1:
        return Headline("Closed in the book", shares[0][1], ("of liquidated notional",))
    return Headline("Closed in the book", "by asset" if shares else "–", tuple(f"{asset}: {s}" for asset, s in shares))


def _taken_over(counts: Mapping[str, Any], tally: Tally, markets: Mapping[str, "MarketWatch"]) -> Headline:
    pnl = _by_asset([(markets[name].asset, market.takeover_pnl) for name, market in tally.markets.items()])
    details = [f"PnL {numbers.rounded(value)} {asset}" for asset, value in pnl.items() if value]
    taken_over = sum(market.taken_over for market in markets.values())
    netted = sum(market.netted for market in tally.markets.values())
    if netted:
        details.append(f"closed against each other {netted:,} times")
    return Headline(
        "Taken over by funds",
        f"{taken_over:,}",
        (*details, f"{counts['by_event_type'].get('takeover.approved', 0):,} loss budgets approved"),
    )


def _deleveraged(counts: Mapping[str, Any], tally: Tally, markets: Mapping[str, "MarketWatch"]) -> Headline:
    needed = _by_asset([(markets[name].asset, market.adl_needed) for name, market in tally.markets.items()])
    taken = _by_asset([(markets[name].asset, market.adl_taken) for name, market in tally.markets.items()])
    details = [f"{counts['adl_executions']:,} counterparties closed"]
    details += [
        f"needed {numbers.rounded(value)}, taken {numbers.rounded(taken[asset])} {asset}"
        for asset, value in needed.items()
        if value
    ]
    return Headline("Auto-deleveragings", f"{counts['adl']:,}", tuple(details), "bad" if counts["adl"] else "good")


def _fund_totals(tally: Tally, funds: Mapping[str, "FundWatch"]) -> list[Headline]:
    headlines = []
    for asset in sorted({fund.asset for fund in funds.values()}):
        flows = [
            tally.funds[name] for name, fund in sorted(funds.items()) if fund.asset == asset and name in tally.funds
        ]
        balance, opening = ZERO, ZERO
        for fund in flows:
            balance, opening = plus(balance, fund.balance), plus(opening, fund.opening)
        change = minus(balance, opening)
        below = sum(fund.below_minimum for fund in flows)
        headlines.append(
            Headline(
                f"Funds, {asset}",
                numbers.rounded(balance),
                (
                    f"{'+' if change >= 0 else ''}{numbers.rounded(change)} since the opening",
                    f"below minimum {below:,} times" if below else "never fell below a minimum",
                ),
                "bad" if below else "good",
            )
        )
    return headlines


def _last_resort(counts: Mapping[str, Any], tally: Tally, markets: Mapping[str, "MarketWatch"]) -> Headline:
    socialised = _by_asset([(markets[name].asset, market.socialised) for name, market in tally.markets.items()])
    deficit = _by_asset([(markets[name].asset, market.deficit) for name, market in tally.markets.items()])
    details = [f"socialised {numbers.rounded(value)} {asset}" for asset, value in socialised.items() if value]
    details += [f"deficit {numbers.rounded(value)} {asset}" for asset, value in deficit.items() if value]
    return Headline(
        "Winners charged",
        f"{counts['socialised']:,}",
        tuple(details) or ("no loss socialised, no deficit",),
        "bad" if details else "good",
    )
