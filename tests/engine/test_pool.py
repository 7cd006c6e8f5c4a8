"""Allotment and the margin check of fills, against both worked out anew in Fractions for random accounts."""

import math
from fractions import Fraction

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine.account import Account
from engine.fills import Trial, plan_fill
from engine.pool import allot, bankruptcy_value, equity, free_balance, health, liquidation_price, maintenance
from engine.position import Position
from tests.engine.pools import CONFIGS, Part, account_of, accounts
from tests.engine.scan import Scan


def by_weight(total: int, weights: dict[str, int]) -> dict[str, int]:
    """Floors of the exact shares, then a unit each by market name to those that have a weight."""
    shares = {name: math.floor(Fraction(total * weight, sum(weights.values()))) for name, weight in weights.items()}
    for name in sorted(name for name, weight in weights.items() if weight):
        if sum(shares.values()) < total:
            shares[name] += 1
    return shares


# --- allotment ------------------------------------------------------------------------------------------------


@settings(max_examples=300)
@given(drawn=accounts())
def test_equity_is_allotted_as_the_contract_says_and_the_shares_sum_to_it(drawn: tuple[str, Account]) -> None:
    contract, account = drawn
    scan = Scan(CONFIGS[contract], {"alice": account})
    standing = scan.standings()["alice", ""]
    pairs = {
        name: scan.profit_and_maintenance(position, position.market.mark)
        for name, position in account.positions.items()
    }
    weights = {name: needed for name, (_, needed) in pairs.items()}
    if not any(weights.values()):
        weights = {
            name: scan.value(name, position.market.mark, position.parcel.lots) + 1
            for name, position in account.positions.items()
        }
    lost = {name: max(0, -profit) for name, (profit, _) in pairs.items()}
    missing = -standing.equity
    if missing <= 0:
        expected = by_weight(standing.equity, weights)
    elif missing <= sum(lost.values()):
        expected = {name: -share for name, share in by_weight(missing, lost).items()}
        assert all(-share <= lost[name] for name, share in expected.items())
    else:
        excess = by_weight(missing - sum(lost.values()), weights)
        expected = {name: -lost[name] - excess[name] for name in lost}
    shares = {position.market.spec.name: share for position, share in allot(account.pool).items()}
    assert shares == expected
    assert sum(shares.values()) == standing.equity
    for name, position in account.positions.items():
        value = scan.value(name, position.market.mark, position.parcel.lots)
        gains = (position.sign > 0) == (contract == "linear")
        bankrupt = value - shares[name] if gains else value + shares[name]
        if contract == "linear" and position.sign > 0:
            bankrupt = max(bankrupt, scan.value(name, 1, position.parcel.lots))
        assert bankruptcy_value(position) == bankrupt
        assert (equity(position), maintenance(position)) == standing
    assert health(account.pool) == math.floor(Fraction(standing.equity * 2**64, max(1, standing.maintenance)))
    held = scan.initial_margins(account)
    unreserved = account.wallet.balance + scan.losses(account) - held
    assert free_balance(account) == max(0, min(unreserved, standing.equity - standing.maintenance - 1))


def test_odd_units_go_by_market_name_whatever_the_order_in_which_positions_were_opened() -> None:
    account = account_of("linear", 5, [Part(name, 1, 1, 10, 10) for name in "CAB"])
    for position in account.positions.values():
        position.market.spec = account.positions["A"].market.spec  # equal maintenance margins of 1
    assert [
        position.market is account.positions[name].market
        for position, name in zip(allot(account.pool), "ABC", strict=True)
    ]
    assert list(allot(account.pool).values()) == [2, 2, 1]


@settings(max_examples=150)
@given(drawn=accounts())
def test_the_liquidation_price_of_a_position_is_where_the_account_is_due_the_other_marks_unchanged(
    drawn: tuple[str, Account],
) -> None:
    contract, account = drawn
    scan = Scan(CONFIGS[contract], {"alice": account})
    for name, position in account.positions.items():
        text = liquidation_price(position)
        if text is None or contract == "inverse":  # a whole value of the coin is that of many prices
            continue
        price = Fraction(text)
        inside, outside = math.floor(price), math.ceil(price) + (price == math.floor(price))
        if position.sign < 0:
            inside, outside = math.ceil(price), math.floor(price) - (price == math.ceil(price))
        if inside > 0:
            assert scan.due({name: inside})
        if outside > 0:
            assert not scan.due({name: outside})


# --- fills ----------------------------------------------------------------------------------------------------


