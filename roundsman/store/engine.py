"""How a ledger is opened: its schema, its key, its transactions and its clock."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine import Connection as CoreConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from roundsman.errors import Mistake, Unready
from roundsman.log import get_logger
from roundsman.store import schema
from roundsman.store.chain import Anchor, append_anchor, key_id, read_key
from roundsman.store.dialect import (
    CHANNEL,
    POSTGRESQL,
    SQLITE,
    make_engine,
    place_of,
    translate,
)
from roundsman.store.driver import Connection, Rows
from roundsman.store.records import Head, SchemaStatus

_log = get_logger(__name__, component="store")


class Ledger:
    """One store of events and their projections; every function may be called from any thread."""

    def __init__(self, url: URL, key_path: Path, anchor_path: Path | None) -> None:
        self.url = url
        self.place = place_of(url)
        self.dialect = POSTGRESQL if url.get_backend_name() == "postgresql" else SQLITE
        self.engine = make_engine(url)
        self.key_path = key_path
        self.anchor_path = anchor_path
        self.key = b""
        self._native: dict[str, str] = {}
        self._driver_error: type[BaseException] = self.engine.dialect.loaded_dbapi.Error

    @contextmanager
    def transaction(self) -> Generator[Connection]:
        """Yield a connection whose writes are all durable at the end, or none of them.

        Raises Unready or Mistake for what the database says, with one sentence.
        """
        with self._translated(), self._session() as session:
            self.dialect.begin(session, "BEGIN IMMEDIATE")
            yield session
            session.commit()

    @contextmanager
    def reading(self) -> Generator[Connection]:
        """Yield a connection that reads one unmoving picture of the ledger and blocks nobody."""
        with self._translated(), self._session() as session, self.dialect.snapshot(session):
            yield session

    @contextmanager
    def core_transaction(self) -> Generator[CoreConnection]:
        """Yield what `transaction` does, for migrations, which are written in SQLAlchemy Core."""
        with self._translated(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def core_reading(self) -> Generator[CoreConnection]:
        """Yield what `reading` does, for statements that are put together in SQLAlchemy Core."""
        options: dict[str, Any] = {"roundsman_begin": "BEGIN"}
        if self.dialect is POSTGRESQL:
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self._translated(), self.engine.connect() as connection:
            yield connection.execution_options(**options)

    @contextmanager
    def _session(self) -> Generator[Connection]:
        """A connection of the pool, rolled back unless committed; a lost one does not go back."""
        held = self.engine.raw_connection()
        session: Any = held.dbapi_connection
        try:
            yield session
        except BaseException:
            try:
                session.rollback()
            except self._driver_error as lost:
                held.invalidate(lost)
            else:
                held.close()
            raise
        held.close()

    @contextmanager
    def listening(self) -> Generator[Callable[[float], None]]:
        """Yield what waits for somebody's commit of an event, and at most so many seconds.

        Only PostgreSQL can tell; a session of its own listens. Raises as `transaction` does.
        """
        with self._translated():
            connection = self.engine.raw_connection()
            session: Any = connection.driver_connection
            try:
                session.rollback()
                session.autocommit = True
                session.execute(f"LISTEN {CHANNEL}")
                yield lambda seconds: _hear(session, seconds)
            finally:
                # Closed, not given back: the pool's next user would go on listening.
                connection.invalidate()

    def execute(self, connection: Connection, statement: str, values: dict[str, Any]) -> Rows:
        """Run one statement written with `:name` binds and the marks of `Dialect`.

        What the driver raises is translated at the end of `transaction` or `reading`.
        """
        native = self._native.get(statement)
        if native is None:
            native = self._native[statement] = self.dialect.native(statement)
        return Rows(connection.execute(native, values))

    def now(self, connection: Connection) -> str:
        """Return the database's time in the one spelling."""
        return str(self.execute(connection, "SELECT {now}", {}).scalar())

    def anchor(self, org: str, head: Head) -> None:
        """Write a head down outside the database; what hinders it is a warning, not a failure."""
        if self.anchor_path is None:
            return
        try:
            append_anchor(self.anchor_path, Anchor(org, head.seq, head.hash, head.at))
        except OSError as error:
            _log.warning(
                f"anchor file '{self.anchor_path}' could not be written: {error.strerror}",
                metadata={"org": org, "seq": head.seq, "remedy": "set ROUNDSMAN_ANCHOR"},
            )

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()

    @contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except DBAPIError as error:
            raise translate(error.orig, self.place) from error
        except self._driver_error as error:
            # From the raw rows of a verification, which SQLAlchemy does not see.
            raise translate(error, self.place) from error
        except PoolTimeout as error:
            busy = Unready(f"ledger '{self.place}' has no free connection", "try again")
            busy.of_ledger = True
            raise busy from error


