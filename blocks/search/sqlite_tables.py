"""Which tables an index of the twin is made of.

For index number N: `rows_N` has one narrow typed column for each mapped field that is not text, so
that counting reads little; `sources_N` has the document as JSON and a column for each text field;
`words_N` is the full-text index over the latter. Columns are numbered in the order of the fields,
so that any name of a field is safe.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from blocks.search.contract import document_json
from blocks.search.sqlite_values import column_value, field_value
from roundsman.errors import Refused
from roundsman.rules.windows import FieldType

INSERT_ROWS = 5_000
COLUMN_TYPES: dict[FieldType, str] = {
    "timestamp": "INTEGER",
    "keyword": "TEXT",
    "integer": "INTEGER",
    "number": "REAL",
    "boolean": "INTEGER",
}


class Index(NamedTuple):
    """One index: its number names its tables, its fields' order names its columns."""

    name: str
    number: int
    fields: dict[str, FieldType]

    @property
    def rows(self) -> str:
        """The table of narrow rows."""
        return f"rows_{self.number}"

    @property
    def sources(self) -> str:
        """The table of documents."""
        return f"sources_{self.number}"

    @property
    def words(self) -> str:
        """The full-text index."""
        return f"words_{self.number}"

    def column(self, field: str) -> str:
        """The column of a field."""
        return f"c{list(self.fields).index(field)}"

    def of_type(self, *kinds: FieldType) -> list[str]:
        """The fields of these types, in order."""
        return [field for field, kind in self.fields.items() if kind in kinds]

    @property
    def narrow(self) -> list[str]:
        """The fields that have a typed column in the narrow table."""
        return [field for field, kind in self.fields.items() if kind in COLUMN_TYPES]


def find_indices(connection: sqlite3.Connection, pattern: str) -> list[Index]:
    """The indices that a pattern names; Refused when one of its parts names none.

    As in Elasticsearch: parts divided by commas, '*' as wildcard, '-name' takes away.
    """
    known = {
        name: Index(name, number, json.loads(fields))
        for name, number, fields in connection.execute(
            "SELECT name, number, fields FROM search_indices ORDER BY name"
        )
    }
    chosen: dict[str, Index] = {}
    for part in pattern.split(","):
        taken_away = part.startswith("-") and bool(chosen)
        wanted = re.compile(re.escape(part.lstrip("-")).replace(r"\*", ".*"))
        matched = [name for name in known if wanted.fullmatch(name)]
        if taken_away:
            chosen = {name: index for name, index in chosen.items() if name not in matched}
            continue
        if not matched:
            raise _no_index(pattern, part)
        chosen.update({name: known[name] for name in matched})
    if not chosen:
        raise _no_index(pattern, pattern)
    return list(chosen.values())


def _no_index(pattern: str, part: str) -> Refused:
    what = "no index matches" if "*" in part else "no such index"
    return Refused(
        f"search '{pattern}' refused (404): {what} '{part}'",
        "correct the name, or import into it first",
        status=404,
    )


def create_index(connection: sqlite3.Connection, name: str, fields: dict[str, FieldType]) -> Index:
    """The empty tables of an index, under a number that no other index has."""
    drop_index(connection, name)
    number = connection.execute("SELECT COALESCE(MAX(number), 0) + 1 FROM search_indices")
    index = Index(name, int(number.fetchone()[0]), fields)
    columns = "".join(f", {index.column(f)} {COLUMN_TYPES[fields[f]]}" for f in index.narrow)
    connection.execute(f"CREATE TABLE {index.rows} (row_id INTEGER PRIMARY KEY{columns})")
    texts = index.of_type("text")
    columns = "".join(f", {index.column(field)} TEXT" for field in texts)
    connection.execute(
        f"CREATE TABLE {index.sources} (row_id INTEGER PRIMARY KEY, source TEXT NOT NULL{columns})"
    )
    if texts:
        columns = ", ".join(index.column(field) for field in texts)
        connection.execute(
            f"CREATE VIRTUAL TABLE {index.words} USING fts5"
            f"({columns}, content='{index.sources}', content_rowid='row_id')"
        )
    connection.execute(
        "INSERT INTO search_indices VALUES (?, ?, ?)", (name, index.number, json.dumps(fields))
    )
    return index


