"""What differs between the two engines: clock, row locks, bind marks, settings, errors."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, Connection

from roundsman.errors import Misread, Mistake, RoundsmanError, Unready
from roundsman.rules.redaction import redact_text
from roundsman.store.tables import instant_text

BUSY_SECONDS_MAX = 30.0
CONNECT_SECONDS_MAX = 10
POOL_CONNECTIONS = 16
CHANNEL = "roundsman_events"
# psycopg's IsolationLevel.REPEATABLE_READ, without loading it where there is SQLite only.
REPEATABLE_READ = 3

_BIND = re.compile(r"(?<![:\w]):([a-z][a-z0-9_]*)")
_TEXT = '\'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\''


class Dialect(NamedTuple):
    """How one engine spells what the statements leave open.

    `{now}` is the time as text, `{clock}` as the column type, `{later}` the clock plus :seconds,
    `{lock}` holds a row until the commit, `{text(column)}` a time column as the one spelling,
    `{tell}` ends the statement that moves a head: it wakes readers when the commit is done.
    """

    name: str
    now: str
    clock: str
    later: str
    lock: str
    tell: str

    def native(self, statement: str) -> str:
        """Return a statement with `:name` binds in this engine's words."""
        if self.name == "postgresql":
            statement = _BIND.sub(r"%(\1)s", statement)
        for mark in ("now", "clock", "later", "lock", "tell"):
            statement = statement.replace(f"{{{mark}}}", getattr(self, mark))
        return re.sub(r"\{text\((\w+)\)\}", self._as_text, statement)

    def begin(self, session: Any, begin: str) -> None:
        """Begin a transaction; psycopg does so by itself."""
        if self.name == "sqlite":
            session.execute(begin)

    @contextmanager
    def snapshot(self, session: Any) -> Generator[None]:
        """Begin one that only reads and sees one picture, and end it."""
        self.begin(session, "BEGIN")
        if self.name == "postgresql":
            session.isolation_level, session.read_only = REPEATABLE_READ, True
        try:
            yield
        finally:
            session.rollback()
            if self.name == "postgresql":
                session.isolation_level = session.read_only = None

    def _as_text(self, match: re.Match[str]) -> str:
        if self.name != "postgresql":
            return match[1]
        return f"to_char({match[1]} AT TIME ZONE 'UTC', {_TEXT})"


SQLITE = Dialect(
    "sqlite", "roundsman_now(0)", "roundsman_now(0)", "roundsman_now(:seconds)", "", ""
)
POSTGRESQL = Dialect(
    "postgresql",
    f"to_char(clock_timestamp() AT TIME ZONE 'UTC', {_TEXT})",
    "clock_timestamp()",
    "clock_timestamp() + make_interval(secs => %(seconds)s)",
    " FOR UPDATE",
    f" RETURNING pg_notify('{CHANNEL}', org_id)",
)


def make_engine(url: URL) -> Engine:
    """Return an engine that commits durably; nothing is opened yet."""
    if url.get_backend_name() == "postgresql":
        return _postgresql(url)
    engine = create_engine(
        url,
        connect_args={"timeout": BUSY_SECONDS_MAX},
        pool_size=POOL_CONNECTIONS,
        max_overflow=POOL_CONNECTIONS,
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _postgresql(url: URL) -> Engine:
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        connect_args={
            "connect_timeout": CONNECT_SECONDS_MAX,
            "application_name": "roundsman",
            "options": "-c synchronous_commit=on -c timezone=UTC"
            f" -c lock_timeout={int(BUSY_SECONDS_MAX * 1000)}",
        },
        pool_size=POOL_CONNECTIONS,
        max_overflow=POOL_CONNECTIONS,
        pool_pre_ping=True,
    )


def sqlite_now(seconds: float = 0) -> str:
    """Return the time of the machine that holds the file, in the one spelling."""
    return instant_text(datetime.now(UTC) + timedelta(seconds=seconds))


def _prepare_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    # Transactions are begun by us, in full and at once; see _begin_sqlite.
    connection.isolation_level = None
    connection.create_function("roundsman_now", 1, sqlite_now)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    deadline = time.monotonic() + BUSY_SECONDS_MAX
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            # The busy timeout does not cover this one statement.
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _begin_sqlite(connection: Connection) -> None:
    begin = connection.get_execution_options().get("roundsman_begin", "BEGIN IMMEDIATE")
    session: Any = connection.connection.dbapi_connection
    session.execute(begin)


def place_of(url: URL) -> str:
    """Return what may be printed of a ledger's address."""
    if url.get_backend_name() == "sqlite":
        return str(Path(url.database or ""))
    return url.render_as_string(hide_password=True)


def translate(error: BaseException | None, place: str) -> RoundsmanError:
    """Return our error for what a database said: full, locked, unreachable, broken, forbidden.

    It is marked as the ledger's own, not a system's that was looked at.
    """
    lines = str(error).strip().splitlines()
    said = redact_text(lines[0] if lines else "no reason given")
    head = f"ledger '{place}'"
    if isinstance(error, sqlite3.Error):
        ours = _translate_sqlite(head, said, getattr(error, "sqlite_errorcode", 0))
    else:
        ours = _translate_postgresql(head, said, getattr(error, "sqlstate", None) or "")
    ours.of_ledger = True
    return ours


def _translate_sqlite(head: str, said: str, code: int) -> RoundsmanError:
    primary = code & 0xFF
    if primary == sqlite3.SQLITE_FULL:
        return Unready(f"{head} could not be written: the disk is full", "free some space")
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Unready(f"{head} stayed locked by another process ({said})", "try again")
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return Mistake(f"{head} is not a readable SQLite file ({said})", "restore it from a backup")
    if primary in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return Mistake(f"{head} could not be opened for writing ({said})", "make it writable")
    if primary == sqlite3.SQLITE_IOERR:
        return Unready(f"{head} could not be read or written ({said})", "look at the disk")
    return Misread(f"{head} refused a statement: {said}", "run 'roundsman verify-audit'")


def _translate_postgresql(head: str, said: str, state: str) -> RoundsmanError:
    if state.startswith("53"):
        return Unready(f"{head} has no room or connections left ({said})", "free some")
    if state.startswith(("28", "3D", "42501")):
        return Mistake(f"{head} refused us ({said})", "check user, database and rights")
    if not state or state.startswith(("08", "57", "40", "55")):
        return Unready(f"{head} is not reachable or busy ({said})", "start it or try again")
    return Misread(f"{head} refused a statement: {said}", "run 'roundsman verify-audit'")
