"""Refusals: a command that makes no sense for the state is answered, and changes nothing.

A handler raises `Refused` before it changes anything; the shard or settlement turns it into the `*.rejected`
event of the command's kind. The codes are stable; docs/wire.md lists them.
"""

from typing import Literal

Code = Literal[
    "amount_too_large",
    "bad_leverage",
    "bad_rate",
    "book_full",
    "display_too_large",
    "display_too_small",
    "duplicate_order_id",
    "expired",
    "funding_running",
    "in_liquidation",
    "insufficient_margin",
    "insufficient_balance",
    "invalid_config",
    "leverage_too_high",
    "loss_uncovered",
    "market_halted",
    "market_reduce_only",
    "no_mark",
    "no_position",
    "not_isolated",
    "not_supported",
    "order_too_large",
    "off_lot",
    "off_tick",
    "off_unit",
    "position_limit",
    "post_only",
    "price_band",
    "reduce_only",
    "reserved_account",
    "settlement_behind",
    "too_old",
    "too_many_orders",
    "transfer_mismatch",
    "unknown_account",
    "unknown_fund",
    "unknown_market",
    "unknown_order",
    "unsupported_change",
    "would_trigger",
    "wrong_asset",
    "wrong_shard",
]


class Refused(Exception):
    """A stable code and a sentence that says what was found and what was expected."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(code, reason)
        self.code: Code = code
        self.reason = reason
