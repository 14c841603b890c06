"""The drivers' own connections, and what a statement of the ledger answered.

SQLAlchemy keeps the pool. Its own connections and results cost ten times what a statement on
SQLite does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

Row = tuple[Any, ...]


class Cursor(Protocol):
    """What the cursors of both drivers can do."""

    @property
    def rowcount(self) -> int: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...
    def close(self) -> None: ...


class Connection(Protocol):
    """A driver's connection within a transaction, as `sqlite3` and `psycopg` have it."""

    def execute(self, statement: Any, values: Any = ..., /) -> Cursor: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...


class Rows:
    """The rows of one statement, to be read once."""

    __slots__ = ("_cursor",)

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    @property
    def rowcount(self) -> int:
        """How many rows the statement wrote."""
        return self._cursor.rowcount

    def first(self) -> Row | None:
        """Return the first row, None where there is none; the others are let go."""
        row: Row | None = self._cursor.fetchone()
        self._cursor.close()
        return row

    def one(self) -> Row:
        """Return the first row of a statement that always has one."""
        row = self.first()
        if row is None:
            raise LookupError("a statement that always answers gave no row")
        return row

    def scalar(self) -> Any:
        """Return the first row's first value, None where there is none."""
        row = self.first()
        return None if row is None else row[0]

    def all(self) -> list[Row]:
        """Return every row."""
        return self._cursor.fetchall()

    def __iter__(self) -> Iterator[Row]:
        return iter(self._cursor)
