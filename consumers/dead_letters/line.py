"""Dead letters: lines that are no command, kept whole with the reason and where they came from."""

import base64
from typing import Any

from msgspec import Struct

from consumers.command_log import Line
from schemas.wire import WireError, encode_plain


def as_text(raw: bytes, *, is_cut: bool) -> str | None:
    """Bytes as text, or None where they are not UTF-8. A cut may leave a last character incomplete: it is dropped."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        split_by_cut = is_cut and error.end == len(raw) and len(raw) - error.start < 4
        return raw[: error.start].decode() if split_by_cut else None


def describe_bytes(raw: bytes, text: str | None) -> dict[str, str]:
    """Bytes in a JSON document: as `raw` where they are text, else as `raw_base64`."""
    return {"raw": text} if text is not None else {"raw_base64": base64.b64encode(raw).decode()}


class DeadLetter(Struct, frozen=True, gc=False):
    """A line that could not be decoded, and why not."""

    line: Line
    code: str
    reason: str

    @classmethod
    def of(cls, line: Line, error: WireError) -> "DeadLetter":
        return cls(line, error.code, error.reason)

    @property
    def text(self) -> str | None:
        """The line as text, or None if it is not UTF-8. A cut may leave a last character incomplete: it is dropped."""
        return as_text(self.line.raw, is_cut=self.line.sha256 is not None)

    def encode(self) -> bytes:
        """One JSON object: the line as `raw` where it is text, else as `raw_base64`; of a cut line also its size."""
        line = self.line
        document: dict[str, Any] = {
            "source": line.source,
            "line": line.number,
            "code": self.code,
            "reason": self.reason,
        }
        document |= describe_bytes(line.raw, self.text)
        if line.sha256 is not None:
            document |= {"truncated": True, "bytes": line.length, "sha256": line.sha256}
        return encode_plain(document)
