"""The embedded search: one SQLite file that a small team can live on, without any server."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from blocks.dataset import Fields, Rows, exact_sum, of_append, of_remove, of_replace
from blocks.search import sqlite_queries as queries
from blocks.search import sqlite_tables as tables
from blocks.search.contract import Search, check_index_name
from blocks.search.sqlite_file import reading, writing
from blocks.search.sqlite_find import find_documents
from blocks.search.sqlite_values import column_value, micros, moment
from roundsman.budget import spend
from roundsman.errors import Refused
from roundsman.permits import Permit, effect
from roundsman.rules.windows import (
    Bucket,
    Dataset,
    Estimate,
    FieldType,
    Level,
    Listing,
    Newest,
    Probe,
    Row,
    Span,
)

# What a look at the file's own tables may take; such looks are no operations.
METADATA_SECONDS = 10.0


class SqliteSearch(Search):
    """Search indices in one SQLite file; several processes may read and write it at once."""

    _block_type_name = "Search on SQLite"
    _block_type_slug = "sqlite-search"
    _description = "The embedded search of Roundsman: documents and their words in one file."
    kind: ClassVar[str] = "sqlite"
    twin: ClassVar[bool] = True

    path: Path = Field(description="The SQLite file; it is made by the first import.")

    def count_buckets(
        self, data: Dataset, level: Level, spans: Sequence[Span], zone: str
    ) -> list[Bucket]:
        """See the contract."""
        pieces = queries.pieces_of(level, spans, zone)
        counts: Counter[int] = Counter()
        sums: Counter[int] = Counter()
        with reading(self.path, spend(f"search '{data.name}'")) as connection:
            for part in queries.parts_of(connection, data):
                found = queries.count_by_bucket(connection, part, pieces, queries.WIDTHS.get(level))
                for start, count, total in _summed(found, data):
                    counts[start] += count
                    sums[start] += total
        field = data.fingerprint_field
        return [
            Bucket(
                moment(start),
                counts[start],
                exact_sum(sums[start], field, moment(start)) if field else None,
            )
            for start in sorted(counts)
        ]

    def list_rows(self, data: Dataset, spans: Sequence[Span], limit: int) -> Listing:
        """See the contract; the whole list is one operation."""
        found: list[tuple[int, str, int | None]] = []
        with reading(self.path, spend(f"search '{data.name}'")) as connection:
            for part in queries.parts_of(connection, data):
                found += queries.rows_by_time(connection, part, spans, limit + 1)
        found.sort(key=lambda row: row[:2])
        rows = [Row(key, moment(at), fingerprint) for at, key, fingerprint in found[:limit]]
        return Listing(rows, cut=len(found) > limit)

    def newest(self, data: Dataset, until: datetime | None = None) -> Newest:
        """See the contract."""
        end = None if until is None else micros(until)
        with reading(self.path, spend(f"search '{data.name}'")) as connection:
            parts = queries.parts_of(connection, data)
            times = [queries.newest_time(connection, part, end) for part in parts]
        known = [time for time in times if time is not None]
        return Newest(moment(max(known)) if known else None, by="query")

    def count_without_time(self, data: Dataset) -> int:
        """See the contract."""
        with reading(self.path, spend(f"search '{data.name}'")) as connection:
            parts = queries.parts_of(connection, data)
            return sum(queries.count_timeless(connection, part) for part in parts)

    def count_duplicate_keys(self, data: Dataset, span: Span) -> int | None:
        """See the contract; this system can say."""
        with reading(self.path, spend(f"search '{data.name}'")) as connection:
            return queries.count_repeated(connection, queries.parts_of(connection, data), span)

    def fields(self, data: Dataset) -> dict[str, FieldType]:
        """See the contract."""
        with reading(self.path, METADATA_SECONDS) as connection:
            return queries.field_types(tables.find_indices(connection, data.name))

    def estimate(self, data: Dataset, spans: Sequence[Span]) -> Estimate:
        """See the contract; bytes cost nothing here and are not told."""
        pieces = queries.pieces_of("hour", spans, "UTC")
        with reading(self.path, METADATA_SECONDS) as connection:
            found = [
                row
                for part in queries.parts_of(connection, data)
                for row in queries.count_by_bucket(
                    connection, part._replace(fingerprint="NULL"), pieces, queries.WIDTHS["hour"]
                )
            ]
        return Estimate(rows=sum(count for _, count, _ in found), bytes=None)

    def probe(self) -> Probe:
        """See the contract; a twin can always be written to by who may open its file."""
        with reading(self.path, METADATA_SECONDS) as connection:
            count = connection.execute("SELECT COUNT(*) FROM search_indices").fetchone()[0]
        return Probe(
            reachable=True,
            version=f"SQLite {sqlite3.sqlite_version}",
            can_write=True,
            notes=(f"{count} indices in '{self.path}'",),
        )

    @effect("repeatable", of_replace)
    def replace(self, name: str, fields: Fields, rows: Rows, *, permit: Permit) -> int:
        """See the contract; whoever reads meanwhile sees the old rows until the new are whole."""
        check_index_name(name)
        with writing(self.path, spend(f"replace search '{name}'")) as connection:
            index = tables.create_index(connection, name, fields)
            count = tables.insert_rows(connection, index, rows)
            tables.order_by_time(connection, index)
        return count

    @effect("once", of_append)
    def append(self, name: str, rows: Rows, *, permit: Permit) -> int:
        """See the contract; no row says which permit brought it, so never again by itself."""
        with writing(self.path, spend(f"append to search '{name}'")) as connection:
            index = self._one(connection, name)
            return tables.insert_rows(connection, index, rows)

    @effect("repeatable", of_remove)
    def remove(self, data: Dataset, keys: Sequence[str], *, permit: Permit) -> int:
        """See the contract."""
        count = 0
        with writing(self.path, spend(f"remove from search '{data.name}'")) as connection:
            for index in tables.find_indices(connection, data.name):
                kind = index.fields.get(data.key_field)
                if kind is None:
                    continue
                wanted = [column_value(index.name, data.key_field, kind, key) for key in keys]
                where, values = queries.having_keys(index, data, wanted)
                count += tables.delete_rows(connection, index, where, values)
        return count

    def find(self, name: str, text: str, limit: int) -> list[dict[str, Any]]:
        """See the contract; ranked by bm25."""
        with reading(self.path, spend(f"find in search '{name}'")) as connection:
            indices = tables.find_indices(connection, name)
            return find_documents(connection, indices, text, limit)

    def _one(self, connection: sqlite3.Connection, name: str) -> tables.Index:
        check_index_name(name)
        return tables.find_indices(connection, name)[0]


def _summed(found: Iterable[tuple[int, int, int]], data: Dataset) -> Iterable[tuple[int, int, int]]:
    """The same rows; a sum that does not even fit into 64 bits is Refused like any too large."""
    try:
        yield from found
    except sqlite3.OperationalError as error:
        if "integer overflow" not in str(error):
            raise
        raise Refused(
            f"a sum of '{data.fingerprint_field}' in search '{data.name}' is 2**53 or more",
            "store a smaller fingerprint, for example 32 bits of a hash",
        ) from error
