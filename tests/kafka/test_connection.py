"""We get in with every login and certificate that is right, and one clear line says why we did not."""

import asyncio
import base64
import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from consumers.errors import UsageFailure
from consumers.kafka.connection import KafkaUnreachable, client_options, reachable
from consumers.kafka.settings import load_settings
from tests.kafka.broker import Access, Broker, Tls
from tests.kafka.certificates import Authority, Issued
from tests.kafka.conftest import SharedBroker

WORD = "correct-horse-battery"


@dataclass
class Guarded:
    """A broker with all four listeners, and what a client needs to get in."""

    broker: Broker
    folder: Path
    authority: Authority
    client: Issued

    def service(self, security: str, **settings: str) -> Path:
        """A service config for the listener of that protocol."""
        table = {"bootstrap": self.broker.addresses[security.upper()], "security": security, **settings}
        path = self.folder / "service.toml"
        path.write_text("[kafka]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in table.items()))
        return path


@pytest.fixture(scope="session")
def guarded(make_broker: Callable[..., Broker], tmp_path_factory: pytest.TempPathFactory) -> Guarded:
    """One for all tests here: users alice, and TLS on two listeners, of which SSL wants a client certificate."""
    folder = tmp_path_factory.mktemp("guarded")
    authority = Authority(folder / "ours", "ours")
    server = authority.issue("server")
    broker = make_broker(
        access=Access(
            listeners=("SSL", "SASL_PLAINTEXT", "SASL_SSL"),
            users={"alice": WORD},
            tls=Tls(server.both, authority.certificate, client_auth="requested"),
        ),
        properties={"listener.name.ssl.ssl.client.auth": "required"},
    )
    return Guarded(broker, folder, authority, authority.issue("client", "key-word"))


async def _send_one(options: dict[str, Any], topic: str) -> int:
    """A transaction through the real clients, that nothing less than a login gets through."""
    admin = AIOKafkaAdminClient(**options)
    await admin.start()
    await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    await admin.close()
    producer = AIOKafkaProducer(**options, transactional_id=topic)
    await producer.start()
    async with producer.transaction():
        sent = await producer.send(topic, b"x", partition=0)
        record = await sent
    await producer.stop()
    return int(record.offset)


def _login(guarded: Guarded, service: Path, prefix: str) -> None:
    settings = load_settings(service, environment={"BACKSTOP_KAFKA_PASSWORD": WORD})
    cluster = asyncio.run(reachable(settings))
    assert list(cluster.brokers.values()) == [settings.kafka.bootstrap]
    assert len(cluster.id) == 22
    assert asyncio.run(_send_one(client_options(settings), prefix + "in")) == 0


@pytest.mark.parametrize("sasl", ["plain", "scram-sha-256", "scram-sha-512"])
def test_a_password_lets_us_in(guarded: Guarded, prefix: str, sasl: str) -> None:
    """Each mechanism."""
    _login(guarded, guarded.service("sasl_plaintext", sasl=sasl, username="alice"), prefix)


def test_a_password_lets_us_in_over_tls(guarded: Guarded, prefix: str) -> None:
    """With the broker's certificate checked against our authority."""
    authority = str(guarded.authority.certificate)
    _login(guarded, guarded.service("sasl_ssl", sasl="scram-sha-512", username="alice", ca_file=authority), prefix)


def test_a_certificate_lets_us_in(guarded: Guarded, prefix: str) -> None:
    """Mutual TLS, with a key that is guarded by a password."""
    service = guarded.service(
        "ssl",
        ca_file=str(guarded.authority.certificate),
        cert_file=str(guarded.client.certificate),
        key_file=str(guarded.client.key),
        key_password="key-word",  # noqa: S106
    )
    settings = load_settings(service)
    assert asyncio.run(reachable(settings)).brokers
    assert asyncio.run(_send_one(client_options(settings), prefix + "in")) == 0


def test_a_token_lets_us_in(guarded: Guarded, prefix: str, tmp_path: Path) -> None:
    """Read from its file at each login: the second is another."""

    def renew(claims: dict[str, object]) -> None:
        parts = [json.dumps(part).encode() for part in ({"alg": "none"}, claims)]
        encoded = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
        (tmp_path / "token").write_text(encoded + ".\n")

    service = guarded.service("sasl_plaintext", sasl="oauthbearer", token_file=str(tmp_path / "token"))
    settings = load_settings(service)
    with pytest.raises(UsageFailure, match=r"kafka\.token_file: .*token: cannot be read"):
        asyncio.run(reachable(settings))
    now = int(time.time())
    renew({"sub": "alice", "iat": now - 7200, "exp": now - 3600})
    with pytest.raises(KafkaUnreachable, match=r"the broker refused the token \(oauthbearer\)"):
        asyncio.run(reachable(settings))
    renew({"sub": "alice", "iat": now, "exp": now + 3600})
    assert asyncio.run(reachable(settings)).brokers
    assert asyncio.run(_send_one(client_options(settings), prefix + "in")) == 0


def _refusal(service: Path, password: str = WORD) -> str:
    settings = load_settings(service, environment={"BACKSTOP_KAFKA_PASSWORD": password})
    with pytest.raises(KafkaUnreachable) as caught:
        asyncio.run(reachable(settings, seconds=3))
    said = caught.value.message
    assert settings.kafka.bootstrap in said
    assert "\n" not in said
    assert password not in said
    assert caught.value.exit_code == 2
    return said


@pytest.mark.parametrize("sasl", ["plain", "scram-sha-256", "scram-sha-512"])
def test_a_wrong_password_is_said(guarded: Guarded, sasl: str) -> None:
    """With the name of the user and the mechanism, without the password."""
    service = guarded.service("sasl_plaintext", sasl=sasl, username="alice")
    assert f"the broker refused user alice ({sasl})" in _refusal(service, "some-other-word")


def test_a_stranger_to_our_authority_is_said(guarded: Guarded, tmp_path: Path) -> None:
    """The broker's certificate is not signed by who we trust."""
    stranger = str(Authority(tmp_path, "theirs").certificate)
    said = _refusal(guarded.service("sasl_ssl", sasl="plain", username="alice", ca_file=stranger))
    assert f"expected a certificate signed by {stranger}" in said
    said = _refusal(guarded.service("sasl_ssl", sasl="plain", username="alice"))
    assert "expected a certificate signed by the system's authorities" in said


def test_a_missing_client_certificate_is_said(guarded: Guarded) -> None:
    """The SSL listener wants one."""
    said = _refusal(guarded.service("ssl", ca_file=str(guarded.authority.certificate)))
    assert "wants no certificate (cert_file) of us" in said


def test_the_wrong_protocol_is_said(guarded: Guarded) -> None:
    """Plain to TLS, TLS to plain, login where none is wanted, none where one is."""
    addresses = guarded.broker.addresses
    authority = str(guarded.authority.certificate)
    plain_to_tls = guarded.service("plaintext", bootstrap=addresses["SASL_SSL"])
    assert "expected a Kafka broker that speaks plaintext" in _refusal(plain_to_tls)
    tls_to_plain = guarded.service("ssl", bootstrap=addresses["PLAINTEXT"], ca_file=authority)
    assert "expected" in _refusal(tls_to_plain)
    login_to_plain = guarded.service("sasl_plaintext", bootstrap=addresses["PLAINTEXT"], sasl="plain", username="alice")
    assert "the broker wants no login there" in _refusal(login_to_plain)
    no_login = guarded.service("plaintext", bootstrap=addresses["SASL_PLAINTEXT"])
    assert "expected a Kafka broker that speaks plaintext" in _refusal(no_login)


def test_nobody_there_is_said(tmp_path: Path) -> None:
    """Nothing listens, nothing answers, no such name: each address with its reason."""
    with socket.socket() as unused, socket.socket() as silent:
        unused.bind(("127.0.0.1", 0))
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        nobody, mute = (f"127.0.0.1:{each.getsockname()[1]}" for each in (unused, silent))
        settings = load_settings(None, bootstrap=f"{nobody},{mute},no-such-host.invalid:9092")
        began = time.monotonic()
        with pytest.raises(KafkaUnreachable) as caught:
            asyncio.run(reachable(settings, seconds=2))
    assert time.monotonic() - began < 20
    said = caught.value.message
    assert f"no Kafka at {nobody}: nothing listens there" in said
    assert f"{mute}: no answer within" in said
    assert "no-such-host.invalid:9092: " in said


def test_a_broker_that_names_a_dead_end_is_said(make_broker: Callable[..., Broker]) -> None:
    """advertised.listeners is what clients go on with: the commonest mistake with containers."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dead_end = f"127.0.0.1:{unused.getsockname()[1]}"
        broker = make_broker(properties={"advertised.listeners": f"PLAINTEXT://{dead_end}"})
        with pytest.raises(KafkaUnreachable, match=f"names {dead_end} .*advertised.listeners"):
            asyncio.run(reachable(load_settings(None, bootstrap=broker.address), seconds=3))
        broker.stop()


def test_a_missing_topic_is_said(broker: SharedBroker) -> None:
    """With the command that makes it."""
    with pytest.raises(KafkaUnreachable, match="there is no topic orders; `backstop topics` creates it"):
        asyncio.run(reachable(load_settings(None, bootstrap=broker.address), ("orders",)))


@pytest.mark.parametrize("name", ["ca_file", "cert_file"])
def test_an_unreadable_certificate_is_said(tmp_path: Path, name: str) -> None:
    """Before anything is sent: the file, and what it should be."""
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("nothing")
    table = {"ca_file": f'ca_file = "{nothing}"', "cert_file": f'cert_file = "{nothing}"\nkey_file = "{nothing}"'}
    service = tmp_path / "service.toml"
    service.write_text(f'[kafka]\nsecurity = "ssl"\n{table[name]}\n')
    with pytest.raises(UsageFailure, match=rf"kafka\.{name}: .*nothing\.pem.*expected"):
        client_options(load_settings(service))
    service.write_text(service.read_text().replace("nothing.pem", "missing.pem"))
    with pytest.raises(UsageFailure, match=rf"kafka\.{name}: .*missing\.pem.*No such file"):
        client_options(load_settings(service))
