"""What a proof came to: what was compared, and where it differs."""

from typing import Final, Literal

from msgspec import Struct, field

Rule = Literal["journal", "sequence", "events", "inputs", "messages", "conservation"]

FINDINGS_MAX: Final = 20
"""Of one stream. One cause has many effects; the first tell what it is."""

_SHOWN: Final = 400


class Finding(Struct, frozen=True):
    """A difference: which rule is broken, in which stream and where, what was expected and what is there."""

    rule: Rule
    stream: str
    place: str
    expected: str
    got: str

    @property
    def text(self) -> str:
        """In one line."""
        return f"{self.rule}: {self.stream}: {self.place}: expected {self.expected}; got {self.got}"


class StreamVerdict(Struct):
    """What was compared of one stream. `unverifiable` are records whose counterparts were deleted by retention."""

    stream: str
    records: int = 0
    inputs: int = 0
    events: int = 0
    dead_letters: int = 0
    passed_over: int = 0
    unverifiable: int = 0
    chain: str = ""
    state_hash: str = ""
    partitions: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


class Crossing(Struct, frozen=True):
    """How many messages one stream sent another, and how many of those are in the other's journal."""

    sender: str
    receiver: str
    sent: int
    arrived: int


class Conservation(Struct, frozen=True):
    """The money of an asset: what is under way between its machines, and what is left over in all (zero)."""

    asset: str
    in_flight: str
    residual: str


class Verdict(Struct):
    """The whole venue. `configs` are hashes of what each stream began with, `absent` those without a journal."""

    configs: dict[str, str]
    topics: bool
    streams: list[StreamVerdict]
    crossings: list[Crossing]
    conservation: list[Conservation]
    absent: list[str]
    findings: list[Finding]

    @property
    def holds(self) -> bool:
        """Whether everything is as it has to be."""
        return not self.findings


def shown(value: object) -> str:
    """Bytes or anything else, short enough for a line."""
    text = value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text):,} characters)"


class TooManyFindings(Exception):
    """There is no use in looking further at this stream."""


class Findings:
    """Collects what is found in one stream. Raises TooManyFindings at the last that is kept."""

    def __init__(self, stream: str, kept: list[Finding]) -> None:
        self._stream = stream
        self._kept = kept

    def add(self, rule: Rule, place: str, expected: object, got: object) -> None:
        """Note a difference."""
        self._kept.append(Finding(rule, self._stream, place, shown(expected), shown(got)))
        if len(self._kept) >= FINDINGS_MAX:
            raise TooManyFindings
