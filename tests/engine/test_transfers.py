"""Money in and out of accounts: once each, only what is free; leverage and isolated margin, and their refusals."""

from fractions import Fraction
from typing import Any

import pytest

from engine.spec import DAY
from schemas.envelope import Event
from schemas.events import (
    AccountRejected,
    AccountUpdated,
    LedgerPosted,
    LiquidationStarted,
    OrderAccepted,
    PositionUpdated,
    TransferKnown,
)
from tests.engine.stage import MARKET, SECOND, Stage, codes, of_type, second_market
from tests.engine.test_order_commands import TWO_TIERS, apply_alone
from tests.engine.test_order_margin import long_of_margin_1000
from tests.engine.test_orders import open_market


def withdraw(stage: Stage, account: str, amount: str, transfer_id: str = "", **fields: Any) -> list[Event]:
    """Money out of an account."""
    transfer_id = transfer_id or f"w{len(stage.log)}"
    command = {"shard": "usdt", "account": account, "amount": amount, "transfer_id": transfer_id, **fields}
    return stage.send("account.withdraw", **command)


def wallet(stage: Stage, account: str) -> str:
    """What an account holds."""
    text: str = stage.account(account)["wallet"]
    return text


# --- deposits and withdrawals ---------------------------------------------------------------------------------


def test_a_deposit_opens_the_account_and_a_withdrawal_takes_it_out_again() -> None:
    stage = Stage()
    events = stage.deposit("alice", "12.5")
    assert [(event.account, event.wallet) for event in of_type(events, AccountUpdated)] == [("alice", "12.500000")]
    (posted,) = of_type(events, LedgerPosted)
    assert [(line.debit, line.credit, line.amount) for line in posted.lines] == [
        ("usdt/external", "usdt/wallet/alice", "12.500000")
    ]
    events = withdraw(stage, "alice", "12.499999")
    assert [(event.account, event.wallet) for event in of_type(events, AccountUpdated)] == [("alice", "0.000001")]
    assert codes(withdraw(stage, "alice", "0.000001")) == []


def test_a_repeated_transfer_is_answered_and_not_applied_again() -> None:
    stage = Stage()
    stage.deposit("alice", "10", transfer_id="in")
    for amount in ("10", "10.0", "010"):  # the same amount, however it is written
        (answer,) = stage.deposit("alice", amount, transfer_id="in")
        assert isinstance(answer, TransferKnown)
        assert (answer.transfer_id, answer.account) == ("in", "alice")
    withdraw(stage, "alice", "4", "out")
    (answer,) = withdraw(stage, "alice", "4", "out")
    assert isinstance(answer, TransferKnown)
    assert wallet(stage, "alice") == "6.000000"


@pytest.mark.parametrize(
    ("type_", "change"),
    [
        ("account.deposit", {"amount": "11"}),
        ("account.deposit", {"account": "bob"}),
        ("account.withdraw", {}),
    ],
)
def test_a_known_transfer_id_with_other_contents_is_refused(type_: str, change: dict[str, str]) -> None:
    stage = Stage()
    stage.deposit("alice", "10", transfer_id="t")
    stage.deposit("bob", "10")
    before = stage.rows()
    command = {"shard": "usdt", "account": "alice", "amount": "10", "transfer_id": "t", **change}
    (refused,) = stage.send(type_, **command)
    assert isinstance(refused, AccountRejected)
    assert (refused.code, refused.transfer_id) == ("transfer_mismatch", "t")
    assert stage.rows() == before


def test_a_transfer_id_is_remembered_for_seven_days_of_event_time() -> None:
    stage = Stage()
    stage.deposit("alice", "10", transfer_id="t")
    applied_at = stage.now
    stage.now = applied_at + 7 * DAY - 1 - SECOND
    assert isinstance(stage.deposit("alice", "10", transfer_id="t")[-1], TransferKnown)
    assert wallet(stage, "alice") == "10.000000"
    stage.now = applied_at + 7 * DAY - SECOND
    assert codes(stage.deposit("alice", "10", transfer_id="t")) == []
    assert wallet(stage, "alice") == "20.000000"


