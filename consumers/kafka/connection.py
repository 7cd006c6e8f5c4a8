"""How we connect to Kafka: TLS and login as aiokafka takes them, and one clear line when it does not work."""

import asyncio
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiokafka.errors
from aiokafka.abc import AbstractTokenProvider
from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from consumers.errors import UsageFailure
from consumers.kafka.settings import KafkaTable, ServiceConfig

REACH_SECONDS: Final = 10.0
"""How long `reachable` tries unless told otherwise."""

_UNKNOWN_TOPIC: Final = 3
_TOPIC_DENIED: Final = 29


class KafkaUnreachable(UsageFailure):
    """Kafka cannot be used as configured: which address, what happened, what was expected.

    It `may_pass` where nothing answered, as that a broker can be started later; a refused login stays refused.
    """

    def __init__(self, message: str, *, may_pass: bool = False) -> None:
        super().__init__(message)
        self.may_pass = may_pass


@dataclass(frozen=True)
class Cluster:
    """What a cluster says of itself: its id, the addresses of its brokers, the partitions of topics asked for."""

    id: str
    brokers: dict[int, str]
    partitions: dict[str, int]

    def check(self, topic: str, partition: int) -> None:
        """Raises KafkaUnreachable where a topic (with prefix) has no such partition: clients would wait for it."""
        if partition >= self.partitions[topic]:
            raise KafkaUnreachable(
                f"topic {topic} has {self.partitions[topic]} partitions, and partition {partition} is needed; "
                "`backstop topics` adds it"
            )


