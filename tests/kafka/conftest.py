"""One broker for all tests of a run, whatever the number of pytest-xdist workers."""

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kafka.broker import Broker, NoBrokerError, shared_broker


@dataclass(frozen=True)
class SharedBroker:
    """The broker of the test run: nobody may stop it. Tests that must do so ask for `own_broker`."""

    address: str


def _without(error: NoBrokerError) -> None:
    """No broker: skipped with the reason, but a failure where everything is there to have one."""
    if os.environ.get("BACKSTOP_KAFKA_REQUIRED"):
        pytest.fail(f"{error} (BACKSTOP_KAFKA_REQUIRED is set)", pytrace=False)
    pytest.skip(f"{error}")


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedBroker]:
    """A real broker: the one at BACKSTOP_KAFKA, or one that all workers of this run share.

    Shared by a lock rather than by an xdist group: the tests of a group would all run in one worker, one by one, and
    they mostly wait.
    """
    given = os.environ.get("BACKSTOP_KAFKA")
    if given:
        yield SharedBroker(given)
        return
    folder = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        folder = folder.parent
    with contextlib.ExitStack() as hold:
        try:
            address = shared_broker(folder, hold)
        except NoBrokerError as error:
            _without(error)
            raise
        yield SharedBroker(address)


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """What the topics of a test begin with, so that tests share a broker and nothing else."""
    name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)[:60]
    return f"{name}-{secrets.token_hex(4)}."


@pytest.fixture(scope="session")
def make_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Broker]]:
    """Starts brokers that belong to whoever asks (the arguments are those of `Broker`); all end with the run."""
    with contextlib.ExitStack() as running:

        def start(**options: object) -> Broker:
            log: Path = tmp_path_factory.mktemp("broker") / "server.log"
            try:
                broker = Broker(log=log, **options)  # type: ignore[arg-type]
                running.callback(broker.stop)
                broker.start()
            except NoBrokerError as error:
                _without(error)
                raise
            return broker

        yield start


@pytest.fixture
def own_broker(make_broker: Callable[..., Broker]) -> Iterator[Broker]:
    """A broker of this test alone, to be killed, paused and restarted."""
    broker = make_broker()
    yield broker
    broker.stop()
