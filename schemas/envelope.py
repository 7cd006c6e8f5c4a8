"""The header that all events share."""

from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from schemas.fields import Sequence, Timestamp


class Event(Struct, tag_field="type", kw_only=True, forbid_unknown_fields=True, gc=False):
    """The header that all events share."""

    topic: ClassVar[str]

    stream: str = ""
    seq: Sequence = 0
    prev: Annotated[Sequence, Meta(description="seq of the stream's previous event on this topic")] = 0
    ts: Timestamp = 0
    cause: Annotated[Sequence, Meta(description="journal number of the command that caused it")] = 0
