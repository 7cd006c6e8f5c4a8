"""The page of a run: it stands alone, lets no text become markup, and keeps in bounded memory what matters."""

import re
from collections.abc import Callable
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.dashboard import page, watch
from consumers.dashboard.cases import Largest
from consumers.dashboard.timeline import BARS_MAX, BUCKETS_MAX, Bars, Line
from consumers.dashboard.watch import MarketWatch
from consumers.moments import SECOND
from consumers.numbers import amount, brief, rounded
from consumers.replay import fund_tables
from schemas.commands import ClockTick
from schemas.config import load_config
from tests.engine.test_adl_price import triggered
from tests.replay.conftest import TWO_FUNDS, Run, encoded, given_and_reconciled, three_endings


class Page(HTMLParser):
    """What a browser would find: elements with their attributes, text outside of scripts, and the scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts[-1] += data
        else:
            self.text += data

    @property
    def figures(self) -> dict[str, Any]:
        figures: dict[str, Any] = orjson.loads(self.scripts[0])
        return figures


@pytest.fixture
def pages(replay: Callable[..., Run]) -> Callable[..., Page]:
    def pages(log: bytes) -> Page:
        run = replay(log, options=("--html",))
        assert run.exit_code == 0, run.stderr
        return Page((run.out / "report.html").read_text())

    return pages


def test_the_page_loads_nothing(pages: Callable[..., Page]) -> None:
    """Everything stands in the file: no element points elsewhere, and the policy forbids what a script might try."""
    found = pages(encoded(three_endings()))
    pointing = {"src", "href", "srcset", "data", "action", "poster", "background"}
    assert [(tag, attributes) for tag, attributes in found.elements if pointing & attributes.keys()] == []
    [policy] = [a["content"] for tag, a in found.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy
    styles = [attributes for tag, attributes in found.elements if tag == "link"]
    assert styles == []
    ours = found.scripts[0] + found.scripts[2] + found.text
    assert not re.search(r"https?://|@import|url\(", ours)


def test_no_text_of_the_outside_becomes_markup(pages: Callable[..., Page]) -> None:
    """A dead letter may hold anything: it is shown, not run."""
    attack = b'{"type":"<script>alert(1)</script><img src=x onerror=alert(1)>","ts":1,"</script>":"&amp;"}\n'
    found = pages(encoded(three_endings()) + attack)
    assert "<script>alert(1)</script><img src=x onerror=alert(1)>" in found.text
    assert len(found.scripts) == 3
    assert [tag for tag, _ in found.elements if tag == "img"] == []


@given(st.text())
def test_embedded_data_cannot_end_its_element(text: str) -> None:
    """Whatever a name is, it comes back as it was and holds nothing that a parser of HTML would notice."""
    embedded = page._embedded({"name": text + "</script><!--"})
    assert not set("<>&\u2028\u2029") & set(embedded)
    assert orjson.loads(embedded) == {"name": text + "</script><!--"}


def test_each_liquidation_is_shown_with_who_took_it(pages: Callable[..., Page]) -> None:
    """Book, fund, counterparties: one of each in this log, each once."""
    found = pages(encoded(three_endings()))
    traces = {trace["name"]: trace for trace in found.figures["BTC-USDT"]["data"]}
    assert [name for name in traces if name.startswith(("long,", "short,"))] == [
        "long, book",
        "long, takeover",
        "long, ADL",
    ]
    assert traces["long, book"]["y"] == ["9540.0"]
    assert traces["long, takeover"]["y"] == ["9400.0"]
    assert traces["long, ADL"]["y"] == ["6000.0"]
    assert sum(len(trace["y"]) for name, trace in traces.items() if name.startswith("long,")) == 3
    for liquidation in ("usdt:1", "usdt:2", "usdt:3"):
        assert found.text.count(liquidation) >= 1


def test_the_fund_is_drawn_with_what_it_reserved(pages: Callable[..., Page]) -> None:
    """The balance goes up by the surplus and down by the takeover; the reservation comes and goes in between."""
    found = pages(encoded(three_endings()))
    traces = {trace["name"]: trace for trace in found.figures["BTC-USDT"]["data"]}
    assert traces["fund balance"]["y"] == ["1000.000000", "1100.000000", "1050.000000", "1050.000000"]
    assert traces["reserved for takeovers"]["y"] == ["0", "100.000000", "50.000000", "0.000000", "0.000000"]
    assert set(traces["fund minimum"]["y"]) == {"900"}
    assert len(set(traces["fund minimum"]["x"])) == 2


def test_what_is_reserved_for_adl_at_the_mark_is_drawn_and_free_again() -> None:
    stage = triggered()
    drawn = watch.Dashboard(stage.config)
    tick = ClockTick(ts=stage.now)
    drawn.genesis([])
    drawn.applied(tick, stage.events)
    drawn.applied(tick, stage.mark("9950"))
    (reserved,) = (fund.reserved for fund in drawn.funds.values())
    assert {value for _, value in reserved.points()} == {0, 50}
    assert reserved.last == 0
    (case,) = drawn.markets["BTC-USDT"].cases.in_order()
    assert case.outcome == "adl"


def test_open_interest_follows_the_positions(pages: Callable[..., Page]) -> None:
    """Longs and shorts of users differ by what a fund holds, and only then."""
    found = pages(encoded(three_endings()))
    traces = {trace["name"]: trace for trace in found.figures["BTC-USDT"]["data"]}
    assert traces["users' longs"]["y"] == ["0", "1.000", "2.000", "1.000", "2.000", "3.000", "2.000", "2.000"]
    assert traces["users' shorts"]["y"] == ["0", "1.000", "2.000", "3.000", "2.000", "2.000"]


def test_who_was_deleveraged_is_listed(pages: Callable[..., Page]) -> None:
    found = pages(encoded(three_endings()))
    assert "Who was deleveraged in BTC-USDT" in found.text
    row = found.text[found.text.index("Who was deleveraged") :]
    assert "bob" in row
    assert "9,500" in row


def test_a_run_without_anything_has_a_page_too(pages: Callable[..., Page]) -> None:
    found = pages(b"")
    assert "Nobody was liquidated." in found.text
    assert found.figures["BTC-USDT"]["data"][0]["y"] == []


def test_an_early_stop_is_seen_on_the_page(replay: Callable[..., Run]) -> None:
    run = replay(b"{bad\n", options=("--html", "--strict"))
    found = Page((run.out / "report.html").read_text())
    assert "incomplete" in found.text
    assert run.complaint in found.text


def test_what_the_page_cuts_it_says(pages: Callable[..., Page], monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows and markers are bounded; a reader must know what is not there."""
    monkeypatch.setattr(watch, "MARKERS_MAX", 2)
    monkeypatch.setattr(watch, "DEAD_LETTER_ROWS_MAX", 2)
    monkeypatch.setattr(page, "LARGEST_ROWS", 1)
    found = pages(encoded(three_endings()) + b"{bad\n" * 5)
    text = " ".join(found.text.split())
    assert "The 2 largest of 3 liquidations are marked." in text
    assert "The 1 largest of 3 by notional." in text
    assert "The first 2 of 5; dead-letters.jsonl has them all." in text