def test_a_transfer_too_old_to_rule_out_a_repetition_is_refused() -> None:
    stage = Stage()
    stage.deposit("alice", "10", transfer_id="t")
    sent_at = stage.now
    stage.now += 7 * DAY
    stage.send("clock.tick")
    now = stage.now
    repeated = {"shard": "usdt", "account": "alice", "amount": "10"}
    assert codes(stage.send("account.deposit", **repeated, ts=sent_at, transfer_id="t")) == ["too_old"]
    assert codes(stage.send("account.withdraw", **repeated, ts=now - 7 * DAY, transfer_id="n")) == ["too_old"]
    assert codes(stage.send("account.withdraw", **repeated, ts=now - 7 * DAY + 1, transfer_id="n")) == []


def test_the_memory_of_transfers_is_a_setting() -> None:
    stage = Stage(limits='transfer_memory = "10s"')
    stage.deposit("alice", "10", transfer_id="t")
    stage.now += 9 * SECOND
    assert codes(stage.deposit("alice", "10", transfer_id="t")) == []
    assert wallet(stage, "alice") == "20.000000"


def test_a_refused_transfer_moves_nothing_and_leaves_its_id_free() -> None:
    stage = Stage()
    stage.deposit("alice", "10")
    assert codes(withdraw(stage, "alice", "11", "t")) == ["insufficient_balance"]
    stage.deposit("alice", "1")
    assert codes(withdraw(stage, "alice", "11", "t")) == []


@pytest.mark.parametrize("type_", ["account.deposit", "account.withdraw"])
@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("off_unit", {"amount": "0.0000001"}),
        ("off_unit", {"amount": "1.0000010001"}),
        ("amount_too_large", {"amount": "9223372036854.775808"}),
        ("wrong_shard", {"shard": "other"}),
    ],
)
def test_a_transfer_that_makes_no_sense_is_refused_and_changes_nothing(
    type_: str, code: str, change: dict[str, str]
) -> None:
    stage = Stage()
    stage.deposit("alice", "10")
    before = stage.rows()
    command = {"shard": "usdt", "account": "alice", "amount": "1", "transfer_id": "t", **change}
    (refused,) = stage.send(type_, **command)
    assert isinstance(refused, AccountRejected)
    assert (refused.code, refused.account, refused.transfer_id) == (code, "alice", "t")
    assert stage.rows() == before


def test_a_shard_without_markets_takes_deposits_and_ticks() -> None:
    stage = Stage(market='\n[shards.empty]\nasset = "USDT"')
    assert codes(stage.send("account.deposit", shard="empty", account="alice", amount="1", transfer_id="t")) == []
    assert stage.send("clock.tick") == []


def test_nothing_can_be_withdrawn_from_an_account_that_never_had_a_deposit() -> None:
    stage = Stage()
    assert codes(withdraw(stage, "nobody", "1")) == ["unknown_account"]


def test_the_deposits_of_a_shard_stay_below_two_to_the_63_units() -> None:
    stage = Stage()
    assert codes(stage.deposit("alice", "9223372036854.775807")) == []
    assert codes(stage.deposit("bob", "0.000001")) == ["amount_too_large"]
    withdraw(stage, "alice", "0.000001")
    assert codes(stage.deposit("bob", "0.000001")) == []


def test_accounts_cannot_have_the_names_of_funds() -> None:
    """In trades `fund:<name>` is a fund that unwinds."""
    stage = Stage()
    assert codes(stage.deposit("fund:btc", "1")) == ["reserved_account"]
    assert codes(stage.deposit("fund:", "1")) == ["reserved_account"]
    assert codes(stage.deposit("funds", "1")) == []
    assert codes(stage.deposit("my.fund:btc", "1")) == []
    assert codes(withdraw(stage, "fund:btc", "1")) == ["unknown_account"]


# --- what is free ---------------------------------------------------------------------------------------------


def test_what_open_orders_hold_back_cannot_be_withdrawn() -> None:
    stage = open_market()
    stage.buy("alice", "1", "9000", order_id="a")
    assert codes(withdraw(stage, "alice", "99100.000001")) == ["insufficient_balance"]
    assert codes(withdraw(stage, "alice", "99100")) == []
    stage.cancel("alice", "a")
    assert codes(withdraw(stage, "alice", "900.000001")) == ["insufficient_balance"]
    assert codes(withdraw(stage, "alice", "900")) == []


