"""A Kafka broker of our own: one process in KRaft mode, from the jars that deploy/kafka/install.sh fetched.

Run as a program it serves until it is interrupted (`make kafka`), or, with --while-held, for as long as somebody
holds a lock on a file: that is how the workers of a test run share one.
"""

import argparse
import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

KAFKA: Final = Path(__file__).parents[2] / "deploy" / "kafka"
HOST: Final = "127.0.0.1"
CLUSTER: Final = "QmFja3N0b3AtdGVzdHMgMQ"

START_SECONDS: Final = 60
"""What a broker may take to answer: 2 s on an idle machine, far more beside five other test workers."""

# The tiered compiler is left at its first stage: the process lives for minutes, and half of its life is its start.
JVM: Final = ("-Xms256m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")

PROPERTIES: Final = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "log.message.timestamp.type": "LogAppendTime",
    # One broker: with the defaults (three replicas, two in sync) the first transaction would wait for ever.
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "2",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "2",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    # How soon the transaction of a killed producer ends is looked at this often (default 10 s).
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "200",
    # A restarted broker is let in when the session of its last life has ended (default 9 s).
    "broker.session.timeout.ms": "1000",
    "broker.heartbeat.interval.ms": "200",
    # Small in memory and on disk: hundreds of partitions come and go in a test run.
    "log.cleaner.dedupe.buffer.size": "4194304",
    "log.index.size.max.bytes": "262144",
    "num.network.threads": "2",
    "num.io.threads": "4",
}


class NoBrokerError(Exception):
    """There is no broker to be had here: says why."""


class BrokerFailedError(Exception):
    """There is one, and it does not start."""


@dataclass(frozen=True)
class Tls:
    """PEM files of a listener: certificate chain and PKCS#8 key in one, and whom it trusts as clients."""

    keystore: Path
    truststore: Path
    client_auth: str = "none"


@dataclass(frozen=True)
class Access:
    """What a broker offers besides plain text on `Broker.address`.

    `listeners` are security protocols. Each user can log in with PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512; OAUTHBEARER
    takes unsigned tokens of anybody. With `acls`, nobody may do anything that is not granted, except who comes over
    the plain listener: he is the administrator.
    """

    listeners: Sequence[str] = ()
    users: Mapping[str, str] = field(default_factory=dict)
    tls: Tls | None = None
    acls: bool = False


def installed_jars() -> Path:
    """The folder of the broker's jars. Raises NoBrokerError when `make broker` could not put them there."""
    result = subprocess.run([KAFKA / "install.sh"], capture_output=True, text=True, check=False)
    if result.returncode:
        lines = result.stderr.strip().splitlines() or [f"install.sh ended with {result.returncode}"]
        raise NoBrokerError(lines[-1])
    return Path(result.stdout.strip())