def _hear(session: Any, seconds: float) -> None:
    for _ in session.notifies(timeout=seconds, stop_after=1):
        pass


def open_ledger(
    url: str, key_path: Path, anchor_path: Path | None = None, sweep: bool = True
) -> Ledger:
    """Open a ledger, migrate it if it is older than the code, close runs that died and requests
    that nobody answered in time.

    Raises Mistake for a store newer than the code, a missing or foreign key, a bad address;
    Unready where the database does not answer.
    """
    ledger = open_raw(url, key_path, anchor_path)
    try:
        schema.bring_up_to_date(ledger)
        _take_key(ledger)
    except BaseException:
        ledger.close()
        raise
    if sweep:
        # Late, because sweeping is written in terms of a ledger.
        from roundsman.store.approvals import expire_due
        from roundsman.store.sweep import sweep as close_the_dead

        close_the_dead(ledger)
        expire_due(ledger)
    return ledger


def schema_status(url: str) -> SchemaStatus:
    """Return which schema a store has and which one this code wants; changes nothing."""
    ledger = open_raw(url, Path(), None, may_create=False)
    try:
        return schema.status(ledger)
    finally:
        ledger.close()


def open_raw(url: str, key_path: Path, anchor_path: Path | None, may_create: bool = True) -> Ledger:
    """Return a ledger whose schema and key were not looked at."""
    address = _address(url)
    if address.get_backend_name() == "sqlite" and may_create:
        folder = Path(address.database or "").parent
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise Mistake(
                f"folder '{folder}' could not be made: {error.strerror}",
                "make it writable or set ROUNDSMAN_HOME",
            ) from error
    return Ledger(address, key_path, anchor_path)


def _address(url: str) -> URL:
    remedy = "use sqlite:////absolute/file.db or postgresql://user:password@host/database"
    try:
        address = make_url(url.replace("postgres://", "postgresql://", 1))
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise Mistake("the ledger's address is not a database URL", remedy) from error
    if address.get_backend_name() not in ("sqlite", "postgresql"):
        raise Mistake(f"ledger on '{address.get_backend_name()}' is not supported", remedy)
    if address.get_backend_name() == "sqlite" and address.database in (None, "", ":memory:"):
        raise Mistake("a ledger in memory would forget everything", remedy)
    return address


def _take_key(ledger: Ledger) -> None:
    """Load the key, and refuse one that is not the store's: its events would break the chain."""
    with ledger.reading() as connection:
        rows = ledger.execute(connection, "SELECT DISTINCT key_id FROM chain_heads", {})
        known = {str(row[0]) for row in rows}
    ledger.key = read_key(ledger.key_path, may_create=not known)
    if known and key_id(ledger.key) not in known:
        raise foreign_key(ledger)


def foreign_key(ledger: Ledger) -> Mistake:
    """Return the error of a key that is not the one an org's chain was begun with."""
    return Mistake(
        f"chain key '{ledger.key_path}' is not the one that wrote ledger '{ledger.place}'",
        "restore the right key, or set ROUNDSMAN_CHAIN_KEY to it",
    )
