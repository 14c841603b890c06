"""What is known of a warehouse table before it is read, and whether a dataset fits it."""

from __future__ import annotations

import difflib
import re
from typing import Literal, NamedTuple

from roundsman.errors import Mistake, Refused
from roundsman.rules.windows import Dataset, FieldType

# GoogleSQL's three kinds of time; only the first names an instant, the others are taken as UTC.
Clock = Literal["TIMESTAMP", "DATETIME", "DATE"]
PartitionUnit = Literal["HOUR", "DAY", "MONTH", "YEAR"]

_NAME = re.compile(
    r"(?:(?P<project>(?:[a-z][a-z0-9.-]*:)?[a-z][a-z0-9-]*)\.)?"
    r"(?P<dataset>\w{1,1024})\.(?P<table>[\w -]{1,1024})"
)


class TableName(NamedTuple):
    """`[project.]dataset.table`, taken apart."""

    project: str | None
    dataset: str
    table: str

    def __str__(self) -> str:
        return ".".join(part for part in self if part)


class Column(NamedTuple):
    """One column; `clock` is None unless it holds times."""

    type: FieldType
    clock: Clock | None = None


class Partition(NamedTuple):
    """How a table is cut by time: by which column, and whether a read must name some pieces."""

    column: str
    clock: Clock
    unit: PartitionUnit
    required: bool = False


class Table(NamedTuple):
    """A table as its metadata tell it; rows and bytes are None where they do not (views)."""

    name: TableName
    columns: dict[str, Column]
    rows: int | None = None
    bytes: int | None = None
    partition: Partition | None = None
    streaming: bool = False

    def field_types(self) -> dict[str, FieldType]:
        """The columns' names and types."""
        return {name: column.type for name, column in self.columns.items()}


def parse_table_name(name: str) -> TableName:
    """Take `[project.]dataset.table` apart; a Mistake where it is none, Refused for a wildcard."""
    if "*" in name:
        raise Refused(
            f"warehouse '{name}' names more than one table",
            "name one table, or a view over them",
        )
    found = _NAME.fullmatch(name)
    if found is None:
        raise Mistake(
            f"'{name}' is not the name of a warehouse table",
            "write 'dataset.table' or 'project.dataset.table'",
        )
    return TableName(found["project"], found["dataset"], found["table"])


def check_roles(data: Dataset, table: Table) -> None:
    """Refused where a field of the dataset is missing or of a type that cannot play its part."""
    _check_role(data, data.time_field, table, ("timestamp",))
    _check_role(data, data.key_field, table, ("keyword", "text", "integer"))
    if data.fingerprint_field is not None:
        _check_role(data, data.fingerprint_field, table, ("integer",))
    for field in data.filter:
        kinds: tuple[FieldType, ...] = (
            "keyword",
            "text",
            "integer",
            "number",
            "boolean",
            "timestamp",
        )
        _check_role(data, field, table, kinds)


def _check_role(data: Dataset, field: str, table: Table, allowed: tuple[FieldType, ...]) -> None:
    column = table.columns.get(field)
    if column is None:
        near = difflib.get_close_matches(field, table.columns, n=3)
        known = ", ".join(f"'{name}'" for name in near or sorted(table.columns)[:10])
        raise Refused(
            f"warehouse table '{data.name}' has no column '{field}'", f"it has {known}", status=404
        )
    if column.type not in allowed:
        raise Refused(
            f"column '{field}' of warehouse table '{data.name}' is of type {column.type}, "
            f"and {' or '.join(allowed)} is needed",
            "name a column of that type, or a view that has one",
        )
