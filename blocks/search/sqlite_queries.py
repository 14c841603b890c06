"""Which SQL answers a question about a dataset that lies in the tables of the twin."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from blocks.search.contract import check_roles
from blocks.search.sqlite_tables import Index, find_indices
from blocks.search.sqlite_values import column_value, micros
from roundsman.rules.windows import Dataset, FieldType, Level, Span, day_spans, merge_spans

MINUTE = 60_000_000
WIDTHS: dict[Level, int] = {"hour": 60 * MINUTE, "minute": MINUTE}


class Part(NamedTuple):
    """The share of a dataset that lies in one index; a field that the index lacks reads NULL."""

    rows: str
    time: str
    key: str
    fingerprint: str
    where: str
    values: list[Any]


def parts_of(connection: sqlite3.Connection, data: Dataset) -> list[Part]:
    """The indices of a dataset; Refused when one is missing or a field cannot play its part."""
    indices = find_indices(connection, data.name)
    check_roles(data, field_types(indices))
    return [_part(index, data) for index in indices]


def field_types(indices: list[Index]) -> dict[str, FieldType]:
    """The fields of all indices; 'other' where two indices disagree."""
    types: dict[str, FieldType] = {}
    for index in indices:
        for field, kind in index.fields.items():
            types[field] = kind if types.get(field, kind) == kind else "other"
    return types


def _part(index: Index, data: Dataset) -> Part:
    def column(field: str | None) -> str:
        return f"t.{index.column(field)}" if field in index.fields and field else "NULL"

    conditions: list[str] = []
    values: list[Any] = []
    for field, wanted in data.filter.items():
        listed = wanted if isinstance(wanted, list) else [wanted]
        kind = index.fields.get(field, "keyword")
        chosen = [column_value(index.name, field, kind, value) for value in listed]
        conditions.append(f"{column(field)} IN (SELECT value FROM json_each(?))")
        values.append(json.dumps(chosen))
    return Part(
        rows=index.rows,
        time=column(data.time_field),
        key=column(data.key_field),
        fingerprint=column(data.fingerprint_field),
        where=" AND ".join(conditions) or "TRUE",
        values=values,
    )


def count_by_bucket(
    connection: sqlite3.Connection, part: Part, pieces: str, width: int | None
) -> Iterator[tuple[int, int, int]]:
    """(bucket, rows, sum) over pieces '[[bucket, start, end], ...]'; `width` cuts them evenly."""
    bucket = "p.bucket"
    if width is not None:
        bucket = f"{part.time} - (({part.time} % {width}) + {width}) % {width}"
    yield from connection.execute(
        f"SELECT {bucket} AS b, COUNT(*), COALESCE(SUM({part.fingerprint}), 0) "
        f"FROM {_PIECES} p CROSS JOIN {part.rows} t "
        f"ON {part.time} >= p.start AND {part.time} < p.end WHERE {part.where} GROUP BY b",
        [pieces, *part.values],
    )


def rows_by_time(
    connection: sqlite3.Connection, part: Part, spans: Sequence[Span], limit: int
) -> list[tuple[int, str, int | None]]:
    """(time, key, fingerprint) of the first rows by time and key.

    Span by span, because only then SQLite walks along the index and stops at the limit.
    """
    rows: list[tuple[int, str, int | None]] = []
    for span in merge_spans(spans):
        if len(rows) >= limit:
            break
        rows += connection.execute(
            f"SELECT {part.time}, CAST(COALESCE({part.key}, '') AS TEXT) AS k, {part.fingerprint} "
            f"FROM {part.rows} t WHERE {part.time} >= ? AND {part.time} < ? AND {part.where} "
            f"ORDER BY {part.time}, k LIMIT ?",
            [micros(span.start), micros(span.end), *part.values, limit - len(rows)],
        )
    return rows


def newest_time(connection: sqlite3.Connection, part: Part, until: int | None) -> int | None:
    """The latest time before `until`."""
    found = connection.execute(
        f"SELECT MAX({part.time}) FROM {part.rows} t "
        f"WHERE {part.where} AND (? IS NULL OR {part.time} < ?)",
        [*part.values, until, until],
    )
    return found.fetchone()[0]


def count_timeless(connection: sqlite3.Connection, part: Part) -> int:
    """Rows that have no time."""
    found = connection.execute(
        f"SELECT COUNT(*) FROM {part.rows} t WHERE {part.where} AND {part.time} IS NULL",
        part.values,
    )
    return int(found.fetchone()[0])


def count_repeated(connection: sqlite3.Connection, parts: list[Part], span: Span) -> int:
    """Rows beyond the first of their key, over all parts together."""
    selects = [
        f"SELECT {part.key} AS k FROM {part.rows} t "
        f"WHERE {part.where} AND {part.time} >= ? AND {part.time} < ?"
        for part in parts
    ]
    edges = [micros(span.start), micros(span.end)]
    found = connection.execute(
        f"SELECT COUNT(k) - COUNT(DISTINCT k) FROM ({' UNION ALL '.join(selects)})",
        [value for part in parts for value in [*part.values, *edges]],
    )
    return int(found.fetchone()[0])


_PIECES = (
    "(SELECT json_extract(value, '$[0]') AS bucket, json_extract(value, '$[1]') AS start,"
    " json_extract(value, '$[2]') AS end FROM json_each(?))"
)


def pieces_of(level: Level, spans: Sequence[Span], zone: str) -> str:
    """The spans, days cut apart, as the JSON that the queries join with."""
    merged = merge_spans(spans)
    if level != "day":
        return _as_json([(span, span) for span in merged])
    return _as_json(
        [
            (day, Span(max(day.start, span.start), min(day.end, span.end)))
            for span in merged
            for day in day_spans(span, zone)
        ]
    )


def _as_json(pieces: list[tuple[Span, Span]]) -> str:
    return json.dumps(
        [[micros(bucket.start), micros(piece.start), micros(piece.end)] for bucket, piece in pieces]
    )


def having_keys(index: Index, data: Dataset, keys: list[Any]) -> tuple[str, list[Any]]:
    """The condition, and its values, of the rows that have one of the keys and pass the filter."""
    part = _part(index, data)
    where = f"{part.key} IN (SELECT value FROM json_each(?)) AND {part.where}"
    return where, [json.dumps(keys), *part.values]
