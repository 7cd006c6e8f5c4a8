"""The config in integers: what is exact, what goes on continuously, and what is refused, by name."""

import itertools
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.margin import maintenance_margin
from engine.spec import (
    DAY,
    RESERVED_SHARDS,
    SECOND,
    MarketSpec,
    compile_venue,
    duration,
    last_boundary,
    next_boundary,
)
from engine.venue import Venue
from schemas.config import ConfigError, parse_config
from schemas.partitions import stream_partitions
from tests.engine.stage import MARKET, TIERS, venue_toml


def compiled(toml: str) -> MarketSpec:
    """The market of a config."""
    return compile_venue(parse_config(toml)).shards["usdt"].markets[MARKET]


def refusal(toml: str) -> str:
    """Why a config is refused."""
    with pytest.raises(ConfigError) as refused:
        compile_venue(parse_config(toml))
    return str(refused.value)


def tier(up_to: str = "1000", initial: str = "0.1", maintenance: str = "0.05") -> str:
    """A risk tier."""
    return f'{{ up_to = "{up_to}", initial = "{initial}", maintenance = "{maintenance}" }}'


def with_tiers(*tiers: str) -> str:
    """A config with these tiers."""
    return venue_toml(tiers=f"[{', '.join(tiers)}]")


def changed(old: str, new: str) -> str:
    """The usual config with one line changed."""
    assert old in venue_toml()
    return venue_toml().replace(old, new)


TEN_PLACES = "0.0000000001"
TOO_LARGE = "9223372036.854775808"
"""2^63 billionths."""

