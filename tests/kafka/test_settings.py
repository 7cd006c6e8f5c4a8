"""The service config: every setting has a default, a wrong one is named, and no secret is ever shown."""

import copy
import pickle
from pathlib import Path

import msgspec
import pytest

from consumers.errors import UsageFailure
from consumers.kafka.duration import Duration
from consumers.kafka.settings import INPUTS, TOPICS, ServiceConfig, load_settings

WORD = "hunter2-battery-staple"


def _file(folder: Path, text: str) -> Path:
    path = folder / "service.toml"
    path.write_text(text, "utf-8")
    return path


def test_no_file_is_needed() -> None:
    """Defaults, and the address from the command line."""
    settings = load_settings(None, bootstrap="a:1,b:2")
    assert settings.kafka.addresses == ["a:1", "b:2"]
    assert settings.kafka.security == "plaintext"
    assert [settings.service.cap(topic) for topic in INPUTS] == [2000, 500, 500, 100, 100, 500, 500]
    assert settings.topics.retention_ms("journal") == -1
    assert settings.topics.retention_ms("orders") == 7 * 86_400_000


def test_a_file_sets_what_it_names(tmp_path: Path) -> None:
    """The rest stays as it was; the command line wins."""
    path = _file(
        tmp_path,
        '[kafka]\nbootstrap = "c:3"\ntopic_prefix = "venue."\n'
        '[service]\nheartbeat = "250ms"\ncaps = { orders = 7 }\nhttp = "127.0.0.1:0"\n'
        '[snapshots]\nurl = "s3://bucket/x"\n[topics]\nretention = { journal = "90d", adl = "forever" }\n',
    )
    settings = load_settings(path, bootstrap="d:4")
    assert settings.kafka.bootstrap == "d:4"
    assert settings.kafka.topic_prefix == "venue."
    assert settings.service.heartbeat == Duration(250)
    assert settings.service.cap("orders") == 7
    assert settings.snapshots.url == "s3://bucket/x"
    assert settings.topics.retention_ms("journal") == 90 * 86_400_000
    assert settings.topics.retention_ms("adl") == -1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[kafka]\nbootstrap = 'nowhere'", "kafka.bootstrap: expected host:port"),
        ("[kafka]\nbootstrap = 'a:70000'", "kafka.bootstrap: expected host:port"),
        ("[kafka]\nbotstrap = 'a:1'", "kafka.botstrap: unknown; expected one of bootstrap, topic_prefix"),
        ("[kafka]\nsecurity = 'tls'", "kafka.security: expected plaintext, sasl_plaintext, sasl_ssl or ssl"),
        ("[kafka]\nsecurity = 'sasl_ssl'", "kafka.sasl: missing"),
        ("[kafka]\nsasl = 'plain'", "kafka.sasl: expected only with security"),
        ("[kafka]\nca_file = 'x'", "kafka.ca_file: expected only with security"),
        ("[kafka]\nsecurity = 'ssl'\ncert_file = 'x'", "kafka.cert_file: expected together with key_file"),
        ("[kafka]\nsecurity = 'sasl_ssl'\nsasl = 'plain'", "kafka.username: missing"),
        ("[kafka]\nsecurity = 'sasl_ssl'\nsasl = 'plain'\nusername = 'u'", "kafka.password: missing"),
        ("[kafka]\nsecurity = 'sasl_ssl'\nsasl = 'oauthbearer'", "kafka.token_file: missing"),
        ("[kafka]\ntopic_prefix = 'a b'", "kafka.topic_prefix: expected"),
        ("[service]\nheartbeat = '1'", 'service.heartbeat: expected a duration like "500ms"'),
        ("[service]\nheartbeat = 500", "service.heartbeat: expected a duration in quotes"),
        ("[service]\nheartbeat = '1s'", "service.silence: expected at least twice the heartbeat"),
        ("[service]\ncommit_deadline = '10s'", "service.commit_deadline: expected less than transaction_timeout"),
        ("[service]\ncaps = { ledger = 1 }", "service.caps: expected names among orders"),
        ("[service]\ncaps = { orders = 0 }", "service.caps"),
        ("[service]\nhttp = 'localhost'", "service.http: expected host:port"),
        ("[snapshots]\nkeep = 0", "snapshots.keep"),
        ("[topics]\nreplication = 1", "topics.min_insync: expected at most replication"),
        ("[topics]\nretention = { orders = 'long' }", "topics.retention.orders: expected a duration"),
        ("[other]\n", "other: unknown; expected one of kafka, service, snapshots, topics"),
        ("kafka = 3", "kafka: expected"),
        ("= 3", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    """File, setting, what was expected; one line, exit code 2."""
    path = _file(tmp_path, text)
    with pytest.raises(UsageFailure) as caught:
        load_settings(path)
    assert caught.value.message.startswith(f"{path}: {said}")
    assert "\n" not in caught.value.message
    assert caught.value.exit_code == 2


SASL = (
    "[kafka]\nsecurity = 'sasl_ssl'\nsasl = 'plain'\nusername = 'engine'\n"
    f"password = '{WORD}'\nkey_password = '{WORD}'\n"
)


def test_a_secret_is_not_shown(tmp_path: Path) -> None:
    """Not by repr, str, a format, a copy into plain data, or JSON."""
    settings = load_settings(_file(tmp_path, SASL))
    assert settings.kafka.password is not None
    assert settings.kafka.password.reveal() == WORD
    shown = [repr(settings), str(settings), f"{settings.kafka}", repr(msgspec.structs.asdict(settings.kafka))]
    assert not any(WORD in text for text in shown)
    for written in (pickle.dumps, copy.deepcopy, msgspec.json.encode):
        with pytest.raises(TypeError):
            written(settings)


@pytest.mark.parametrize(
    "text",
    [
        f"{SASL}other = 1",
        SASL.replace("sasl_ssl", "tls"),
        SASL.replace(f"password = '{WORD}'", f"password = ['{WORD}']", 1),
        SASL.replace(f"password = '{WORD}'", f"password = '{WORD}", 1),
        f"{SASL}password = '{WORD}'\n",
        f"{SASL}[service]\nsilence = '1s'\nheartbeat = '1s'",
    ],
)
def test_a_failure_does_not_repeat_a_secret(tmp_path: Path, text: str) -> None:
    """Whatever is wrong around it, or with itself."""
    with pytest.raises(UsageFailure) as caught:
        load_settings(_file(tmp_path, text))
    assert WORD not in caught.value.message
    assert caught.value.__cause__ is None


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    """The password itself, or a file with it as secret stores mount them, with a last line end."""
    path = _file(tmp_path, SASL)
    held = tmp_path / "word"
    held.write_text("from-a-file\n", "utf-8")

    def password(environment: dict[str, str]) -> str:
        settings: ServiceConfig = load_settings(path, environment=environment)
        assert settings.kafka.password is not None
        return settings.kafka.password.reveal()

    assert password({}) == WORD
    assert password({"BACKSTOP_KAFKA_PASSWORD": "from-outside"}) == "from-outside"
    assert password({"BACKSTOP_KAFKA_PASSWORD_FILE": str(held)}) == "from-a-file"
    with pytest.raises(UsageFailure, match="not both"):
        password({"BACKSTOP_KAFKA_PASSWORD": "a", "BACKSTOP_KAFKA_PASSWORD_FILE": str(held)})
    with pytest.raises(UsageFailure, match="cannot be read"):
        password({"BACKSTOP_KAFKA_PASSWORD_FILE": str(tmp_path / "missing")})


@pytest.mark.parametrize(("text", "ms"), [("500ms", 500), ("8s", 8_000), ("10m", 600_000), ("2h", 7_200_000)])
def test_a_duration_is_written_as_it_is_read(text: str, ms: int) -> None:
    """To and from text."""
    assert Duration.parse(text) == Duration(ms)
    assert str(Duration(ms)) == text


@pytest.mark.parametrize("text", ["0s", "1", "1.5s", "-1s", "1 s", "1w", "", "01s", "1s\n"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="expected a duration"):
        Duration.parse(text)


def test_retention_and_caps_name_topics_that_exist() -> None:
    """The inputs are topics."""
    assert set(INPUTS) < set(TOPICS)