def test_unrealised_profit_and_margin_cannot_be_withdrawn_nor_ordered_with() -> None:
    stage = long_of_margin_1000()
    stage.mark("10900")
    assert stage.position("alice")["unrealised_pnl"] == "900.000000"
    assert stage.account("alice")["free"] == "0.000000"
    assert codes(withdraw(stage, "alice", "0.000001")) == ["insufficient_balance"]
    assert codes(stage.buy("alice", "0.001", "9000")) == ["insufficient_margin"]
    assert codes(stage.margin("alice", "0.000001")) == ["insufficient_balance"]
    stage.buy("carol", "1", "10900")
    stage.sell("alice", "1")
    assert codes(withdraw(stage, "alice", "1900")) == []


def test_a_refused_withdrawal_says_what_was_asked_for_and_what_is_free() -> None:
    stage = open_market()
    stage.buy("alice", "1", "9000")
    (refused,) = withdraw(stage, "alice", "99101")
    assert isinstance(refused, AccountRejected)
    assert refused.reason == "99101.000000 asked for, 99100.000000 is free"


# --- leverage -------------------------------------------------------------------------------------------------


def test_leverage_margins_open_orders_anew_and_leaves_the_margin_of_the_position() -> None:
    stage = open_market()
    stage.open_position("alice", "buy", "1", "10000", "10", against="bob")
    stage.buy("alice", "1", "9000")
    assert stage.account("alice")["free"] == "98100.000000"
    (update,) = of_type(stage.leverage("alice", "20"), PositionUpdated)
    assert (update.leverage, update.margin) == ("20", "1000.000000")
    assert stage.account("alice")["free"] == "98550.000000"
    stage.leverage("alice", "2.5")
    assert stage.account("alice")["free"] == "95400.000000"
    assert stage.position("alice")["margin"] == "1000.000000"


def test_leverage_that_open_orders_cannot_afford_is_refused_and_changes_nothing() -> None:
    stage = open_market()
    stage.buy("alice", "50", "10000")
    stage.sell("alice", "40", "11000")
    before = stage.rows()
    assert codes(stage.leverage("alice", "4.9")) == ["insufficient_margin"]
    assert stage.rows() == before
    assert stage.account("alice")["free"] == "50000.000000"
    assert codes(stage.leverage("alice", "5")) == []
    assert stage.account("alice")["free"] == "0.000000"


def test_reduce_only_orders_need_nothing_at_any_leverage() -> None:
    stage = long_of_margin_1000()
    stage.sell("alice", "1", "11000", reduce_only=True)
    assert codes(stage.leverage("alice", "1")) == []
    assert stage.account("alice")["free"] == "0.000000"


@pytest.mark.parametrize(
    ("leverage", "code"),
    [
        ("100", []),
        ("100.000000001", ["leverage_too_high"]),
        ("99999999999999999999", ["bad_leverage"]),
        ("1.0000000001", ["bad_leverage"]),
        ("0.000000001", []),
    ],
)
def test_leverage_is_at_most_one_over_the_initial_rate_of_the_first_tier(leverage: str, code: list[str]) -> None:
    stage = open_market()
    assert codes(stage.leverage("alice", leverage)) == code


def test_leverage_has_to_fit_the_tier_of_position_and_orders() -> None:
    """Above 50,000 the initial rate is 20 %."""
    stage = open_market(tiers=TWO_TIERS)
    for name in ("alice", "bob"):
        stage.leverage(name, "1")
    stage.open_position("alice", "buy", "4", "10000", "1", against="bob")
    assert codes(stage.leverage("alice", "100")) == []
    assert codes(stage.leverage("alice", "1")) == []
    stage.buy("alice", "1.001", "10000", order_id="a")
    assert codes(stage.leverage("alice", "5.000000001")) == ["leverage_too_high"]
    assert codes(stage.leverage("alice", "5")) == []
    stage.cancel("alice", "a")
    assert codes(stage.leverage("alice", "100")) == []
    stage.mark("12501")
    assert codes(stage.leverage("alice", "99")) == []  # lowering it is never refused for the tier
    assert codes(stage.leverage("alice", "99.5")) == ["leverage_too_high"]


def test_leverage_can_be_lowered_whatever_the_mark_made_of_the_position() -> None:
    """Lifted over its last tier, a position fits no leverage; a lower one still means less risk."""
    stage = open_market(tiers='[{ up_to = "50000", initial = "0.01", maintenance = "0.005" }]')
    stage.open_position("alice", "buy", "5", "10000", "10", against="bob")
    stage.mark("10001")
    assert codes(stage.leverage("alice", "10.1")) == ["leverage_too_high"]
    assert codes(stage.leverage("alice", "10")) == []
    assert codes(stage.leverage("alice", "1")) == []


