"""What a warehouse can be asked; only how a text reaches it differs between BigQuery and twin."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from blocks.dataset import DatasetBlock, exact_sum
from blocks.warehouse import queries
from blocks.warehouse.queries import Query
from blocks.warehouse.tables import Table, check_roles
from roundsman.errors import Misread, Mistake, Refused
from roundsman.rules.windows import (
    Bucket,
    Dataset,
    FieldType,
    Level,
    Listing,
    Newest,
    Row,
    Span,
)

# The minutes of more than four months; more buckets than that are no narrowing any more.
BUCKETS_MAX = 200_000


class Answer(NamedTuple):
    """Column names and rows; times with a zone are in UTC."""

    names: list[str]
    rows: list[tuple[Any, ...]]


class Warehouse(DatasetBlock, ABC):
    """Tables that are asked in GoogleSQL; `Dataset.name` is '[project.]dataset.table'."""

    @abstractmethod
    def describe(self, name: str) -> Table:
        """What the metadata tell of a table; no operation. Refused where there is none."""

    @abstractmethod
    def answer(self, query: Query, what: str, rows_max: int) -> Answer:
        """The first rows of one SELECT: an operation, and one for each page after the first.

        Denied, before anything is executed, where the text is not exactly one SELECT.
        """

    def select(
        self, sql: str, parameters: Mapping[str, Any], maximum_rows: int
    ) -> list[dict[str, Any]]:
        """The rows of one SELECT in GoogleSQL with `@name` parameters: one operation, and pages.

        Refused where there are more rows than that: a cut answer would look like a whole one.
        """
        found = self.answer(Query(sql, dict(parameters)), "select", maximum_rows + 1)
        if len(found.rows) > maximum_rows:
            raise Refused(
                f"the query has more than {maximum_rows} rows",
                "add a LIMIT, aggregate, or raise the maximum",
            )
        return [dict(zip(found.names, row, strict=True)) for row in found.rows]

    def count_buckets(
        self, data: Dataset, level: Level, spans: Sequence[Span], zone: str
    ) -> list[Bucket]:
        """See the contract."""
        place = _place(zone)
        query = queries.count_buckets(data, self._fitting(data), level, spans, zone)
        rows = self._rows(data, "count", query, BUCKETS_MAX + 1)
        if len(rows) > BUCKETS_MAX:
            raise Refused(
                f"warehouse '{data.name}' by {level} has more than {BUCKETS_MAX} buckets",
                "shorten the window or count by a longer unit",
            )
        return [_bucket(data, row, place) for row in rows]

    def list_rows(self, data: Dataset, spans: Sequence[Span], limit: int) -> Listing:
        """See the contract."""
        query = queries.list_rows(data, self._fitting(data), spans, limit + 1)
        found = self._rows(data, "list", query, limit + 1)
        rows = [Row(str(key), _instant(data, at), fingerprint) for key, at, fingerprint in found]
        return Listing(rows[:limit], cut=len(rows) > limit)

    def newest(self, data: Dataset, until: datetime | None = None) -> Newest:
        """See the contract; partitions narrow the search, and sometimes are the answer."""
        table = self._fitting(data)
        known = self.newest_by_metadata(data, table, until)
        if isinstance(known, Newest):
            return known
        for since in (known, None) if known else (None,):
            query = queries.newest(data, table, since, until)
            value = self._value(data, "find the newest row of", query)
            if value is not None:
                return Newest(_instant(data, value), by="query")
        return Newest(None, by="query")

    def newest_by_metadata(
        self, data: Dataset, table: Table, until: datetime | None
    ) -> Newest | datetime | None:
        """The answer where metadata are enough, else a time that the newest row is not before.

        None where the metadata do not tell.
        """
        return None

    def count_without_time(self, data: Dataset) -> int:
        """See the contract."""
        query = queries.count_without_time(data, self._fitting(data))
        return self._count(data, "count the rows without a time of", query)

    def count_duplicate_keys(self, data: Dataset, span: Span) -> int | None:
        """See the contract; a warehouse can always say."""
        query = queries.count_duplicate_keys(data, self._fitting(data), span)
        return self._count(data, "count the repeated keys of", query)

    def fields(self, data: Dataset) -> dict[str, FieldType]:
        """See the contract."""
        return self.describe(data.name).field_types()

    def _fitting(self, data: Dataset) -> Table:
        table = self.describe(data.name)
        check_roles(data, table)
        return table

    def _rows(self, data: Dataset, verb: str, query: Query, rows_max: int) -> list[tuple[Any, ...]]:
        return self.answer(query, f"{verb} warehouse '{data.name}'", rows_max).rows

    def _value(self, data: Dataset, verb: str, query: Query) -> Any:
        rows = self._rows(data, verb, query, 2)
        if len(rows) != 1 or len(rows[0]) != 1:
            raise Misread(f"{verb} warehouse '{data.name}': one value was asked, {rows!r:.80} came")
        return rows[0][0]

    def _count(self, data: Dataset, verb: str, query: Query) -> int:
        value = self._value(data, verb, query)
        if not isinstance(value, int):
            raise Misread(f"{verb} warehouse '{data.name}': a number was asked, {value!r:.80} came")
        return value


def _place(zone: str) -> ZoneInfo:
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Mistake(f"'{zone}' is no time zone", "name one such as 'Europe/Berlin'") from error


def _bucket(data: Dataset, row: tuple[Any, ...], place: ZoneInfo) -> Bucket:
    start, count, total = row
    if isinstance(start, date) and not isinstance(start, datetime):
        # The midnight is ours and not the warehouse's: they differ where the clock is put forward.
        start = datetime.combine(start, time(), place)
    start = _instant(data, start)
    if not isinstance(count, int):
        raise Misread(f"warehouse '{data.name}' counted {count!r:.80} rows at {start.isoformat()}")
    field = data.fingerprint_field
    return Bucket(start, count, exact_sum(total, field, start) if field else None)


def _instant(data: Dataset, value: Any) -> datetime:
    if not isinstance(value, datetime):
        raise Misread(f"warehouse '{data.name}' gave {value!r:.80} where a time was asked")
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