class FileToken(AbstractTokenProvider):
    """The bearer token of a file, read at each login, as whoever renews it replaces the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def token(self) -> str:
        """The token without surrounding whitespace."""
        return (await asyncio.to_thread(self._path.read_text, "utf-8")).strip()


def client_options(settings: ServiceConfig) -> dict[str, Any]:
    """Keyword arguments for AIOKafkaProducer, AIOKafkaConsumer and AIOKafkaAdminClient.

    They hold the password: pass them on, and do not keep or print them. Raises UsageFailure when a certificate or key
    cannot be used.
    """
    return {"bootstrap_servers": settings.kafka.addresses, **_connection_options(settings.kafka)}


async def reachable(
    settings: ServiceConfig, topics: tuple[str, ...] = (), *, seconds: float = REACH_SECONDS
) -> Cluster:
    """Log in, ask for the cluster, its brokers and `topics` (without prefix), and connect to a broker it names.

    Raises KafkaUnreachable with one line for a broker that is not there, a refused login, a failed TLS handshake, a
    broker that names addresses we cannot reach, a topic that is missing or that we may not see.
    """
    options = _connection_options(settings.kafka)
    if isinstance(token := options.get("sasl_oauth_token_provider"), FileToken):
        try:
            await token.token()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageFailure(f"kafka.token_file: {settings.kafka.token_file}: cannot be read: {error}") from None
    deadline = time.monotonic() + seconds
    names = [settings.kafka.topic_prefix + topic for topic in topics]
    addresses = settings.kafka.addresses
    failures: list[str] = []
    may_pass = False
    for i, address in enumerate(addresses):
        share = max((deadline - time.monotonic()) / (len(addresses) - i), 0.1)
        try:
            cluster = await asyncio.wait_for(_ask(address, names, options), share)
        except _FAILURES as error:
            failures.append(f"{address}: {_reason(error, settings.kafka, share)}")
            may_pass |= isinstance(error, _NO_ANSWER)
            continue
        await _one_broker_answers(cluster, address, settings.kafka, options, deadline)
        return cluster
    raise KafkaUnreachable(f"no Kafka at {'; '.join(failures)}", may_pass=may_pass)


_NO_ANSWER: Final = (ConnectionError, TimeoutError, asyncio.TimeoutError, KafkaConnectionError)
_FAILURES: Final = (OSError, KafkaError, TimeoutError, asyncio.TimeoutError, EOFError, ValueError)


async def _ask(address: str, topics: list[str], options: dict[str, Any]) -> Cluster:
    connection = await _connect(address, options)
    try:
        answer = await connection.send(MetadataRequest(topics))
    finally:
        connection.close()
    described = answer.to_object()
    if not described["brokers"] and options.get("sasl_mechanism") == "OAUTHBEARER":
        # A refused token is answered by a challenge, which aiokafka takes for a yes; the next answer is empty.
        raise aiokafka.errors.SaslAuthenticationFailed
    partitions: dict[str, int] = {}
    for topic in described["topics"]:
        name, code = topic["topic"], topic["error_code"]
        if code == _TOPIC_DENIED:
            raise KafkaUnreachable(
                f"{address}: not allowed to see topic {name}; expected an ACL that lets us describe it"
            )
        if code == _UNKNOWN_TOPIC:
            raise KafkaUnreachable(f"{address}: there is no topic {name}; `backstop topics` creates it")
        partitions[name] = len(topic["partitions"])
    brokers = {broker["node_id"]: f"{broker['host']}:{broker['port']}" for broker in described["brokers"]}
    return Cluster(described["cluster_id"], brokers, partitions)


async def _one_broker_answers(
    cluster: Cluster, asked: str, kafka: KafkaTable, options: dict[str, Any], deadline: float
) -> None:
    """A broker may answer under the address we know, and name one to go on with that leads nowhere."""
    failures = []
    for i, address in enumerate(cluster.brokers.values()):
        share = max((deadline - time.monotonic()) / (len(cluster.brokers) - i), 0.1)
        try:
            (await asyncio.wait_for(_connect(address, options), share)).close()
        except _FAILURES as error:
            failures.append(f"{address} ({_reason(error, kafka, share)})")
        else:
            return
    named = ", ".join(failures) or "no broker"
    raise KafkaUnreachable(
        f"{asked}: answers, but names {named} to go on with; expected advertised.listeners that we can reach"
    )


async def _connect(address: str, options: dict[str, Any]) -> AIOKafkaConnection:
    host, _, port = address.rpartition(":")
    return await create_conn(host.strip("[]"), int(port), client_id="backstop", **options)


def _reason(error: BaseException, kafka: KafkaTable, seconds: float) -> str:
    """What happened, in our words, and what was expected. Nothing of it comes from a secret."""
    match error:
        case ssl.SSLCertVerificationError():
            authorities = kafka.ca_file or "the system's authorities"
            return f"TLS: {error.verify_message}; expected a certificate signed by {authorities}"
        case ssl.SSLError():
            return f"TLS failed ({_short(error)}); expected a TLS listener for security = {kafka.security}{_own(kafka)}"
        case ConnectionRefusedError():
            return "nothing listens there; expected a Kafka broker"
        case TimeoutError() | asyncio.TimeoutError() | aiokafka.errors.RequestTimedOutError():
            return f"no answer within {seconds:.1f} s; expected a Kafka broker that speaks {kafka.security}"
        case aiokafka.errors.UnsupportedSaslMechanismError():
            return f"the broker does not offer {kafka.sasl}"
        case aiokafka.errors.AuthenticationFailedError() | aiokafka.errors.SaslAuthenticationFailed():
            who = f"user {kafka.username}" if kafka.username else "the token"
            return f"the broker refused {who} ({kafka.sasl}); expected another name or password"
        case aiokafka.errors.IllegalSaslStateError():
            return "the broker wants no login there; expected a SASL listener"
        case KafkaError() if isinstance(error.__cause__, ssl.SSLError):
            return _reason(error.__cause__, kafka, seconds)
        case KafkaError() | EOFError() | ConnectionError():
            return f"the connection was closed; expected a Kafka broker that speaks {kafka.security}{_own(kafka)}"
        case OSError():
            return f"{error.strerror or error}; expected a Kafka broker"
    return f"{type(error).__name__}; expected a Kafka broker that speaks {kafka.security}"


def _own(kafka: KafkaTable) -> str:
    return " and wants no certificate (cert_file) of us" if kafka.security == "ssl" and not kafka.cert_file else ""


def _connection_options(kafka: KafkaTable) -> dict[str, Any]:
    options: dict[str, Any] = {"security_protocol": kafka.security.upper()}
    if kafka.security in ("ssl", "sasl_ssl"):
        options["ssl_context"] = _ssl_context(kafka)
    if kafka.sasl is not None:
        options["sasl_mechanism"] = kafka.sasl.upper()
        if kafka.token_file is not None and kafka.sasl == "oauthbearer":
            options["sasl_oauth_token_provider"] = FileToken(Path(kafka.token_file))
        elif kafka.password is not None:
            options["sasl_plain_username"] = kafka.username
            options["sasl_plain_password"] = kafka.password.reveal()
    return options


def _ssl_context(kafka: KafkaTable) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=kafka.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise UsageFailure(f"kafka.ca_file: {kafka.ca_file}: expected PEM certificates: {_short(error)}") from None
    if kafka.cert_file is not None:
        # Without a password OpenSSL would ask at the terminal.
        password = "" if kafka.key_password is None else kafka.key_password.reveal()
        try:
            context.load_cert_chain(kafka.cert_file, kafka.key_file, password)
        except (OSError, ssl.SSLError) as error:
            raise UsageFailure(
                f"kafka.cert_file: {kafka.cert_file} with {kafka.key_file}: expected a PEM certificate chain and its "
                f"key, with kafka.key_password if it has one: {_short(error)}"
            ) from None
    return context


def _short(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return str(error.reason or "not readable as PEM").lower().replace("_", " ")
    return str(error.strerror or error)
