"""The hash of a state: what two machines compare to know that they will go on alike."""

from collections.abc import Iterable
from hashlib import sha256


def hash_rows(rows: Iterable[tuple[object, ...]]) -> str:
    """SHA-256 over rows of plain values, in their order, as hex."""
    digest = sha256()
    for row in rows:
        digest.update(repr(row).encode())
    return digest.hexdigest()
