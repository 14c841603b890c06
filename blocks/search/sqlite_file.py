"""How the twin's file is opened, for reading or for writing, and what its failures mean."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

from blocks.acting import not_begun
from roundsman.errors import Misread, Refused, RoundsmanError, Unready

# How many steps of SQLite's machine pass between two looks at the clock: about a millisecond.
STEPS_BETWEEN_LOOKS = 20_000

SCHEMA = """
CREATE TABLE IF NOT EXISTS search_indices (
    name TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, fields TEXT NOT NULL
) WITHOUT ROWID
"""


@contextmanager
def reading(path: Path, seconds: float) -> Generator[sqlite3.Connection]:
    """A connection that cannot write, one snapshot of the file, for at most so many seconds."""
    if not path.is_file():
        raise Refused(
            f"search file '{path}' does not exist",
            "import something first ('roundsman import mail'), or correct 'path' in systems.yaml",
        )
    # A folder that cannot be written to has no room for the files beside a log of changes.
    still = not os.access(path.parent, os.W_OK) and not Path(f"{path}-wal").exists()
    address = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if still else ''}"
    with _translated(path), closing(_connect(address, seconds)) as connection:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("BEGIN")
        if not _is_ours(connection):
            raise Refused(
                f"search file '{path}' holds no search indices",
                "correct 'path' in systems.yaml, or import something into it first",
            )
        yield connection


@contextmanager
def writing(path: Path, seconds: float) -> Generator[sqlite3.Connection]:
    """A connection in one transaction that is committed at the end; the file is made if missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    address = f"{path.absolute().as_uri()}?mode=rwc"
    with _translated(path), closing(_connect(address, seconds)) as connection:
        with not_begun(), _translated(path):
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
        connection.execute(SCHEMA)
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


def _connect(address: str, seconds: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        address, uri=True, timeout=seconds, isolation_level=None, check_same_thread=False
    )
    end = time.monotonic() + seconds
    connection.set_progress_handler(lambda: int(time.monotonic() > end), STEPS_BETWEEN_LOOKS)
    return connection


def _is_ours(connection: sqlite3.Connection) -> bool:
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'search_indices'")
    return found.fetchone() is not None


@contextmanager
def _translated(path: Path) -> Generator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _meaning(path, error) from error


def _meaning(path: Path, error: sqlite3.Error) -> RoundsmanError:
    code = getattr(error, "sqlite_errorname", "") or ""
    said = f"search file '{path}': {error}"
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_INTERRUPT", "SQLITE_IOERR")):
        return Unready(said, "another process may be writing, or the time was too short: try again")
    if code.startswith("SQLITE_FULL"):
        return Refused(said, "free some space on its disk")
    if code.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH")):
        return Refused(said, "make the file and its folder open to this user")
    return Misread(said, "restore the file from a backup, or remove it and import again")
