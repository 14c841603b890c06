"""Tables whose events carry what changed in a row: written with the event, rebuilt from it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import JSON, Boolean, Table

from roundsman.rules.redaction import redact
from roundsman.store.chain import canonical
from roundsman.store.driver import Connection
from roundsman.store.engine import Ledger
from roundsman.store.events import chain_event
from roundsman.store.records import Event
from roundsman.store.tables import Moment, instant_text

Row = dict[str, Any]

# What belongs to an org and to no run of it.
NO_RUN = "-"


class Keyed(NamedTuple):
    """One such table: events of these kinds carry `key`, the row's name, and `set`, its changes."""

    table: str
    key: str
    kinds: tuple[str, ...]
    columns: tuple[str, ...]
    documents: frozenset[str]
    times: frozenset[str]
    flags: frozenset[str]
    # What an erasure leaves of a column that may hold somebody's words.
    blanks: tuple[tuple[str, Any], ...] = ()

    @property
    def select(self) -> str:
        """The statement that reads whole rows; a condition is to be added."""
        named = (f"{{text({name})}}" if name in self.times else name for name in self.columns)
        return f"SELECT {', '.join(named)} FROM {self.table} WHERE org_id = :org"

    def as_row(self, found: Iterable[Any]) -> Row:
        """What `select` gave, as a row that can be compared with a rebuilt one."""
        row: Row = dict(zip(self.columns, found, strict=True))
        for name in self.documents:
            if isinstance(row[name], (str, bytes)):
                row[name] = json.loads(row[name])
        for name in self.flags:
            row[name] = None if row[name] is None else bool(row[name])
        return row


class Change(NamedTuple):
    """What becomes of one row: only these columns change; `facts` are told beside them."""

    key: str
    set: Row
    facts: Row = {}


def keyed(table: Table, kinds: tuple[str, ...], blanks: Row | None = None) -> Keyed:
    """Describe a table whose primary key is (org_id, its name)."""
    key = next(column.name for column in table.primary_key if column.name != "org_id")
    columns = [column for column in table.columns if column.name != "org_id"]
    return Keyed(
        table=table.name,
        key=key,
        kinds=kinds,
        columns=tuple(column.name for column in columns),
        documents=frozenset(c.name for c in columns if isinstance(c.type, JSON)),
        times=frozenset(c.name for c in columns if isinstance(c.type, Moment)),
        flags=frozenset(c.name for c in columns if isinstance(c.type, Boolean)),
        blanks=tuple((blanks or {}).items()),
    )


def read_row(connection: Connection, ledger: Ledger, org: str, of: Keyed, key: str) -> Row | None:
    """Return one row with parsed documents and times as text, or None."""
    values = {"org": org, "key": key}
    found = ledger.execute(connection, f"{of.select} AND {of.key} = :key", values).first()
    return None if found is None else of.as_row(found)


def enter(
    connection: Connection, ledger: Ledger, org: str, event: Event, change: tuple[Keyed, Change]
) -> Row:
    """Write a row's changes and chain the event that tells of them; the caller holds the head.

    `event.payload` is ignored: `key`, `set` and the facts are what is told. Returns the changes as
    they were written: redacted, times as text.
    """
    of, changed = change
    columns = {name: _spelled(value) for name, value in changed.set.items()}
    payload = {**changed.facts, "key": changed.key, "set": columns}
    text = canonical(redact(payload))
    # From the text, so that the row says what the event says, redacted parts too.
    told: Row = json.loads(text)
    _write(connection, ledger, org, of, told)
    chain_event(connection, ledger, org, event, text)
    return {**told["set"], of.key: told["key"]}


def _spelled(value: Any) -> Any:
    return instant_text(value) if isinstance(value, datetime) else value


def rebuilt(row: Row | None, of: Keyed, payload: Row) -> Row:
    """Return the row after one more of its events."""
    before = dict.fromkeys(of.columns) if row is None else row
    return before | payload["set"] | {of.key: payload["key"]}


def _write(connection: Connection, ledger: Ledger, org: str, of: Keyed, told: Row) -> None:
    columns: Row = told["set"]
    values = {
        name: canonical(value) if name in of.documents and value is not None else value
        for name, value in columns.items()
        if name != of.key
    }
    update, insert = _statements(of.table, of.key, tuple(values))
    values |= {"org": org, "row_key": told["key"]}
    if not ledger.execute(connection, update, values).rowcount:
        ledger.execute(connection, insert, values)


@lru_cache(maxsize=256)
def _statements(table: str, key: str, names: tuple[str, ...]) -> tuple[str, str]:
    changes = ", ".join(f"{name} = :{name}" for name in names)
    update = f"UPDATE {table} SET {changes} WHERE org_id = :org AND {key} = :row_key"
    columns, binds = ", ".join(names), ", ".join(f":{name}" for name in names)
    insert = f"INSERT INTO {table} (org_id, {key}, {columns}) VALUES (:org, :row_key, {binds})"
    return update, insert