def order_by_time(connection: sqlite3.Connection, index: Index) -> None:
    """The index on each time field; integers ride along, so that sums need not touch the rows."""
    integers = "".join(f", {index.column(field)}" for field in index.of_type("integer"))
    for field in index.of_type("timestamp"):
        column = index.column(field)
        connection.execute(
            f"CREATE INDEX times_{index.number}_{column} ON {index.rows} ({column}{integers})"
        )


def drop_index(connection: sqlite3.Connection, name: str) -> None:
    """Remove an index if it exists."""
    found = connection.execute(
        "DELETE FROM search_indices WHERE name = ? RETURNING number", (name,)
    ).fetchone()
    if found is not None:
        index = Index(name, int(found[0]), {})
        for table in (index.words, index.rows, index.sources):
            connection.execute(f"DROP TABLE IF EXISTS {table}")


def insert_rows(
    connection: sqlite3.Connection, index: Index, rows: Iterable[dict[str, Any]]
) -> int:
    """Add documents and their words; returns how many."""
    last = int(
        connection.execute(f"SELECT COALESCE(MAX(row_id), 0) FROM {index.sources}").fetchone()[0]
    )
    count = 0
    texts = index.of_type("text")
    narrow = f"INSERT INTO {index.rows} VALUES (?{', ?' * len(index.narrow)})"
    wide = f"INSERT INTO {index.sources} VALUES (?, ?{', ?' * len(texts)})"
    for chunk in _chunks(rows):
        first = last + count + 1
        count += len(chunk)
        connection.executemany(narrow, _narrow(index, chunk, first))
        connection.executemany(wide, _wide(index, texts, chunk, first))
    if texts:
        columns = ", ".join(index.column(field) for field in texts)
        connection.execute(
            f"INSERT INTO {index.words} (rowid, {columns}) "
            f"SELECT row_id, {columns} FROM {index.sources} WHERE row_id > ?",
            (last,),
        )
    return count


def _chunks(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    rows = iter(rows)
    while chunk := list(islice(rows, INSERT_ROWS)):
        yield chunk


def _narrow(index: Index, chunk: list[dict[str, Any]], first: int) -> Iterator[list[Any]]:
    kinds: list[tuple[str, FieldType]] = [(field, index.fields[field]) for field in index.narrow]
    for row_id, row in enumerate(chunk, first):
        yield [
            row_id,
            *(column_value(index.name, f, kind, field_value(row, f)) for f, kind in kinds),
        ]


def _wide(
    index: Index, texts: list[str], chunk: list[dict[str, Any]], first: int
) -> Iterator[list[Any]]:
    without = frozenset(texts)
    for row_id, row in enumerate(chunk, first):
        values = (column_value(index.name, f, "text", field_value(row, f)) for f in texts)
        yield [row_id, document_json(row, without), *values]


def delete_rows(connection: sqlite3.Connection, index: Index, where: str, values: list[Any]) -> int:
    """Remove the rows of a condition over the narrow table, with their documents and words."""
    connection.execute("CREATE TEMP TABLE gone (row_id INTEGER PRIMARY KEY)")
    connection.execute(
        f"INSERT INTO gone SELECT t.row_id FROM {index.rows} t WHERE {where}", values
    )
    chosen = "row_id IN (SELECT row_id FROM gone)"
    texts = index.of_type("text")
    if texts:
        columns = ", ".join(index.column(field) for field in texts)
        connection.execute(
            f"INSERT INTO {index.words} ({index.words}, rowid, {columns}) "
            f"SELECT 'delete', row_id, {columns} FROM {index.sources} WHERE {chosen}"
        )
    connection.execute(f"DELETE FROM {index.sources} WHERE {chosen}")
    count = connection.execute(f"DELETE FROM {index.rows} WHERE {chosen}").rowcount
    connection.execute("DROP TABLE gone")
    return count