REFUSED = {
    "a tick of zero": (changed('tick = "0.1"', 'tick = "0.0"'), "markets.BTC-USDT.tick: ", "above zero"),
    "a lot of zero": (changed('lot = "0.001"', 'lot = "0"'), "markets.BTC-USDT.lot: ", "above zero"),
    "a multiplier of zero": (venue_toml(market='multiplier = "0"'), "markets.BTC-USDT.multiplier: ", "above zero"),
    "a lot worth less than a unit": (
        venue_toml(market='multiplier = "0.015625"').replace("decimals = 6", "decimals = 9"),
        "markets.BTC-USDT: ",
        "whole number of units of USDT (9 decimals), got 0.1 × 0.001 × 0.015625",
    ),
    "fees that pay traders": (
        venue_toml(market='maker_fee = "-0.0005"\ntaker_fee = "0.0004"'),
        "markets.BTC-USDT: ",
        "maker_fee + taker_fee >= 0, got -0.0005 and 0.0004",
    ),
    "a share of fees above one": (
        venue_toml(market='fund_fee_share = "1.000000001"'),
        "markets.BTC-USDT.fund_fee_share: ",
        "at most 1, got 1.000000001",
    ),
    "a deficit hold finer than a unit": (
        venue_toml(market='deficit_hold = "0.0000001"'),
        "markets.BTC-USDT.deficit_hold: ",
        "at most 6 decimals (of USDT)",
    ),
    "a largest order of nothing": (
        venue_toml(market='max_order_qty = "0"'),
        "markets.BTC-USDT.max_order_qty: ",
        "a multiple of the lot above zero",
    ),
    "a largest order between two lots": (
        venue_toml(market='max_order_qty = "1.0005"'),
        "markets.BTC-USDT.max_order_qty: ",
        "a multiple of the lot above zero",
    ),
    "a largest value finer than a unit": (
        venue_toml(market='max_order_notional = "0.0000001"'),
        "markets.BTC-USDT.max_order_notional: ",
        "at most 6 decimals",
    ),
    "a price band above one": (
        venue_toml(market='price_band = "1.000000001"'),
        "markets.BTC-USDT.price_band: ",
        "at most 1, got 1.000000001",
    ),
    "no leverage": (venue_toml(market='default_leverage = "0"'), "markets.BTC-USDT.default_leverage: ", "above 0"),
    "leverage above the first tier": (
        venue_toml(market='default_leverage = "100.000000001"'),
        "markets.BTC-USDT.default_leverage: ",
        "at most 1/initial of the first tier, got 100.000000001",
    ),
    "a first tier that ends at zero": (with_tiers(tier("0")), "markets.BTC-USDT.tiers[0].up_to: ", "more than"),
    "a tier that ends where the one before ends": (
        with_tiers(tier(), tier()),
        "markets.BTC-USDT.tiers[1].up_to: ",
        "more than the tier before, got 1000",
    ),
    "a tier that ends within a unit": (
        with_tiers(tier("0.0000001")),
        "markets.BTC-USDT.tiers[0].up_to: ",
        "at most 6 decimals",
    ),
    "no maintenance": (with_tiers(tier(maintenance="0")), "markets.BTC-USDT.tiers[0]: ", "0 < maintenance"),
    "maintenance as high as initial": (
        with_tiers(tier(initial="0.1", maintenance="0.1")),
        "markets.BTC-USDT.tiers[0]: ",
        "maintenance < initial",
    ),
    "initial above one": (with_tiers(tier(initial="1.1")), "markets.BTC-USDT.tiers[0]: ", "initial <= 1"),
    "initial that falls": (
        with_tiers(tier(), tier("2000", initial="0.09")),
        "markets.BTC-USDT.tiers[1]: ",
        "do not fall",
    ),
    "maintenance that falls": (
        with_tiers(tier(), tier("2000", maintenance="0.04")),
        "markets.BTC-USDT.tiers[1]: ",
        "do not fall",
    ),
    "a slice of nothing": (
        venue_toml(fund='takeover_slice = "0"'),
        "funds.btc.takeover_slice: ",
        "above 0 and at most 1, got 0",
    ),
    "a slice above one": (
        venue_toml(fund='takeover_slice = "1.1"'),
        "funds.btc.takeover_slice: ",
        "at most 1, got 1.1",
    ),
    "a band above one": (venue_toml(fund='takeover_band = "1.1"'), "funds.btc.takeover_band: ", "at most 1, got 1.1"),
    "a fund of no asset": (
        changed('asset = "USDT"\n        opening', 'asset = "EUR"\n        opening'),
        "funds.btc.asset: ",
        "one of USDT; got EUR",
    ),
    "a minimum finer than a unit": (venue_toml(minimum="0.0000001"), "funds.btc.minimum: ", "at most 6 decimals"),
    "an opening balance of 2^63 units": (
        venue_toml(opening="9223372036854.775808"),
        "funds.btc.opening: ",
        "below 2^63",
    ),
    "a shard of no asset": (
        changed('asset = "USDT"\n        position_detail', 'asset = "EUR"\n        position_detail'),
        "shards.usdt.asset: ",
        "one of USDT; got EUR",
    ),
    "a market of no shard": (
        changed('shard = "usdt"', 'shard = "btc"'),
        "markets.BTC-USDT.shard: ",
        "one of usdt; got btc",
    ),
    "a market without a fund": (
        changed('fund = "btc"', 'fund = "eth"'),
        "markets.BTC-USDT.fund: ",
        "one of btc; got eth",
    ),
    "a fund in another asset": (
        changed('fund = "btc"', 'fund = "euro"') + '\n[assets.EUR]\ndecimals = 2\n[funds.euro]\nasset = "EUR"',
        "markets.BTC-USDT.fund: ",
        "expected a fund in USDT, the asset of shard usdt; euro is in EUR",
    ),
    "a shard with the name of ledger accounts": (
        venue_toml(market='\n[shards.fund]\nasset = "USDT"'),
        "shards.fund: ",
        "the ledger has accounts that begin with fund/",
    ),
    "no market": ("[assets]\n[funds]\n[shards]\n[markets]", "markets: ", "at least one"),
    "nothing to refer to": (
        '[assets]\n[funds.btc]\nasset = "USDT"\n[shards]\n[markets]',
        "funds.btc.asset: ",
        "(none is defined); got USDT",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_config_that_makes_no_sense_is_refused_by_the_name_of_the_setting(what: str) -> None:
    toml, where, expected = REFUSED[what]
    reason = refusal(toml)
    assert reason.startswith(where)
    assert expected in reason


@pytest.mark.parametrize("text", [TEN_PLACES, TOO_LARGE])
@pytest.mark.parametrize(
    "setting",
    [
        "markets.BTC-USDT.maker_fee",
        "markets.BTC-USDT.taker_fee",
        "markets.BTC-USDT.fund_fee_share",
        "markets.BTC-USDT.liquidation_fee",
        "markets.BTC-USDT.price_band",
        "markets.BTC-USDT.default_leverage",
        "markets.BTC-USDT.tiers[0].initial",
        "markets.BTC-USDT.tiers[0].maintenance",
        "funds.btc.takeover_slippage",
        "funds.btc.takeover_band",
        "funds.btc.takeover_slice",
    ],
)
def test_a_rate_has_at_most_nine_decimals_and_less_than_two_to_the_63_of_them(setting: str, text: str) -> None:
    name = setting.rpartition(".")[2]
    if name in ("initial", "maintenance"):
        toml = with_tiers(tier(**{name: text}))
    elif setting.startswith("funds"):
        toml = venue_toml(fund=f'{name} = "{text}"')
    else:
        toml = venue_toml(market=f'{name} = "{text}"')
    reason = refusal(toml)
    assert reason.startswith(f"{setting}: ")
    assert reason.endswith(f"got {text}")


@pytest.mark.parametrize("setting", ["minimum", "opening"])
def test_an_amount_just_below_two_to_the_63_units_is_taken(setting: str) -> None:
    largest = "9223372036854.775807"
    compile_venue(parse_config(venue_toml(**{setting: largest})))


def grid_texts(step: int, places: int) -> str:
    """A positive decimal string."""
    return f"{step // 10**places}.{step % 10**places:0{places}}" if places else str(step)


STEPS = st.builds(grid_texts, st.integers(1, 2000), st.integers(0, 6))


@given(tick=STEPS, lot=STEPS, multiplier=STEPS, decimals=st.integers(0, 18))
def test_the_value_of_a_lot_is_exact_or_the_config_is_refused(
    tick: str, lot: str, multiplier: str, decimals: int
) -> None:
    toml = (
        venue_toml(market=f'multiplier = "{multiplier}"', tiers=f"[{tier('1')}]")
        .replace('tick = "0.1"', f'tick = "{tick}"')
        .replace('lot = "0.001"', f'lot = "{lot}"')
        .replace("decimals = 6", f"decimals = {decimals}")
    )
    exact = Fraction(tick) * Fraction(lot) * Fraction(multiplier) * 10**decimals
    if exact.denominator == 1:
        spec = compiled(toml)
        assert spec.value(1, 1) == exact
        assert spec.value(7, 11) == 77 * exact
    else:
        assert "whole number of units" in refusal(toml)


@given(data=st.data())
def test_maintenance_margin_is_what_the_slices_of_value_add_up_to(data: st.DataObject) -> None:
    """So it is continuous: a unit of value across the end of a tier adds at most a unit of margin."""
    count = data.draw(st.integers(1, 5))
    ends = sorted(data.draw(st.sets(st.integers(1, 10**9), min_size=count, max_size=count)))
    rates = sorted(data.draw(st.lists(st.integers(1, 10**9 - 1), min_size=count, max_size=count)))
    texts = [f"0.{rate:09}" for rate in rates]
    spec = compiled(
        with_tiers(*(tier(str(end), "1", text) for end, text in zip(ends, texts, strict=True)))
        .replace("decimals = 6", "decimals = 0")
        .replace('tick = "0.1"', 'tick = "1"\n        default_leverage = "1"')
        .replace('lot = "0.001"', 'lot = "1"')
    )

    def exact_margin(value: int) -> Fraction:
        slices = itertools.pairwise([0, *ends[:-1], max(value, ends[-1])])
        return sum(
            (
                max(0, min(value, end) - start) * Fraction(text)
                for (start, end), text in zip(slices, texts, strict=True)
            ),
            Fraction(0),
        )

    values = [data.draw(st.integers(0, 2 * 10**9)), *(end + around for end in ends for around in (-1, 0, 1))]
    for value in values:
        assert maintenance_margin(spec, value) == math.floor(exact_margin(value))
    for lower, upper in itertools.pairwise(spec.tiers):
        at_the_end = lower.up_to
        assert at_the_end * lower.maintenance - lower.deduction == at_the_end * upper.maintenance - upper.deduction, (
            "tiers meet"
        )


@given(now=st.integers(0, 1 << 62), phase=st.integers(0, DAY - 1))
def test_the_next_boundary_is_the_first_one_after_now(now: int, phase: int) -> None:
    boundary = next_boundary(now, phase)
    assert now < boundary <= now + DAY
    assert (boundary - phase) % DAY == 0
    assert last_boundary(now, phase) == boundary - DAY <= now


@pytest.mark.parametrize(
    ("clock", "hour"),
    [("16:00+08:00", 8), ("00:00+00:00", 0), ("02:30+05:30", 21), ("23:30-00:30", 0), ("00:00-08:00", 8)],
)
def test_reconciliation_is_at_a_time_of_day_with_its_offset_from_utc(clock: str, hour: int) -> None:
    spec = compile_venue(parse_config(venue_toml(fund=f'reconcile_at = "{clock}"')))
    assert spec.funds["btc"].reconcile_phase == hour * 3600 * SECOND


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("8h", 28_800), ("7d", 604_800), ("999999999d", 86_399_999_913_600)],
)
def test_a_duration_is_read_in_microseconds(text: str, seconds: int) -> None:
    assert duration(text) == seconds * SECOND