def test_leverage_holds_for_the_next_fills() -> None:
    stage = open_market()
    stage.leverage("alice", "20")
    stage.sell("bob", "1", "10000")
    stage.buy("alice", "1")
    assert stage.position("alice")["margin"] == "500.000000"


# --- isolated margin ------------------------------------------------------------------------------------------


def test_margin_is_added_from_the_free_balance_only() -> None:
    stage = open_market()
    stage.open_position("alice", "buy", "1", "10000", "10", against="bob")
    stage.buy("alice", "10", "9000")
    assert codes(stage.margin("alice", "90000.000001")) == ["insufficient_balance"]
    (update,) = of_type(stage.margin("alice", "90000"), PositionUpdated)
    assert (update.margin, update.wallet) == ("91000.000000", "9000.000000")
    assert stage.account("alice")["free"] == "0.000000"


def test_what_stands_above_initial_margin_can_be_taken_back() -> None:
    stage = open_market()
    stage.open_position("alice", "buy", "1", "10000", "10", against="bob")
    assert codes(stage.margin("alice", "-0.000001")) == ["insufficient_margin"]
    stage.margin("alice", "250")
    assert codes(stage.margin("alice", "-250.000001")) == ["insufficient_margin"]
    (update,) = of_type(stage.margin("alice", "-250"), PositionUpdated)
    assert (update.margin, update.wallet) == ("1000.000000", "99000.000000")


def test_a_loss_is_kept_behind_when_margin_is_taken_and_a_profit_frees_none() -> None:
    stage = open_market()
    stage.open_position("alice", "buy", "1", "10000", "10", against="bob")
    stage.margin("alice", "250")
    stage.mark("9900")
    assert codes(stage.margin("alice", "-150.000001")) == ["insufficient_margin"]
    assert codes(stage.margin("alice", "-150")) == []
    stage.mark("10500")
    (refused,) = stage.margin("alice", "-100.000001")
    assert isinstance(refused, AccountRejected)
    assert (refused.code, refused.reason) == (
        "insufficient_margin",
        "100.000001 asked for, 100.000000 can be taken",
    )


def test_taking_margin_out_never_makes_a_position_liquidatable() -> None:
    """Short 1 at 10,000, leverage 100, mark 30,000: maintenance is 150, and equity has to stay above it."""
    stage = open_market()
    stage.deposit("bob", "1000000")
    stage.open_position("alice", "sell", "1", "10000", "100", against="bob")
    stage.margin("alice", "21000")
    assert of_type(stage.mark("30000"), LiquidationStarted) == []
    assert codes(stage.margin("alice", "-950")) == ["insufficient_margin"]
    assert codes(stage.margin("alice", "-949.999999")) == []
    assert of_type(stage.mark("30000"), LiquidationStarted) == []
    assert of_type(stage.mark("30000.1"), LiquidationStarted)


def test_a_higher_leverage_frees_margin_of_the_position() -> None:
    stage = open_market()
    stage.open_position("alice", "sell", "1", "10000", "10", against="bob")
    stage.leverage("alice", "30")
    assert codes(stage.margin("alice", "-666.666667")) == ["insufficient_margin"]  # 10,000 ÷ 30 is rounded up
    assert codes(stage.margin("alice", "-666.666666")) == []
    assert stage.position("alice")["margin"] == "333.333334"


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("unknown_market", {"market": "DOGE-USDT"}),
        ("unknown_account", {"account": "nobody"}),
        ("no_position", {"account": "bob"}),
        ("no_position", {"market": "ETH-USDT"}),
        ("off_unit", {"amount": "0.0000001"}),
        ("off_unit", {"amount": "-0.0000001"}),
        ("amount_too_large", {"amount": "9223372036854.775808"}),
        ("amount_too_large", {"amount": "-9223372036854.775808"}),
        ("insufficient_balance", {"amount": "9223372036854.775807"}),
        ("insufficient_margin", {"amount": "-9223372036854.775807"}),
    ],
)
def test_a_margin_command_that_makes_no_sense_is_refused_and_changes_nothing(code: str, change: dict[str, str]) -> None:
    stage = open_market(market=second_market())
    stage.open_position("alice", "buy", "1", "10000", "10", against="carol")
    stage.buy("bob", "1", "9000")
    before = stage.rows()
    command = {"market": MARKET, "account": "alice", "amount": "1", **change}
    (refused,) = stage.send("account.margin", **command)
    assert isinstance(refused, AccountRejected)
    assert (refused.code, refused.account, refused.market) == (code, command["account"], command["market"])
    assert stage.rows() == before