# --- lines ---------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=200))
def test_a_short_line_is_drawn_as_it_is(values: list[int]) -> None:
    line = Line()
    for ts, value in enumerate(values):
        line.add(ts, Decimal(value))
    assert line.points() == [(ts, Decimal(value)) for ts, value in enumerate(values)]
    assert not line.is_thinned


def test_a_long_line_keeps_its_extremes_and_its_end() -> None:
    """A single spike in a million marks is what a risk manager looks for."""
    line = Line()
    count = 1_000_000
    spikes = {123_456: Decimal(-5), 654_321: Decimal(10**9), count - 1: Decimal(7)}
    for ts in range(count):
        line.add(ts, spikes.get(ts, Decimal(ts % 3)))
    points = line.points()
    assert len(points) <= 3 * BUCKETS_MAX <= 5_000
    assert points == sorted(points, key=lambda point: point[0])
    assert set(spikes.items()) <= set(points)
    assert points[0][0] == 0
    assert line.is_thinned
    assert line.last == 7


# --- bars ----------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 10**13), st.integers(1, 100)), min_size=1, max_size=60))
def test_bars_keep_the_sum_and_stay_few(steps: list[tuple[int, int]]) -> None:
    """However long the run, nothing is lost and each sum stands within its interval."""
    bars, now, total = Bars(), 1_700_000_000 * SECOND, 0
    first = now
    for step, value in steps:
        now += step
        total += value
        bars.add(now, "long", Decimal(value))
    bars.fit(first, now)
    points = bars.points("long")
    assert sum(value for _, value in points) == total
    assert len(points) <= BARS_MAX + 1
    assert (now - first) // bars.width < BARS_MAX
    assert [ts for ts, _ in points] == sorted({ts for ts, _ in points})
    assert points[0][0] >= first - bars.width
    assert points[-1][0] <= now + bars.width


