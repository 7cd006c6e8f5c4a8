"""The service config: where Kafka is, how a service runs, where its snapshots are, what its topics are like.

What the venue is stands in the venue config, the same for every service; what differs from one deployment to the
next stands here. Every setting has a default, so a service needs no file. A password comes from the environment,
from a file that the environment names, or from the config, in this order.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct, field

from consumers.errors import UsageFailure
from consumers.kafka.duration import Duration
from consumers.kafka.secret import Secret
from schemas.refusals import read_refusal

TOPICS: Final = (
    "orders",
    "mark-prices",
    "accounts",
    "fund-admin",
    "admin",
    "decisions",
    "liquidations",
    "executions",
    "positions",
    "adl",
    "settlements",
    "ledger",
    "journal",
    "dead-letters",
)
"""Every topic of a venue, without the prefix."""

INPUTS: Final = ("orders", "mark-prices", "accounts", "fund-admin", "admin", "decisions", "liquidations")
"""The topics that a service reads and numbers."""

DEFAULT_CAPS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "orders": 2_000,
        "mark-prices": 500,
        "accounts": 500,
        "fund-admin": 100,
        "admin": 100,
        "decisions": 500,
        "liquidations": 500,
    }
)
"""How many records of a topic one batch takes unless the config says otherwise."""

FOREVER: Final = "forever"

DEFAULT_RETENTION: Final[Mapping[str, str]] = MappingProxyType(
    {
        # What a service that was down for a while must still find.
        "decisions": "30d",
        "liquidations": "30d",
        # What nothing else can restore: exported first, then shortened by hand.
        "journal": FOREVER,
        "ledger": "30d",
        "dead-letters": "30d",
    }
)
"""How long a topic keeps its records unless the config says otherwise; 7 days where nothing stands here."""

_ADDRESS: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_PREFIX: Final = re.compile(r"[A-Za-z0-9._-]{0,100}")

Cap = Annotated[int, Meta(ge=1, le=100_000)]
Count = Annotated[int, Meta(ge=1, le=1_000_000_000_000)]
Replicas = Annotated[int, Meta(ge=1, le=32_767)]


def _lasting(text: str) -> Any:
    """A default that is a duration: made anew each time, as msgspec describes plain defaults only."""
    return field(default_factory=lambda: Duration.parse(text))


class _Table(Struct, forbid_unknown_fields=True, frozen=True):
    pass


class KafkaTable(_Table, frozen=True):
    """Where the brokers are, and who we are to them."""

    bootstrap: str = "127.0.0.1:9092"
    topic_prefix: str = ""
    security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = "plaintext"
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    key_password: Secret | None = None
    sasl: Literal["plain", "scram-sha-256", "scram-sha-512", "oauthbearer"] | None = None
    username: str | None = None
    password: Secret | None = None
    token_file: str | None = None

    def __post_init__(self) -> None:
        for address in self.bootstrap.split(","):
            found = _ADDRESS.fullmatch(address.strip())
            if not found or not 0 < int(found[1]) < 65_536:
                raise ValueError(f"bootstrap: expected host:port, or several parted by commas, got {self.bootstrap!r}")
        if not _PREFIX.fullmatch(self.topic_prefix):
            raise ValueError(
                "topic_prefix: expected up to 100 letters, digits, dots, underscores and hyphens, "
                f"got {self.topic_prefix[:100]!r}"
            )

    @property
    def addresses(self) -> list[str]:
        """Each host:port of `bootstrap`."""
        return [address.strip() for address in self.bootstrap.split(",")]


class ServiceTable(_Table, frozen=True):
    """How the loop of a service runs. `http` is where metrics and health are served; None: nowhere."""

    headers: Literal["type", "cloudevents"] = "type"
    clock_ticks: bool = True
    commit_deadline: Duration = _lasting("8s")
    transaction_timeout: Duration = _lasting("10s")
    heartbeat: Duration = _lasting("500ms")
    silence: Duration = _lasting("1500ms")
    ts_ahead: Duration = _lasting("5s")
    caps: dict[str, Cap] = field(default_factory=dict)
    http: str | None = None

    def __post_init__(self) -> None:
        _check_names("caps", self.caps, INPUTS)
        if self.commit_deadline >= self.transaction_timeout:
            raise ValueError(
                "commit_deadline: expected less than transaction_timeout, so that we give up before the broker does; "
                f"got {self.commit_deadline} and {self.transaction_timeout}"
            )
        if self.heartbeat.ms * 2 > self.silence.ms:
            raise ValueError(
                "silence: expected at least twice the heartbeat, or one late heartbeat makes a takeover; "
                f"got {self.silence} and {self.heartbeat}"
            )
        if self.http is not None:
            found = _ADDRESS.fullmatch(self.http)
            if not found or int(found[1]) >= 65_536:
                raise ValueError(f"http: expected host:port, got {self.http!r}")

    def cap(self, topic: str) -> int:
        """The most records of an input topic (without prefix) that one batch takes."""
        return self.caps.get(topic, DEFAULT_CAPS[topic])


class SnapshotsTable(_Table, frozen=True):
    """Where snapshots are kept, how many, and how often a follower makes one: whichever comes first."""

    url: str = "file:///var/lib/backstop"
    keep: Annotated[int, Meta(ge=1, le=1_000)] = 3
    every: Duration = _lasting("10m")
    every_commands: Count = 1_000_000


class TopicsTable(_Table, frozen=True):
    """What the topics are made with. Retention by topic; "forever" keeps what is not deleted by hand."""

    replication: Replicas = 3
    min_insync: Replicas = 2
    retention: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_names("retention", self.retention, TOPICS)
        for topic, text in self.retention.items():
            try:
                _retention(text)
            except ValueError as error:
                raise ValueError(f'retention.{topic}: {error}, or "{FOREVER}"') from None
        if self.min_insync > self.replication:
            raise ValueError(f"min_insync: expected at most replication, got {self.min_insync} and {self.replication}")

    def retention_ms(self, topic: str) -> int:
        """How long a topic (without prefix) keeps its records, in ms; -1: for ever."""
        return _retention(self.retention.get(topic, DEFAULT_RETENTION.get(topic, "7d")))


class ServiceConfig(_Table, frozen=True):
    """Everything a service is told beside the venue config."""

    kafka: KafkaTable = field(default_factory=KafkaTable)
    service: ServiceTable = field(default_factory=ServiceTable)
    snapshots: SnapshotsTable = field(default_factory=SnapshotsTable)
    topics: TopicsTable = field(default_factory=TopicsTable)


def load_settings(
    path: Path | None, *, bootstrap: str | None = None, environment: Mapping[str, str] = MappingProxyType({})
) -> ServiceConfig:
    """The service config of a file (None: the defaults), then of the environment; `bootstrap` replaces the file's.

    Raises UsageFailure naming the setting and what was expected. No failure repeats a secret.
    """
    raw = {} if path is None else _read(path)
    where = "" if path is None else f"{path}: "
    kafka = raw.setdefault("kafka", {})
    if isinstance(kafka, dict):
        for name in ("password", "key_password"):
            secret = _from_environment(f"BACKSTOP_KAFKA_{name.upper()}", environment)
            if secret is not None:
                kafka[name] = secret
        if bootstrap is not None:
            kafka["bootstrap"] = bootstrap
    try:
        settings = msgspec.convert(raw, ServiceConfig, strict=True, dec_hook=_decode)
    except msgspec.ValidationError as error:
        refusal = read_refusal(error, ServiceConfig)
        raise UsageFailure(f"{where}{refusal.field or 'service config'}: {refusal.reason}") from None
    wrong = _contradiction(settings.kafka)
    if wrong:
        raise UsageFailure(f"{where}kafka.{wrong}")
    return settings


def _contradiction(kafka: KafkaTable) -> str | None:
    """What does not make sense together, as `setting: what was expected`."""
    tls = kafka.security in ("ssl", "sasl_ssl")
    for name in ("ca_file", "cert_file", "key_file"):
        if getattr(kafka, name) is not None and not tls:
            return f'{name}: expected only with security = "ssl" or "sasl_ssl", which is "{kafka.security}"'
    if (kafka.cert_file is None) != (kafka.key_file is None):
        return "cert_file: expected together with key_file"
    if not kafka.security.startswith("sasl"):
        if kafka.sasl is not None:
            return f'sasl: expected only with security = "sasl_ssl" or "sasl_plaintext", which is "{kafka.security}"'
        return None
    if kafka.sasl is None:
        return f'sasl: missing; security = "{kafka.security}" needs plain, scram-sha-256, scram-sha-512 or oauthbearer'
    if kafka.sasl == "oauthbearer":
        return None if kafka.token_file is not None else "token_file: missing; oauthbearer reads its token there"
    if kafka.username is None:
        return f"username: missing; {kafka.sasl} needs it"
    if kafka.password is None:
        variable = "BACKSTOP_KAFKA_PASSWORD"
        return f"password: missing; {kafka.sasl} needs it, best from {variable} or the file {variable}_FILE names"
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageFailure(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageFailure(f"{path}: expected UTF-8 text") from None
    except RecursionError:
        raise UsageFailure(f"{path}: not valid TOML: nested too deeply") from None
    except ValueError as error:
        # tomllib names places, and of the text no more than a character or a key.
        raise UsageFailure(f"{path}: not valid TOML: {error}") from None


def _from_environment(name: str, environment: Mapping[str, str]) -> str | None:
    text, path = environment.get(name), environment.get(f"{name}_FILE")
    if text and path:
        raise UsageFailure(f"{name}: expected it or {name}_FILE, not both")
    if not path:
        return text or None
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "expected UTF-8 text"
        raise UsageFailure(f"{name}_FILE: {path}: cannot be read: {reason}") from None


def _check_names(setting: str, table: Mapping[str, object], known: tuple[str, ...]) -> None:
    for name in table:
        if name not in known:
            raise ValueError(f"{setting}: expected names among {', '.join(known)}; got {name[:64]!r}")


def _retention(text: str) -> int:
    return -1 if text == FOREVER else Duration.parse(text).ms


def _decode(wanted: type, value: Any) -> Any:
    """Types of our own are strings in TOML. Of what should be a secret nothing is repeated."""
    if wanted is Secret:
        if not isinstance(value, str) or not value:
            raise ValueError("expected a string that is not empty")
        return Secret(value)
    if not isinstance(value, str):
        raise ValueError('expected a duration in quotes, like "500ms" or "8s"')
    return Duration.parse(value)
