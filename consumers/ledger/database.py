"""The database behind a URL: one writer at a time, and every refusal as one line that never holds a password."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import URL, Connection, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from consumers.errors import UsageFailure
from consumers.printable import printable

EXPECTED: Final = "sqlite:///FILE or postgresql://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE"

_WRITER_LOCK: Final = 0x6261636B73746F70
"""The advisory lock that a writer of a PostgreSQL ledger holds ("backstop" in ASCII)."""

_WAIT_S: Final = 60
"""How long to wait for another writer of a SQLite file."""

_CONNECT_S: Final = 10


class Database:
    """A SQLite file or a PostgreSQL database. It is not reached before it is used."""

    def __init__(self, text: str) -> None:
        url = _parse(text)
        self._secrets = _secrets(url)
        self.name = _name(url)
        if url.get_backend_name() == "sqlite":
            self._engine = create_engine(url, connect_args={"timeout": _WAIT_S})
            event.listen(self._engine, "connect", _sqlite_connected)
            event.listen(self._engine, "begin", _sqlite_begin)
        else:
            arguments: dict[str, Any] = {} if "connect_timeout" in url.query else {"connect_timeout": _CONNECT_S}
            self._engine = create_engine(url, connect_args=arguments)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction during which nobody else writes to the ledger. It commits, or leaves nothing behind.

        Without the lock two runs could each find a posting missing, or make the same table.
        """
        with self._said(), self._engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER_LOCK})")
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the ledger, whoever writes meanwhile."""
        with self._said(), self._engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    def close(self) -> None:
        """Give up all connections."""
        self._engine.dispose()

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            text = " ".join(str(getattr(error, "orig", None) or error).split())
            for secret in self._secrets:
                text = text.replace(secret, "***")
            raise UsageFailure(f"{self.name}: {printable(text)}") from None


def _parse(text: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise UsageFailure(f"--into: expected {EXPECTED}") from None  # what was given may hold a password
    in_a_file = url.database not in {None, "", ":memory:"} and not (url.host or url.username)
    if url.drivername == "sqlite" and in_a_file:
        return url
    if url.drivername in {"postgresql", "postgres"}:
        return url.set(drivername="postgresql+psycopg")
    raise UsageFailure(f"--into: expected {EXPECTED}, got one of {printable(url.drivername)!r}")


def _name(url: URL) -> str:
    """What to call the database on a terminal: nothing that could be a secret."""
    if url.get_backend_name() == "sqlite":
        return f"sqlite:///{printable(url.database or '')}"
    host = url.query.get("host", "")
    port = f":{url.port}" if url.port else ""
    where = f"{url.host or (host if isinstance(host, str) else ','.join(host))}{port}"
    return f"postgresql://{printable(where)}/{printable(url.database or '')}"


def _secrets(url: URL) -> list[str]:
    given = [url.password, *(value for name, value in url.query.items() if "password" in name)]
    return [str(value) for value in given if value]


def _sqlite_connected(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # Python's own idea of when a transaction begins leaves DDL outside
    connection.execute("PRAGMA foreign_keys = ON")


def _sqlite_begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