def test_sums_of_different_names_share_their_intervals() -> None:
    bars = Bars()
    bars.add(0, "long", Decimal(1))
    bars.add(0, "short", Decimal(2))
    bars.add(SECOND, "long", Decimal(4))
    bars.fit(0, BARS_MAX * SECOND)
    assert bars.width == 5 * SECOND
    assert (bars.points("long"), bars.points("short")) == ([(2_500_000, Decimal(5))], [(2_500_000, Decimal(2))])


# --- the largest ---------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 20), max_size=50), st.integers(1, 10))
def test_the_largest_are_kept_and_the_rest_is_counted(sizes: list[int], limit: int) -> None:
    largest: Largest[tuple[int, int]] = Largest(limit)
    for index, size in enumerate(sizes):
        largest.add(Decimal(size), (size, index))
    expected = sorted(((size, index) for index, size in enumerate(sizes)), key=lambda item: (-item[0], item[1]))
    assert largest.by_size() == expected[:limit]
    assert largest.in_order() == sorted(expected[:limit], key=lambda item: item[1])
    assert largest.cut == max(0, len(sizes) - limit)


def test_amounts_of_an_inverse_market_are_in_the_coin(replay: Callable[..., Run], venue: Path) -> None:
    """10,000 contracts at 9,136 are a notional of 1.09457092 BTC, not of 91,360,000."""
    example = Path(__file__).parent.parent / "examples" / "8_inverse_long_sold_above_bankruptcy"
    venue.write_text((example / "venue.toml").read_text())
    run = replay(example / "commands.jsonl", options=("--html",))
    assert run.exit_code == 0, run.stderr
    page = Page((run.out / "report.html").read_text())
    assert "1.09 BTC notional" in page.text
    assert "+0.00351 since the opening" in page.text
    assert ("td", {"title": "1.09457092"}) in page.elements
    assert "BTC-USD, BTC" in run.stdout
    assert "0.00350878" in run.stdout
    market = MarketWatch("BTC-USD", load_config(venue))
    assert market.notional("3", "30000.5") == Decimal("0.00009999")
    assert market.notional("3", "30000") == Decimal("0.00010000")


# --- numbers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (amount("1234567.890000"), "1,234,567.89"),
        (amount("-0.10"), "−0.1"),
        (amount(None), "–"),
        (amount("1000"), "1,000"),
        (brief("49062.07611055"), "49,062.08"),
        (brief("0.00001234567"), "0.0000123457"),
        (brief("0.000000"), "0"),
        (brief("123456789012345678901234567890.123456"), "123,456,789,012,345,678,901,234,567,890.12"),
        (rounded("1234567.89"), "1,234,568"),
        (rounded("12.345"), "12.34"),
        (rounded("0.00542908"), "0.00543"),
        (rounded("-0.25000000"), "−0.25"),
        (rounded("0.00000000"), "0"),
    ],
)
def test_numbers_are_written_for_reading(shown: str, expected: str) -> None:
    assert shown == expected


def test_donations_totals_and_fund_history_stand_on_the_page(pages: Callable[..., Page], venue: Path) -> None:
    venue.write_text(TWO_FUNDS)
    text = pages(encoded(given_and_reconciled())).text
    for heading in ("Funds, all of an asset", "Donations", "Fund history"):
        assert heading in text
    cells = "".join(text.split())
    for row in (
        "USDT 2 3,541.5 0 3,541.5 0 0 900 3,541.5 0",
        "btc USDT 2 2,501.5 2,501.5 0 eth USDT 1 10 5 0 all USDT 3 2,511.5 2,506.5 0",
        # The latest first: the third donation fell into the second period.
        "btc, USDT 2023-11-15 08:00:00 2023-11-16 08:00:00 3,500.5 3,501.5 0 0 0 0 0 0",
    ):
        assert row.replace(" ", "") in cells
    assert cells.index("btc,USDT2023-11-1508:00:00") < cells.index("btc,USDT2023-11-1422:13:20")


def test_a_page_without_donations_or_periods_has_no_tables_of_them(pages: Callable[..., Page]) -> None:
    text = pages(encoded(three_endings())).text
    for heading in ("Funds, all of an asset", "Donations", "Fund history"):
        assert heading not in text


def test_the_page_shows_the_latest_periods_and_counts_the_others() -> None:
    history = [{"period_end": end} for end in range(fund_tables.PERIODS_MAX + 7)]
    report = {"funds": {"a": {"asset": "X", "history": history}, "b": {"asset": "X", "history": history[:3]}}}
    shown = fund_tables.periods(report)
    assert (len(shown.rows), shown.cut) == (fund_tables.PERIODS_MAX, 10)
    assert [row.period["period_end"] for row in shown.rows[:2]] == [
        fund_tables.PERIODS_MAX + 6,
        fund_tables.PERIODS_MAX + 5,
    ]
