"""The text of every query of the warehouse contract: GoogleSQL with bound parameters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple

from blocks.warehouse.tables import Clock, Column, Table, TableName
from roundsman.errors import Refused
from roundsman.rules.windows import Dataset, Level, Scalar, Span, merge_spans

# Two parameters each; BigQuery takes 10,000 parameters and a text of 1 MB.
SPANS_MAX = 2_000
KEYS_PER_STATEMENT = 1_000

# What a filter may be compared with, by the type of its column.
_FITTING: dict[str, tuple[type, ...]] = {
    "keyword": (str,),
    "text": (str,),
    "timestamp": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


class Query(NamedTuple):
    """A text and the values of its `@name` parameters."""

    text: str
    values: dict[str, Any]


def count_buckets(
    data: Dataset, table: Table, level: Level, spans: Sequence[Span], zone: str
) -> Query:
    """Rows per bucket: `bucket` is a date of the zone for days, else a timestamp, ascending."""
    where = _Where(data, table)
    where.within(spans)
    instant = where.instant()
    bucket = f"TIMESTAMP_TRUNC({instant}, {level.upper()})"
    if level == "day":
        bucket = f"DATE({instant}, {where.bind('zone', zone)})"
    total = f"IFNULL(SUM({quote(data.fingerprint_field)}), 0)" if data.fingerprint_field else "0"
    text = (
        f"SELECT {bucket} AS bucket, COUNT(*) AS row_count, {total} AS total "
        f"FROM {quote_table(table.name)} WHERE {where} GROUP BY bucket ORDER BY bucket"
    )
    return Query(text, where.values)


def list_rows(data: Dataset, table: Table, spans: Sequence[Span], limit: int) -> Query:
    """Key, time and fingerprint of the first `limit` rows by time and key."""
    where = _Where(data, table)
    where.within(spans)
    fingerprint = quote(data.fingerprint_field) if data.fingerprint_field else "CAST(NULL AS INT64)"
    text = (
        f"SELECT IFNULL(CAST({quote(data.key_field)} AS STRING), '') AS row_key, "
        f"{where.instant()} AS row_time, {fingerprint} AS row_fingerprint "
        f"FROM {quote_table(table.name)} WHERE {where} "
        f"ORDER BY row_time, row_key LIMIT {limit:d}"
    )
    return Query(text, where.values)


def newest(data: Dataset, table: Table, since: datetime | None, until: datetime | None) -> Query:
    """The latest time in [since, until); open where an end is None."""
    where = _Where(data, table)
    where.between(since, until)
    text = f"SELECT MAX({where.instant()}) AS newest FROM {quote_table(table.name)} WHERE {where}"
    return Query(text, where.values)


def count_without_time(data: Dataset, table: Table) -> Query:
    """How many rows have no time."""
    where = _Where(data, table)
    where.add(f"{quote(data.time_field)} IS NULL")
    text = f"SELECT COUNT(*) AS row_count FROM {quote_table(table.name)} WHERE {where}"
    return Query(text, where.values)


def count_duplicate_keys(data: Dataset, table: Table, span: Span) -> Query:
    """Rows beyond the first of their key."""
    where = _Where(data, table)
    where.within([span])
    key = quote(data.key_field)
    text = (
        f"SELECT COUNT({key}) - COUNT(DISTINCT {key}) AS row_count "
        f"FROM {quote_table(table.name)} WHERE {where}"
    )
    return Query(text, where.values)


def remove_keys(data: Dataset, table: Table, keys: Sequence[str]) -> Query:
    """Delete the rows with these keys; for twins and sandboxes only."""
    where = _Where(data, table)
    key = f"CAST({quote(data.key_field)} AS STRING)"
    where.add(f"{key} IN ({', '.join(where.bind(f'key_{i}', key) for i, key in enumerate(keys))})")
    return Query(f"DELETE FROM {quote_table(table.name)} WHERE {where}", where.values)


def partitions(name: TableName) -> Query:
    """The non-empty partitions of a table, newest first; BigQuery only."""
    place = ".".join(part for part in (name.project, name.dataset) if part)
    text = (
        f"SELECT partition_id, total_rows FROM {quote(place, '')}.INFORMATION_SCHEMA.PARTITIONS "
        "WHERE table_name = @table AND total_rows > 0 ORDER BY partition_id DESC"
    )
    return Query(text, {"table": name.table})


def quote(name: str, separator: str = ".") -> str:
    """A column's name, or a dotted path into its record, safe to stand in a text."""
    parts = name.split(separator) if separator else [name]
    return ".".join("`" + p.replace("\\", "\\\\").replace("`", "\\`") + "`" for p in parts)


def quote_table(name: TableName) -> str:
    """A table's name, safe to stand in a text."""
    return ".".join(quote(part, "") for part in name if part)


