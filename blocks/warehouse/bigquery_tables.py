"""How BigQuery's metadata of a table read: columns, size and partitions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

from blocks.warehouse.tables import Clock, Column, Partition, PartitionUnit, Table, TableName
from roundsman.rules.windows import FieldType

if TYPE_CHECKING:
    from google.cloud.bigquery import SchemaField
    from google.cloud.bigquery import Table as BigQueryTable

# The hidden column of a table that is cut by the time of arrival.
ARRIVAL = "_PARTITIONTIME"
_TYPES: dict[str, FieldType] = {
    "STRING": "keyword",
    "INTEGER": "integer",
    "INT64": "integer",
    "FLOAT": "number",
    "FLOAT64": "number",
    "NUMERIC": "number",
    "BIGNUMERIC": "number",
    "BOOLEAN": "boolean",
    "BOOL": "boolean",
}
_CLOCKS: dict[str, Clock] = {"TIMESTAMP": "TIMESTAMP", "DATETIME": "DATETIME", "DATE": "DATE"}
# What a column is made as.
COLUMN_TYPES: dict[FieldType, str] = {
    "timestamp": "TIMESTAMP",
    "keyword": "STRING",
    "text": "STRING",
    "integer": "INT64",
    "number": "FLOAT64",
    "boolean": "BOOL",
    "other": "STRING",
}


def table_of(name: TableName, table: BigQueryTable) -> Table:
    """The client's record of a table as ours; the size of a view is not known."""
    columns = dict(_columns(cast("Iterable[SchemaField]", table.schema)))
    plain = table.table_type == "TABLE"
    return Table(
        name,
        columns,
        rows=table.num_rows if plain else None,
        bytes=table.num_bytes if plain else None,
        partition=_partition(table, columns),
        streaming=table.streaming_buffer is not None,
    )


def _columns(schema: Iterable[Any], above: str = "") -> Iterator[tuple[str, Column]]:
    """The columns, those of records by their dotted path."""
    for field in schema:
        name = f"{above}{field.name}"
        if field.mode == "REPEATED":
            yield name, Column("other")
        elif field.field_type in ("RECORD", "STRUCT"):
            yield from _columns(field.fields, f"{name}.")
        elif field.field_type in _CLOCKS:
            yield name, Column("timestamp", _CLOCKS[field.field_type])
        else:
            yield name, Column(_TYPES.get(field.field_type, "other"))


def _partition(table: BigQueryTable, columns: dict[str, Column]) -> Partition | None:
    cut = table.time_partitioning
    if cut is None:
        return None
    column = cut.field or ARRIVAL
    clock = columns[column].clock if column in columns else None
    required = bool(table.require_partition_filter)
    unit = cast("PartitionUnit", cut.type_ or "DAY")  # the client's own four words
    return Partition(column, clock or "TIMESTAMP", unit, required)
