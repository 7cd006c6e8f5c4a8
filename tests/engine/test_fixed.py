"""Exact numbers: what text means in integers, and which way each division rounds."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import fixed
from engine.fixed import (
    Grid,
    decimal_text,
    derived_price_text,
    divide_down,
    divide_up,
    largest_remainders,
    ratio_text,
    scaled,
    share_down,
    trimmed_text,
)

INTEGERS = st.integers(-(10**40), 10**40)
POSITIVE = st.integers(1, 10**30)
PLACES = st.integers(0, 18)
DECIMALS = st.from_regex(r"-?[0-9]{1,24}(\.[0-9]{1,18})?", fullmatch=True)


@given(value=INTEGERS, places=PLACES)
def test_text_and_scaled_integer_round_trip(value: int, places: int) -> None:
    assert scaled(decimal_text(value, places), places) == value


@given(text=DECIMALS, places=PLACES)
def test_a_decimal_string_is_read_exactly_or_not_at_all(text: str, places: int) -> None:
    exact = Fraction(text) * 10**places
    assert scaled(text, places) == (exact if exact.denominator == 1 else None)


@given(value=INTEGERS, places=PLACES)
def test_canonical_text_has_all_its_places_and_one_way_to_write_a_value(value: int, places: int) -> None:
    text = decimal_text(value, places)
    whole, _, fraction = text.removeprefix("-").partition(".")
    assert len(fraction) == places
    assert text.startswith("-") == (value < 0)
    assert whole == str(int(whole))
    assert Fraction(text) == Fraction(value, 10**places)


@given(value=INTEGERS, places=PLACES)
def test_trimmed_text_says_the_same_without_trailing_zeros(value: int, places: int) -> None:
    text = trimmed_text(value, places)
    assert Fraction(text) == Fraction(value, 10**places)
    assert "." not in text or text[-1] not in "0."


@given(numerator=INTEGERS, denominator=POSITIVE)
def test_charges_round_up_and_payments_round_down(numerator: int, denominator: int) -> None:
    exact = Fraction(numerator, denominator)
    assert divide_up(numerator, denominator) == math.ceil(exact)
    assert divide_down(numerator, denominator) == math.floor(exact)


@given(value=st.integers(0, 10**30), whole=POSITIVE, data=st.data())
def test_what_leaves_with_a_part_is_rounded_down_and_all_of_it_is_everything(
    value: int, whole: int, data: st.DataObject
) -> None:
    part = data.draw(st.integers(0, whole))
    assert share_down(value, part, whole) == math.floor(Fraction(value) * part / whole)
    assert share_down(value, whole, whole) == value
    assert share_down(value, 0, whole) == 0


@given(weights=st.lists(st.integers(0, 10**12), min_size=1, max_size=30), data=st.data())
def test_largest_remainders_split_exactly_within_one_unit_and_within_the_weights(
    weights: list[int], data: st.DataObject
) -> None:
    whole = sum(weights)
    if not whole:
        weights, whole = [*weights, 1], 1
    total = data.draw(st.integers(0, whole))
    shares = largest_remainders(total, weights)
    assert sum(shares) == total
    for share, weight in zip(shares, weights, strict=True):
        assert 0 <= share <= weight
        assert abs(share - Fraction(total * weight, whole)) < 1


@given(weights=st.lists(st.integers(1, 1000), min_size=1, max_size=10), total=st.integers(0, 10**9))
def test_the_units_that_rounding_leaves_go_to_the_largest_remainders(weights: list[int], total: int) -> None:
    whole = sum(weights)
    remainders = [total * weight % whole for weight in weights]
    shares = largest_remainders(total, weights)
    got_one = [share > total * weight // whole for share, weight in zip(shares, weights, strict=True)]
    for i, lucky in enumerate(got_one):
        for j, other in enumerate(got_one):
            if lucky and not other:
                assert (-remainders[i], i) < (-remainders[j], j)


def test_of_equal_remainders_the_earlier_gets_the_odd_unit() -> None:
    assert largest_remainders(5, [1, 1, 1]) == [2, 2, 1]
    assert largest_remainders(1, [7, 7]) == [1, 0]
    assert largest_remainders(0, [7, 7]) == [0, 0]


@given(numerator=POSITIVE, denominator=POSITIVE)
def test_a_derived_price_is_rounded_half_away_from_zero_at_eight_places(numerator: int, denominator: int) -> None:
    exact = Fraction(numerator, denominator) * 10**8
    assert Fraction(derived_price_text(numerator, denominator)) * 10**8 == math.floor(exact + Fraction(1, 2))


@pytest.mark.parametrize(
    ("numerator", "denominator", "text"),
    [
        (1, 3, "0.33333333"),
        (2, 3, "0.66666667"),
        (1, 2 * 10**8, "0.00000001"),
        (3, 2 * 10**8, "0.00000002"),
        (1, 2 * 10**8 + 1, "0.00000000"),
        (10_500, 1, "10500.00000000"),
    ],
)
def test_derived_prices_by_example(numerator: int, denominator: int, text: str) -> None:
    assert derived_price_text(numerator, denominator) == text


@given(numerator=INTEGERS, denominator=POSITIVE)
def test_a_ratio_is_cut_towards_zero_at_eighteen_places(numerator: int, denominator: int) -> None:
    text = ratio_text(numerator, denominator)
    assert Fraction(text) * 10**18 == math.trunc(Fraction(numerator, denominator) * 10**18)
    assert len(text.partition(".")[2]) == 18


def test_a_ratio_that_is_cut_to_zero_has_no_sign() -> None:
    assert ratio_text(-1, 10**19) == "0.000000000000000000"
    assert ratio_text(-1, 8) == "-0.125000000000000000"


@given(step=st.integers(1, 10**6), places=PLACES, steps=st.integers(0, 10**15))
def test_a_grid_reads_back_what_it_writes(step: int, places: int, steps: int) -> None:
    grid = Grid(step, places)
    assert Fraction(grid.text(steps)) == Fraction(steps * step, 10**places)
    assert grid.parse(grid.text(steps)) == steps


@given(text=DECIMALS.filter(lambda text: text[0] != "-"), step=st.integers(1, 60), places=st.integers(0, 4))
def test_what_lies_off_the_grid_is_no_number_of_steps(text: str, step: int, places: int) -> None:
    steps = Fraction(text) / Fraction(step, 10**places)
    assert Grid(step, places).parse(text) == (steps if steps.denominator == 1 else None)


def test_a_quarter_has_no_neighbours_on_a_grid_of_quarters() -> None:
    grid = Grid(25, 2)
    on_grid = [hundredths for hundredths in range(400) if grid.parse(decimal_text(hundredths, 2)) is not None]
    assert on_grid == list(range(0, 400, 25))


def test_a_grid_has_one_answer_for_every_way_to_write_a_number() -> None:
    grid = Grid(5, 1)
    assert [grid.parse(text) for text in ("10.5", "0010.50", "10.500000", "10.5")] == [21, 21, 21, 21]
    assert grid.text(21) == "10.5"
    assert (grid.parse("10.4"), grid.parse("10.55")) == (None, None)


def test_the_memory_of_a_grid_is_bounded_and_changes_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixed, "_CACHE_ENTRIES_MAX", 3)
    small = Grid(5, 2)
    for i in list(range(50)) * 2:
        text = f"{i // 20}.{i % 20 * 5:02}"
        assert small.parse(text) == i
        assert small.text(i) == text
        assert small.parse(f"{text}1") is None
        assert len(small._parsed) <= 3
        assert len(small._texts) <= 3
