"""Field types that commands, events and config share, and the checks that msgspec's own types leave open.

Identifiers and decimals carry their pattern as JSON Schema documentation only: a `pattern` that msgspec
enforces itself costs several times the decoding of the whole record, so `__post_init__` of each struct calls
the checks below instead. Either way a struct that exists is valid.
"""

import re
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

INT64_MAX: Final = (1 << 63) - 1

ID_PATTERN: Final = r"^[A-Za-z0-9._:-]{1,64}$"
DERIVED_ID_PATTERN: Final = r"^[A-Za-z0-9._:-]{1,128}$"
UNSIGNED_PATTERN: Final = r"^[0-9]{1,24}(\.[0-9]{1,18})?$"
SIGNED_PATTERN: Final = r"^-?[0-9]{1,24}(\.[0-9]{1,18})?$"
POSITIVE_PATTERN: Final = r"^(?=.*[1-9])[0-9]{1,24}(\.[0-9]{1,18})?$"
NON_ZERO_PATTERN: Final = r"^(?=.*[1-9])-?[0-9]{1,24}(\.[0-9]{1,18})?$"
PRINTED_PATTERN: Final = r"^-?[0-9]+(\.[0-9]{1,18})?$"
SETTING_DEPTH_MAX: Final = 8
"""How deep the changes of a `config.set` may nest: the config file needs four levels."""

_ID_CHARACTERS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-")
_match_unsigned: Final = re.compile(UNSIGNED_PATTERN[1:-1]).fullmatch
_match_signed: Final = re.compile(SIGNED_PATTERN[1:-1]).fullmatch
_ZERO_CHARACTERS: Final = frozenset("0.")

Timestamp = Annotated[int, Meta(ge=0, le=INT64_MAX, description="microseconds since the epoch, UTC")]
Sequence = Annotated[int, Meta(ge=0, le=INT64_MAX)]
Id = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        description="1 to 64 characters of A-Z a-z 0-9 . _ : -",
        extra_json_schema={"pattern": ID_PATTERN},
    ),
]
DerivedId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        description="an identifier or one that is built from others, like `fund:<name>`",
        extra_json_schema={"pattern": DERIVED_ID_PATTERN},
    ),
]
Decimal = Annotated[
    str,
    Meta(
        max_length=43,
        description='unsigned decimal string like "0.125", no exponent',
        extra_json_schema={"pattern": UNSIGNED_PATTERN},
    ),
]
PositiveDecimal = Annotated[
    str,
    Meta(
        max_length=43,
        description="unsigned decimal string above zero, no exponent",
        extra_json_schema={"pattern": POSITIVE_PATTERN},
    ),
]
SignedDecimal = Annotated[
    str,
    Meta(
        max_length=44,
        description="decimal string with an optional leading minus, no exponent",
        extra_json_schema={"pattern": SIGNED_PATTERN},
    ),
]
NonZeroDecimal = Annotated[
    str,
    Meta(
        max_length=44,
        description="decimal string other than zero with an optional leading minus, no exponent",
        extra_json_schema={"pattern": NON_ZERO_PATTERN},
    ),
]
Price8 = Annotated[
    str,
    Meta(
        description="derived price, rounded to 8 decimals for print",
        examples=["7000.40290089"],
        extra_json_schema={"pattern": PRINTED_PATTERN},
    ),
]
Ratio = Annotated[
    str,
    Meta(
        description="exact ratio, cut to 18 decimals for print",
        examples=["0.125"],
        extra_json_schema={"pattern": PRINTED_PATTERN},
    ),
]

Side = Literal["buy", "sell"]
PositionSide = Literal["long", "short", "flat"]
OrderKind = Literal["limit", "market"]
TimeInForce = Literal["gtc", "gtt", "ioc", "fok"]
SelfTradePrevention = Literal["cancel_taker", "cancel_maker", "cancel_both"]
TriggerSource = Literal["mark", "last"]
TriggerWhen = Literal["rises_to", "falls_to"]
MarginMode = Literal["isolated", "cross"]
CancelReason = Literal[
    "requested",
    "ioc",
    "fok",
    "self_trade",
    "reduce_only",
    "margin",
    "liquidation",
    "adl",
    "book_full",
    "max_fills",
    "expired",
    "disconnected",
    "refused",
]
CauseKind = Literal[
    "surplus",
    "fee",
    "takeover_pnl",
    "injection",
    "donation",
    "withdrawal",
    "transfer",
    "rebalance",
    "fee_share",
    "deficit",
    "loss",
    "opening",
]


def check_order_ids(market: str, account: str, order_id: str) -> None:
    """As `check_id` for the three ids of a command about an order, which come by the thousand: in one go."""
    if not _ID_CHARACTERS.issuperset(market + account + order_id):
        check_id("market", market)
        check_id("account", account)
        check_id("order_id", order_id)


def check_id(field: str, value: str) -> None:
    """Refuse an identifier with a character outside the alphabet; msgspec has checked the length."""
    if not _ID_CHARACTERS.issuperset(value):
        raise ValueError(f"{field}: expected {ID_PATTERN[1:-7]} only, got {value!r}")


def check_positive(field: str, value: str) -> None:
    """Refuse what is not a decimal string above zero."""
    if _match_unsigned(value) is None or _ZERO_CHARACTERS.issuperset(value):
        raise ValueError(f'{field}: expected a decimal string above zero like "0.125", got {value!r}')


def check_not_negative(field: str, value: str) -> None:
    """Refuse what is not a decimal string of zero or more."""
    if _match_unsigned(value) is None:
        raise ValueError(f'{field}: expected an unsigned decimal string like "0.125", got {value!r}')


def check_signed(field: str, value: str) -> None:
    """Refuse what is not a decimal string with an optional leading minus."""
    if _match_signed(value) is None:
        raise ValueError(f'{field}: expected a decimal string like "-0.125", got {value!r}')


def check_settings(field: str, value: Any) -> None:
    """Refuse what a change to a config cannot say: floats, integers beyond int64, names that are no ids.

    Null puts a setting back to its default. A value that passes can be written again (orjson refuses wider integers and
    deep nesting), and no amount in it has been through a float.
    """
    _check_setting(field, value, depth=0)


def _check_setting(path: str, value: Any, *, depth: int) -> None:
    if depth > SETTING_DEPTH_MAX:
        raise ValueError(f"{path}: expected at most {SETTING_DEPTH_MAX} levels of tables and lists")
    match value:
        case str() | bool() | None:
            pass
        case int():
            if not -INT64_MAX - 1 <= value <= INT64_MAX:
                raise ValueError(f"{path}: expected an integer of at most 64 bits")
        case list():
            for place, entry in enumerate(value):
                _check_setting(f"{path}[{place}]", entry, depth=depth + 1)
        case dict():
            for name, entry in value.items():
                if not 1 <= len(name) <= 64:
                    raise ValueError(f"{path}: expected names of 1 to 64 characters, got {len(name)}")
                check_id(path, name)
                _check_setting(f"{path}.{name}", entry, depth=depth + 1)
        case _:
            raise ValueError(
                f"{path}: expected a string, integer, boolean, null, table or list (decimals: string), "
                f"got {type(value).__name__}"
            )