def carried_after(scan: Scan, account: Account, position: Position, sign: int, lots: int, value: int, fee: int) -> bool:
    """Whether the rules allow a fill of a position, isolated or cross, of an account with other cross positions."""
    name = position.market.spec.name
    mark, leverage = position.market.mark, Fraction(position.leverage, 10**9)
    linear = scan.config.markets[name].contract == "linear"
    closed = min(lots, position.parcel.lots) if position.sign == -sign else 0
    closing = math.floor(Fraction(value * closed, lots))
    carried = math.floor(Fraction(position.parcel.value * closed, position.parcel.lots)) if closed else 0
    realised = (closing - carried) * (1 if (position.sign > 0) == linear else -1)
    opened, opening = lots - closed, value - closing
    released = 0
    if closed and not position.is_cross:
        released = math.floor(Fraction(position.margin.balance * closed, position.parcel.lots))
        if released + realised < 0:
            return False
    open_loss = max(0, (opening - scan.value(name, mark, opened)) * (1 if (sign > 0) == linear else -1))
    required = math.ceil(opening / leverage) + open_loss if opened else 0

    left_lots, left_value = position.parcel.lots - closed, position.parcel.value - carried
    new_lots, new_value = left_lots + opened, left_value + opening
    new_sign = sign if opened else position.sign

    def profit(side: int, value_at_mark: int, entry: int) -> int:
        return (value_at_mark - entry) * (1 if (side > 0) == linear else -1)

    left_profit = profit(position.sign, scan.value(name, mark, left_lots), left_value) if left_lots else 0
    new_mark_value = scan.value(name, mark, new_lots)
    new_profit = profit(new_sign, new_mark_value, new_value) if new_lots else 0
    others = [other for other in account.positions.values() if other is not position]
    pairs = [scan.profit_and_maintenance(other, other.market.mark) for other in others]
    other_profit, other_needed = sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)
    other_losses = sum(min(0, pair[0]) for pair in pairs)
    other_initial = sum(math.ceil(other.parcel.value / Fraction(other.leverage, 10**9)) for other in others)
    wallet = account.wallet.balance + released + realised - fee
    if position.is_cross:
        own = wallet + new_profit + other_profit
        needed = scan.maintenance(name, new_mark_value) + other_needed
        without_profit = wallet + min(0, left_profit) + other_losses
        if not opened:
            before_profit, before_needed = scan.profit_and_maintenance(position, mark)
            before = account.wallet.balance + before_profit + other_profit - before_needed - other_needed
            return own >= needed and (without_profit >= 0 or own - needed >= before)
        left_initial = math.ceil(left_value / leverage)
        return without_profit >= left_initial + other_initial + required and own > needed
    wallet -= required
    margin = position.margin.balance - released + required
    if opened and margin + new_profit <= scan.maintenance(name, new_mark_value):
        return False
    if not others:
        return wallet >= 0
    if opened:
        return wallet + other_losses >= other_initial and wallet + other_profit > other_needed
    return wallet >= account.wallet.balance or wallet + other_profit >= other_needed


@settings(max_examples=700)
@given(
    drawn=accounts(),
    isolated=st.booleans(),
    margin=st.integers(0, 60),
    sign=st.sampled_from([1, -1]),
    lots=st.integers(1, 12),
    away=st.integers(-12, 12),
    fee_rate=st.sampled_from([0, 0, 10**8, -(10**8)]),
    flat=st.booleans(),
)
def test_a_fill_is_carried_exactly_when_the_rules_say_so(
    drawn: tuple[str, Account],
    isolated: bool,
    margin: int,
    sign: int,
    lots: int,
    away: int,
    fee_rate: int,
    flat: bool,
) -> None:
    contract, account = drawn
    position = next(iter(account.positions.values()))
    if flat:
        position.sign = 0
        position.parcel.lots = position.parcel.value = position.parcel.start_lots = position.parcel.start_value = 0
    position.is_cross = not isolated
    if isolated and not flat:
        position.margin.balance = margin
    position.join_pool()
    scan = Scan(CONFIGS[contract], {"alice": account})
    value = max(0, scan.value(position.market.spec.name, position.market.mark, lots) + away)
    fee = math.ceil(Fraction(value * fee_rate, 10**9))
    assume(account.pool.positions or account.wallet.balance >= 0)
    assume((position.account.name, position.market.spec.name) not in scan.due())  # an isolated one is not due before
    expected = carried_after(scan, account, position, sign, lots, value, fee)
    trial = Trial(position)
    fill = plan_fill(trial, sign, lots, value, fee_rate)
    assert (fill is not None) == expected
    if fill is None:
        return
    wallet, before = account.wallet.balance, account.wallet.balance + position.margin.balance
    trial.trade(sign, fill)
    after = trial.wallet.balance + trial.margin.balance
    assert after == before + fill.realised - fee
    assert account.wallet.balance == wallet, "a trial changes nothing"
    if position.is_cross:
        assert trial.margin.balance == 0


def test_a_first_cross_position_needs_what_it_requires_to_the_unit() -> None:
    """A cross short that opens with exactly what it requires, and one with a unit less."""
    for wallet, carried in ((10, True), (9, False)):
        account = account_of("linear", wallet, [Part("A", 1, 1, 10, 10)])
        position = account.positions["A"]
        position.sign = 0
        position.parcel.lots = position.parcel.value = 0
        position.join_pool()
        assert (plan_fill(position, -1, 1, 10, 0) is not None) == carried