def test_prices_quantities_and_amounts_have_the_places_of_their_setting() -> None:
    toml = changed('tick = "0.1"', 'tick = "0.50"').replace('lot = "0.001"', 'lot = "5"')
    spec = compiled(toml.replace(TIERS, f"[{tier('100000')}]"))
    assert spec.ticks.text(3) == "1.5"
    assert spec.lots.text(3) == "15"
    assert spec.asset.text(3) == "0.000003"
    assert spec.asset.text(0) == "0.000000"
    assert spec.price_text(0, 1) is None
    assert spec.price_text(10**6, 0) is None
    assert spec.price_text(10**6, 1) == "0.20000000"


@pytest.mark.parametrize(
    ("shard", "fund"), [("fund", "fees"), ("transit", "btc"), ("treasury", "btc"), ("usdt", "fees")]
)
def test_no_two_balances_have_the_same_name_in_the_ledger(shard: str, fund: str) -> None:
    """Else `fund/fees` would be the fund called fees and the fees of a shard called fund."""
    names = {shard, "external"} - {"usdt"}
    toml = venue_toml(market="".join(f'\n[shards.{name}]\nasset = "USDT"' for name in sorted(names)))
    if fund != "btc":
        toml += f'\n[funds.{fund}]\nasset = "USDT"'
    if shard in RESERVED_SHARDS:
        assert refusal(toml).startswith(f"shards.{shard}: ")
        return
    venue = Venue(parse_config(toml))
    states = [machine.state for machine in venue.shards.values()]
    purses = [purse for state in states for purse in (state.external, state.fees, state.transit)]
    purses += [held.purse for held in venue.settlements["USDT"].funds.values()]
    assert len(purses) == len({purse.name for purse in purses})