# --- margin mode ----------------------------------------------------------------------------------------------


def test_the_mode_of_a_flat_position_is_changed_and_confirmed() -> None:
    stage = open_market()
    for mode in ("isolated", "cross", "cross", "isolated"):
        (update,) = of_type(
            stage.send("account.margin_mode", market=MARKET, account="alice", mode=mode), PositionUpdated
        )
        assert (update.account, update.side, update.mode) == ("alice", "flat", mode)


@pytest.mark.parametrize(
    ("type_", "fields"),
    [("account.leverage", {"leverage": "5"}), ("account.margin_mode", {"mode": "isolated"})],
)
def test_settings_of_an_unknown_market_or_account_are_refused(type_: str, fields: dict[str, str]) -> None:
    stage = open_market()
    assert codes(stage.send(type_, market="DOGE-USDT", account="alice", **fields)) == ["unknown_market"]
    assert codes(stage.send(type_, market=MARKET, account="nobody", **fields)) == ["unknown_account"]


# --- while a liquidation waits --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "fields"),
    [
        ("account.withdraw", {"shard": "usdt", "amount": "1", "transfer_id": "w"}),
        ("account.leverage", {"market": MARKET, "leverage": "5"}),
        ("account.margin_mode", {"market": MARKET, "mode": "isolated"}),
        ("account.margin", {"market": MARKET, "amount": "1"}),
        ("account.cancel_after", {"shard": "usdt", "seconds": 5}),
        ("account.margin", {"market": MARKET, "amount": "-1"}),
    ],
)
def test_an_account_that_waits_for_its_liquidation_moves_nothing(type_: str, fields: dict[str, Any]) -> None:
    """Of three bankrupt accounts one is liquidated at the mark, one before the next command, and one waits."""
    stage = open_market(limits="liquidations_per_command = 1")
    for name in ("long1", "long2", "long3"):
        stage.deposit(name, "1100")
        stage.open_position(name, "buy", "1", "10000", "10", against="bob")
    apply_alone(stage, "price.mark", market=MARKET, price="9000")
    assert codes(apply_alone(stage, type_, account="long3", **fields)) == ["in_liquidation"]
    apply_alone(stage, "clock.tick")
    wanted = ["no_position"] if type_ == "account.margin" else []
    assert codes(apply_alone(stage, type_, account="long3", **fields)) == wanted


def test_a_deposit_is_booked_while_the_account_waits_and_does_not_save_its_position() -> None:
    stage = open_market(limits="liquidations_per_command = 1")
    for name in ("long1", "long2", "long3"):
        stage.deposit(name, "1000")
        stage.open_position(name, "buy", "1", "10000", "10", against="bob")
    apply_alone(stage, "price.mark", market=MARKET, price="9000")
    deposit = {"shard": "usdt", "account": "long3", "amount": "500", "transfer_id": "d"}
    assert codes(apply_alone(stage, "account.deposit", **deposit)) == []
    apply_alone(stage, "clock.tick")
    account = stage.account("long3")
    assert (account["wallet"], account["free"], account["positions"]) == ("500.000000", "500.000000", {})


def test_a_waiting_account_that_is_healthy_again_is_let_go() -> None:
    """long3 waits at 9,040; before its turn comes the mark is back at 10,000."""
    stage = open_market(limits="liquidations_per_command = 1")
    for name in ("long1", "long2", "long3"):
        stage.deposit(name, "1000")
        stage.open_position(name, "buy", "1", "10000", "10", against="bob")
    apply_alone(stage, "price.mark", market=MARKET, price="9040")
    apply_alone(stage, "price.mark", market=MARKET, price="10000")
    order = {"market": MARKET, "account": "long3", "order_id": "x", "side": "sell", "kind": "limit"}
    events = apply_alone(stage, "order.new", **order, price="10000", qty="1")
    assert [type(event) for event in events] == [OrderAccepted]
    assert stage.position("long3")["qty"] == "1.000"
    assert Fraction(stage.position("long3")["margin"]) == 1000


def test_the_leverage_in_an_inverse_market_may_be_set_before_its_first_mark() -> None:
    stage = Stage(market='contract = "inverse"')
    stage.deposit("alice", "10")
    (updated,) = of_type(stage.leverage("alice", "50"), PositionUpdated)
    assert updated.leverage == "50"