class Broker:
    """A broker that can be killed and come back. Its data is a temporary folder unless `data` is given."""

    def __init__(
        self,
        *,
        port: int | None = None,
        data: Path | None = None,
        log: Path | None = None,
        access: Access | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        self._jars = installed_jars()
        access = access or Access()
        self._own_folder = data is None
        self._folder = Path(tempfile.mkdtemp(prefix="backstop-kafka-")) if data is None else data
        self._folder.mkdir(parents=True, exist_ok=True)
        self._log = log or self._folder / "server.log"
        self._server: subprocess.Popen[bytes] | None = None
        protocols = ("PLAINTEXT", *access.listeners)
        *ports, controller = _free_ports(len(protocols) + 1)
        if port is not None:
            ports[0] = port
        self.addresses = {protocol: f"{HOST}:{p}" for protocol, p in zip(protocols, ports, strict=True)}
        """The address of each listener, by its security protocol."""
        self._scram = access.users
        settings = {
            **PROPERTIES,
            "log.dirs": str(self._folder / "data"),
            "controller.quorum.voters": f"1@{HOST}:{controller}",
            "listener.security.protocol.map": ",".join(f"{each}:{each}" for each in protocols)
            + ",CONTROLLER:PLAINTEXT",
            "listeners": ",".join(
                f"{name}://{at}" for name, at in (*self.addresses.items(), ("CONTROLLER", f"{HOST}:{controller}"))
            ),
            "advertised.listeners": ",".join(f"{name}://{at}" for name, at in self.addresses.items()),
            **_security(access),
            **(properties or {}),
        }
        self._settings = self._folder / "server.properties"
        self._settings.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        self._settings.chmod(0o600)

    @property
    def address(self) -> str:
        """host:port of the plain listener."""
        return self.addresses["PLAINTEXT"]

    @property
    def pid(self) -> int:
        """The process of the running broker."""
        if self._server is None:
            raise BrokerFailedError("the broker is not running")
        return self._server.pid

    def start(self) -> None:
        """Start the broker, with the data it has, and wait until it answers."""
        if not (self._folder / "data" / "meta.properties").exists():
            users = [
                argument
                for name, password in self._scram.items()
                for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
                for argument in ("--add-scram", f"{mechanism}=[name={name},password={password}]")
            ]
            formatted = subprocess.run(
                [*self._java("kafka.tools.StorageTool"), "format", "-t", CLUSTER, "-c", self._settings, *users],
                capture_output=True,
                text=True,
                check=False,
            )
            if formatted.returncode:
                raise BrokerFailedError(f"the broker's storage cannot be formatted: {formatted.stderr.strip()}")
        with self._log.open("ab") as log:
            # In a session of its own: a Ctrl-C at the terminal is for whoever started it.
            self._server = subprocess.Popen(
                [*self._java("kafka.Kafka"), self._settings],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        ready = _until(START_SECONDS, lambda: self._server.poll() is not None or self._answers())
        if not ready or self._server.poll() is not None:
            said = "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])
            self.stop()
            raise BrokerFailedError(f"the broker did not start:\n{said}")

    def kill(self) -> None:
        """SIGKILL, as a machine that loses power; what it wrote stays."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    def restart(self) -> None:
        """Kill it, and start it again with the same ports and data."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Let it hang: connections stay, nothing is answered until `resume`."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        os.kill(self.pid, signal.SIGCONT)

    def wait(self) -> None:
        """Until it ends by itself."""
        if self._server is not None:
            self._server.wait()

    def stop(self) -> None:
        """End it; what it kept in a folder of its own is gone then, unlike what it kept in `data`."""
        if self._own_folder:
            self.kill()
            shutil.rmtree(self._folder, ignore_errors=True)
        elif self._server is not None:
            self._server.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._server.wait(15)
            self.kill()

    def _java(self, main: str) -> list[str]:
        log4j = f"-Dlog4j2.configurationFile={KAFKA / 'log4j2.properties'}"
        return ["java", *JVM, log4j, "-cp", f"{self._jars}/*", main]

    def _answers(self) -> bool:
        return all(_answers(at, secured=name != "PLAINTEXT") for name, at in self.addresses.items())


def _answers(address: str, *, secured: bool) -> bool:
    """Whether the listener accepts connections and, on the plain one, names a broker to go to."""
    host, _, port = address.rpartition(":")
    # Metadata v1 of no topics: size, API key 3, version 1, correlation 1, no client id, an empty list of topics.
    request = (14).to_bytes(4) + bytes.fromhex("0003 0001 00000001 ffff 00000000")
    try:
        with socket.create_connection((host, int(port)), timeout=1) as connection:
            if secured:
                return True
            connection.sendall(request)
            answer = connection.recv(12)
            return len(answer) == 12 and int.from_bytes(answer[8:12]) > 0
    except OSError:
        return False


def _security(access: Access) -> dict[str, str]:
    settings: dict[str, str] = {}
    for protocol in access.listeners:
        prefix = f"listener.name.{protocol.lower()}"
        if protocol.startswith("SASL"):
            logins = " ".join(f'user_{name}="{password}"' for name, password in access.users.items())
            package = "org.apache.kafka.common.security"
            settings |= {
                f"{prefix}.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
                f"{prefix}.plain.sasl.jaas.config": f"{package}.plain.PlainLoginModule required {logins};",
                f"{prefix}.scram-sha-256.sasl.jaas.config": f"{package}.scram.ScramLoginModule required;",
                f"{prefix}.scram-sha-512.sasl.jaas.config": f"{package}.scram.ScramLoginModule required;",
                f"{prefix}.oauthbearer.sasl.jaas.config": f"{package}.oauthbearer.OAuthBearerLoginModule required "
                'unsecuredLoginStringClaim_sub="broker";',
                f"{prefix}.oauthbearer.sasl.server.callback.handler.class": f"{package}.oauthbearer.internals."
                "unsecured.OAuthBearerUnsecuredValidatorCallbackHandler",
            }
        if protocol.endswith("SSL"):
            assert access.tls is not None, f"{protocol} needs tls"
            settings |= {
                f"{prefix}.ssl.keystore.type": "PEM",
                f"{prefix}.ssl.keystore.location": str(access.tls.keystore),
                f"{prefix}.ssl.truststore.type": "PEM",
                f"{prefix}.ssl.truststore.location": str(access.tls.truststore),
                f"{prefix}.ssl.client.auth": access.tls.client_auth,
            }
    if access.acls:
        settings |= {
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        }
    return settings


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]


def _until(seconds: float, condition: Callable[[], bool]) -> bool:
    """Wait until the condition holds; False when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def shared_broker(folder: Path, hold: contextlib.ExitStack) -> str:
    """The address of the one broker of a test run, for as long as `hold` is open. The first who asks starts it.

    Each holder has a shared lock on a file of `folder`; a process beside the workers keeps the broker, and ends it
    when it gets that lock for itself. The kernel gives a dead process's locks back, so no broker is left behind.
    """
    installed_jars()  # or the keeper would be the one to find them missing
    held = hold.enter_context((folder / "kafka.held").open("a"))
    fcntl.flock(held, fcntl.LOCK_SH)
    told = folder / "kafka.address"
    with (folder / "kafka.starting").open("a") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        if not told.exists():
            keeper = subprocess.Popen(
                [sys.executable, "-m", "tests.kafka.broker", "--while-held", held.name, "--tell", told],
                cwd=KAFKA.parents[1],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=(folder / "kafka.errors").open("wb"),
                start_new_session=True,
            )
            _until(START_SECONDS + 10, lambda: told.exists() or keeper.poll() is not None)
    if not told.exists():
        raise BrokerFailedError((folder / "kafka.errors").read_text(errors="replace").strip() or "it did not start")
    return told.read_text()


def main() -> None:
    """Serve at a port until interrupted, or for as long as a file is held."""
    parser = argparse.ArgumentParser(prog="python -m tests.kafka.broker", description=main.__doc__)
    parser.add_argument("--port", type=int, help="port of the plain listener (default: any that is free)")
    parser.add_argument("--data", type=Path, help="where to keep the data (default: nowhere)")
    parser.add_argument("--while-held", type=Path, metavar="FILE", help="serve while somebody has a lock on FILE")
    parser.add_argument("--tell", type=Path, metavar="FILE", help="write the address into FILE when it answers")
    options = parser.parse_args()
    if options.port is not None and _answers(f"{HOST}:{options.port}", secured=True):
        sys.exit(f"something listens on port {options.port} already; KAFKA_PORT chooses another")
    log = None if options.tell is None else options.tell.with_suffix(".log")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        broker = Broker(port=options.port, data=options.data and options.data.absolute(), log=log)
    except NoBrokerError as error:
        sys.exit(str(error))
    try:
        broker.start()
        if options.tell is not None:
            unfinished = options.tell.with_suffix(".new")
            unfinished.write_text(broker.address)
            unfinished.replace(options.tell)
        if options.while_held is not None:
            with options.while_held.open("a") as held:
                fcntl.flock(held, fcntl.LOCK_EX)
        else:
            print(f"a Kafka broker answers at {broker.address}; Ctrl-C ends it", flush=True)  # noqa: T201
            broker.wait()
            sys.exit("the broker has ended; out/kafka/server.log says why")
    except BrokerFailedError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        pass
    finally:
        broker.stop()


if __name__ == "__main__":
    main()