def partitions(shards: dict[str, int | None], assets: dict[str, int | None]) -> dict[str, int]:
    """The partitions of a venue with these shards (the first one's market is the usual one) and assets."""

    def line(number: int | None) -> str:
        return "" if number is None else f"partition = {number}\n"

    toml = venue_toml()
    for name, number in shards.items():
        if name == "usdt":
            toml = toml.replace("partition = 0\n", "").replace("[shards.usdt]\n", f"[shards.usdt]\n{line(number)}")
        else:
            toml += f'\n[shards.{name}]\nasset = "USDT"\n{line(number)}'
    for name, number in assets.items():
        if name == "USDT":
            toml = toml.replace("[assets.USDT]\n", f"[assets.USDT]\n{line(number)}")
        else:
            toml += f"\n[assets.{name}]\ndecimals = 6\n{line(number)}"
    config = parse_config(toml)
    compile_venue(config)
    return {stream.partition(":")[2]: number for stream, number in stream_partitions(config).items()}


@pytest.mark.parametrize(
    ("shards", "assets", "expected"),
    [
        ({"usdt": None}, {"USDT": None}, {"usdt": 0, "USDT": 1}),
        ({"usdt": None, "b": None}, {"USDT": None, "BTC": None}, {"usdt": 0, "b": 2, "USDT": 1, "BTC": 3}),
        ({"usdt": 4, "b": None}, {"USDT": None, "BTC": None}, {"usdt": 4, "b": 0, "USDT": 1, "BTC": 3}),
        ({"usdt": None, "b": 0}, {"USDT": None, "BTC": 1}, {"usdt": 2, "b": 0, "USDT": 3, "BTC": 1}),
        ({"usdt": 0, "b": 2}, {"USDT": 1, "BTC": None}, {"usdt": 0, "b": 2, "USDT": 1, "BTC": 3}),
        ({"usdt": None}, {"USDT": 0, "BTC": 2}, {"usdt": 4, "USDT": 0, "BTC": 2}),
    ],
)
def test_a_stream_without_a_partition_gets_one_of_its_own(
    shards: dict[str, int | None], assets: dict[str, int | None], expected: dict[str, int]
) -> None:
    """Shards the first even one that is free, assets the first odd one."""
    assert partitions(shards, assets) == expected


@pytest.mark.parametrize(
    ("shards", "assets", "said"),
    [
        ({"usdt": 0, "b": 0}, {}, "shards.b.partition: expected another than that of shards.usdt, 0"),
        ({"usdt": 0}, {"USDT": 0}, "assets.USDT.partition: expected another than that of shards.usdt, 0"),
        ({"usdt": 0}, {"USDT": 7, "BTC": 7}, "assets.BTC.partition: expected another than that of assets.USDT, 7"),
    ],
)
def test_two_streams_of_one_partition_are_refused(
    shards: dict[str, int | None], assets: dict[str, int | None], said: str
) -> None:
    """Each partition has one writer."""
    with pytest.raises(ConfigError, match=f"^{said}$"):
        partitions(shards, assets)