class _Where:
    """The condition under which a row is meant, and the values that it binds."""

    def __init__(self, data: Dataset, table: Table) -> None:
        self.values: dict[str, Any] = {}
        self._parts: list[str] = []
        self._time = quote(data.time_field)
        self._clock: Clock = table.columns[data.time_field].clock or "TIMESTAMP"
        self._add_partition(data, table)
        for number, (field, wanted) in enumerate(data.filter.items()):
            self._add_filter(data, field, (table.columns[field], number, wanted))

    def __str__(self) -> str:
        return " AND ".join(self._parts) or "TRUE"

    def add(self, condition: str) -> None:
        """Ask for one thing more."""
        self._parts.append(condition)

    def bind(self, name: str, value: Any) -> str:
        """Take the value under this name, and say how the text names it."""
        self.values[name] = value
        return f"@{name}"

    def instant(self) -> str:
        """The time of a row as a TIMESTAMP."""
        return self._time if self._clock == "TIMESTAMP" else f"TIMESTAMP({self._time}, 'UTC')"

    def between(self, since: datetime | None, until: datetime | None) -> None:
        """Rows of [since, until), compared in the column's own type so that partitions are cut."""
        if since is not None:
            self.add(f"{self._time} >= {self.bind('since', as_clock(since, self._clock))}")
        if until is not None:
            self.add(f"{self._time} < {self.bind('until', as_clock(until, self._clock))}")

    def within(self, spans: Iterable[Span]) -> None:
        """Rows inside any of the spans; the outer bounds stand first, for pruning."""
        merged = merge_spans(spans)
        if not merged:
            self.add("FALSE")
            return
        if len(merged) > SPANS_MAX:
            raise Refused(
                f"{len(merged)} separate spans of time are too many for one query",
                f"shorten the window: at most {SPANS_MAX} differing spans can be read at once",
            )
        self.between(merged[0].start, merged[-1].end)
        if len(merged) > 1:
            self.add(_any_of([self._inside(i, span) for i, span in enumerate(merged)]))

    def _inside(self, number: int, span: Span) -> str:
        start = self.bind(f"start_{number}", as_clock(span.start, self._clock))
        end = self.bind(f"end_{number}", as_clock(span.end, self._clock))
        return f"({self._time} >= {start} AND {self._time} < {end})"

    def _add_partition(self, data: Dataset, table: Table) -> None:
        """BigQuery refuses a read that names no partition, where the table's owner wants one.

        A table that is cut by another column than the time field must be read whole: which
        partition a row is in says nothing of its time.
        """
        cut = table.partition
        if cut is None or not cut.required or cut.column == data.time_field:
            return
        first = self.bind("first_partition", as_clock(datetime(1, 1, 1, tzinfo=UTC), cut.clock))
        column = quote(cut.column)
        self.add(f"({column} >= {first} OR {column} IS NULL)")

    def _add_filter(
        self, data: Dataset, field: str, asked: tuple[Column, int, Scalar | list[Scalar]]
    ) -> None:
        column, number, wanted = asked
        values = wanted if isinstance(wanted, list) else [wanted]
        names = [
            self.bind(f"filter_{number}_{i}", _fitting(data, field, column, value))
            for i, value in enumerate(values)
        ]
        self.add(f"{quote(field)} IN ({', '.join(names)})" if names else "FALSE")


def _any_of(conditions: list[str]) -> str:
    """The conditions joined by OR as a balanced tree: parsers descend a flat one too deeply."""
    if len(conditions) == 1:
        return conditions[0]
    middle = len(conditions) // 2
    return f"({_any_of(conditions[:middle])} OR {_any_of(conditions[middle:])})"


def _fitting(data: Dataset, field: str, column: Column, value: Scalar) -> Any:
    """The value as the column holds it; what BigQuery refuses DuckDB would silently cast."""
    allowed = _FITTING[column.type]
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        raise Refused(
            f"filter '{field}' of warehouse table '{data.name}' is of type {column.type} "
            f"and cannot be compared with {value!r}",
            f"give it a {' or '.join(kind.__name__ for kind in allowed)}",
        )
    if column.clock is None:
        return value
    try:
        return as_clock(datetime.fromisoformat(str(value)), column.clock)
    except ValueError as error:
        raise Refused(
            f"filter '{field}' of warehouse table '{data.name}' is no time: {value!r}",
            "write it as 2026-01-31T12:00:00Z",
        ) from error


def as_clock(moment: datetime, clock: Clock) -> datetime | date:
    """An instant as a column of this type is compared with it: dates from the next midnight on."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    moment = moment.astimezone(UTC)
    if clock == "TIMESTAMP":
        return moment
    if clock == "DATETIME":
        return moment.replace(tzinfo=None)
    is_midnight = moment.time() == time()
    return moment.date() if is_midnight else moment.date() + timedelta(days=1)
