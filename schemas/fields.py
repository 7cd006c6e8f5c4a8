"""Field types that commands, events and config share, and the checks that msgspec's own types leave open.

Identifiers and decimals carry their pattern as JSON Schema documentation only: a `pattern` that msgspec
enforces itself costs several times the decoding of the whole record, so `__post_init__` of each struct calls
the checks below instead. Either way a struct that exists is valid.
"""

import re
from typing import Annotated, Final, Literal

from msgspec import Meta

INT64_MAX: Final = (1 << 63) - 1

ID_PATTERN: Final = r"^[A-Za-z0-9._:-]{1,64}$"
UNSIGNED_PATTERN: Final = r"^[0-9]{1,24}(\.[0-9]{1,18})?$"
SIGNED_PATTERN: Final = r"^-?[0-9]{1,24}(\.[0-9]{1,18})?$"

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
Decimal = Annotated[
    str,
    Meta(
        max_length=43,
        description="unsigned decimal string, no exponent",
        extra_json_schema={"pattern": UNSIGNED_PATTERN},
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

Side = Literal["buy", "sell"]
PositionSide = Literal["long", "short", "flat"]
OrderKind = Literal["limit", "market"]
TimeInForce = Literal["gtc", "ioc", "fok"]
SelfTradePrevention = Literal["cancel_taker", "cancel_maker", "cancel_both"]
MarginMode = Literal["isolated", "cross"]


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
