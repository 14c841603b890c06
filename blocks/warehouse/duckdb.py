"""The embedded warehouse: one DuckDB file, asked in the same GoogleSQL as BigQuery."""

from __future__ import annotations

import re
import tempfile
import threading
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from blocks.acting import not_begun
from blocks.dataset import Fields, Rows, of_append, of_remove, of_replace
from blocks.patience import at_most
from blocks.warehouse import queries
from blocks.warehouse.contract import Answer, Warehouse
from blocks.warehouse.lease import FILE_WAIT_SECONDS, held
from blocks.warehouse.loading import write_lines
from blocks.warehouse.queries import KEYS_PER_STATEMENT, Query
from blocks.warehouse.sql import select_for_duckdb, statement_for_duckdb
from blocks.warehouse.tables import (
    Clock,
    Column,
    Table,
    TableName,
    check_roles,
    parse_table_name,
)
from roundsman.budget import DEFAULT_TIMEOUT, spend
from roundsman.errors import Denied, Refused, RoundsmanError, Unready
from roundsman.permits import Permit, effect
from roundsman.rules.windows import Dataset, Estimate, FieldType, Probe, Span

if TYPE_CHECKING:
    import duckdb

FETCH_ROWS = 10_000
LOCK_LOOK_SECONDS = 0.1

# No connection looks outward or into this program; one that reads also touches no other file.
_ALONE: dict[str, Any] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
}
_READING = _ALONE | {"enable_external_access": False}

_CLOCKS: dict[str, Clock] = {
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP",
    "TIMESTAMP": "DATETIME",
    "TIMESTAMP_S": "DATETIME",
    "TIMESTAMP_MS": "DATETIME",
    "TIMESTAMP_NS": "DATETIME",
    "DATE": "DATE",
}
_TYPES: dict[str, FieldType] = {
    "VARCHAR": "keyword",
    "UUID": "keyword",
    "BOOLEAN": "boolean",
    "FLOAT": "number",
    "DOUBLE": "number",
}
_COLUMN_TYPES: dict[FieldType, str] = {
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "keyword": "VARCHAR",
    "text": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "other": "VARCHAR",
}
# What BigQuery would call a column's width, for estimates; texts are taken as this long.
_WIDTHS: dict[FieldType, int] = {"boolean": 1, "keyword": 34, "text": 34, "other": 34}
_WIDTH = 8


class DuckdbWarehouse(Warehouse):
    """A warehouse in one DuckDB file; dbt-duckdb builds in the same file."""

    _block_type_name = "Warehouse on DuckDB"
    _block_type_slug = "duckdb-warehouse"
    _description = "The embedded warehouse of Roundsman: one DuckDB file."
    twin: ClassVar[bool] = True

    kind: Literal["duckdb"] = "duckdb"
    path: Path = Field(description="The DuckDB file; it is made by the first import or dbt build.")

    def describe(self, name: str) -> Table:
        """See the contract; names are told apart by case, as BigQuery does."""
        wanted = parse_table_name(name)
        with self._opened(f"describe warehouse '{name}'") as connection:
            return _describe(connection, wanted)

    def answer(self, query: Query, what: str, rows_max: int) -> Answer:
        """See the contract; the whole answer is one operation."""
        text = select_for_duckdb(query.text)
        spend(what)
        with self._opened(what) as connection:
            cursor = connection.execute(text, query.values or None)
            names = [str(column[0]) for column in cursor.description or []]
            rows: list[tuple[Any, ...]] = []
            while len(rows) < rows_max and (page := cursor.fetchmany(FETCH_ROWS)):
                rows += page
        return Answer(names, [tuple(map(_in_utc, row)) for row in rows[:rows_max]])

    def estimate(self, data: Dataset, spans: Sequence[Span]) -> Estimate:
        """See the contract; rows times declared widths, as BigQuery counts, without its pruning."""
        table = self.describe(data.name)
        check_roles(data, table)
        fingerprint = [data.fingerprint_field] if data.fingerprint_field else []
        read = {data.time_field, *fingerprint, *data.filter}
        width = sum(_WIDTHS.get(table.columns[field].type, _WIDTH) for field in read)
        rows = table.rows
        return Estimate(rows, None if rows is None else rows * width)

    def probe(self) -> Probe:
        """See the contract; a twin can always be written to by who may open its file."""
        with self._opened("look into the warehouse") as connection:
            version = _values(connection, "SELECT version()")[0]
            count = _values(connection, "SELECT COUNT(*) FROM duckdb_tables() WHERE NOT internal")[
                0
            ]
        return Probe(
            reachable=True,
            version=f"DuckDB {version}",
            can_write=True,
            notes=(f"{count} tables in '{self.path}'",),
        )

    @effect("repeatable", of_replace)
    def replace(self, name: str, fields: Fields, rows: Rows, *, permit: Permit) -> int:
        """See the contract; whoever reads meanwhile sees the old rows or the new ones."""
        wanted = parse_table_name(name)
        columns = ", ".join(f"{_quote(f)} {_COLUMN_TYPES[kind]}" for f, kind in fields.items())
        with (
            _written_down(name, fields, rows) as (path, count),
            self._opened(f"replace warehouse '{name}'", writes=True) as connection,
        ):
            connection.execute("BEGIN")
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_quote(wanted.dataset)}")
            connection.execute(f"CREATE OR REPLACE TABLE {_quote_table(wanted)} ({columns})")
            _load(connection, wanted, fields, path)
            connection.execute("COMMIT")
        return count

    @effect("once", of_append)
    def append(self, name: str, rows: Rows, *, permit: Permit) -> int:
        """See the contract; no row says which permit brought it, so never again by itself."""
        with not_begun():
            table = self.describe(name)
        fields = table.field_types()
        with (
            _written_down(name, fields, rows) as (path, count),
            self._opened(f"append to warehouse '{name}'", writes=True) as connection,
        ):
            _load(connection, table.name, fields, path)
        return count

    @effect("repeatable", of_remove)
    def remove(self, data: Dataset, keys: Sequence[str], *, permit: Permit) -> int:
        """See the contract."""
        with not_begun():
            table = self.describe(data.name)
        check_roles(data, table)
        count = 0
        with self._opened(f"remove from warehouse '{data.name}'", writes=True) as connection:
            connection.execute("BEGIN")
            for first in range(0, len(keys), KEYS_PER_STATEMENT):
                chunk = keys[first : first + KEYS_PER_STATEMENT]
                query = queries.remove_keys(data, table, chunk)
                text = statement_for_duckdb(query.text)
                count += int(_values(connection, text, query.values)[0])
            connection.execute("COMMIT")
        return count

    @contextmanager
    def _opened(self, what: str, writes: bool = False) -> Generator[duckdb.DuckDBPyConnection]:
        """A connection for this one use, opened late and closed at once.

        While somebody writes, nobody else can open the file. What writes is paid for here.
        """
        import duckdb

        if writes:
            spend(what)
            self.path.parent.mkdir(parents=True, exist_ok=True)
        elif not self.path.is_file():
            raise Refused(
                f"warehouse file '{self.path}' does not exist",
                "import something or run dbt first, or correct 'path' in systems.yaml",
            )
        with ExitStack() as alone, self._translated(what):
            with not_begun(), self._translated(what):
                alone.enter_context(held(self.path))
                connection = self._connect(writes)
            seconds = at_most(DEFAULT_TIMEOUT)
            clock = threading.Timer(seconds, connection.interrupt)
            clock.start()
            try:
                connection.execute("SET TimeZone = 'UTC'")
                connection.execute("SET ieee_floating_point_ops = false")
                yield connection
            except duckdb.InterruptException as error:
                raise Unready(f"{what} took longer than {seconds:.3g} s", "read less") from error
            finally:
                clock.cancel()
                connection.close()

    def _connect(self, writes: bool) -> duckdb.DuckDBPyConnection:
        """Connect as soon as no other process has the file, also one that keeps no lease."""
        import duckdb

        deadline = time.monotonic() + at_most(FILE_WAIT_SECONDS)
        while True:
            try:
                config = _ALONE if writes else _READING
                return duckdb.connect(str(self.path), read_only=not writes, config=config)
            except duckdb.IOException as error:
                if "lock" not in str(error) or time.monotonic() >= deadline:
                    raise
            time.sleep(LOCK_LOOK_SECONDS)

    @contextmanager
    def _translated(self, what: str) -> Generator[None]:
        import duckdb

        try:
            yield
        except duckdb.Error as error:
            raise _meaning(self.path, what, error) from error
        except OSError as error:
            raise Refused(f"{what}: {error}", "make the folder open to this user") from error


def _meaning(path: Path, what: str, error: duckdb.Error) -> RoundsmanError:
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    kind = type(error).__name__
    holder = re.search(r"lock.*?\(PID (\d+)\)", str(error))
    if holder:
        return Unready(
            f"{what}: file '{path}' is in use by process {holder[1]}", "try again when it is done"
        )
    if kind in ("PermissionException",):
        return Denied(f"{what}: {said}", "a query reads tables of the warehouse only")
    if kind == "IOException" and "lock" in said:
        return Unready(f"{what}: {said}", "try again when the file's user is done")
    if "not a valid DuckDB" in said or kind in ("SerializationException", "FatalException"):
        return Refused(f"{what}: file '{path}' is no DuckDB file that can be read: {said}", "")
    if kind in ("InternalException", "OutOfMemoryException"):
        return Unready(f"{what}: {said}", "read less, or give the machine more memory")
    return Refused(f"{what}: {said}", "correct the query, the name or the file's permissions")


def _describe(connection: duckdb.DuckDBPyConnection, wanted: TableName) -> Table:
    found = connection.execute(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE NOT internal"
        " AND database_name = current_database() AND schema_name = ? AND table_name = ?"
        " ORDER BY column_index",
        [wanted.dataset, wanted.table],
    ).fetchall()
    if not found:
        raise Refused(
            f"warehouse has no table '{wanted}'",
            "correct the name, or import into it or build it first",
            status=404,
        )
    rows = _values(
        connection,
        "SELECT estimated_size FROM duckdb_tables() WHERE schema_name = ? AND table_name = ?"
        " AND database_name = current_database()",
        [wanted.dataset, wanted.table],
    )
    columns = {str(name): _column(str(kind)) for name, kind in found}
    return Table(TableName(None, *wanted[1:]), columns, rows=rows[0] if rows else None)


def _column(kind: str) -> Column:
    if kind in _CLOCKS:
        return Column("timestamp", _CLOCKS[kind])
    if kind.startswith("ENUM"):
        return Column("keyword")
    if kind.startswith("DECIMAL"):
        return Column("number")
    if re.fullmatch(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?", kind):
        return Column("integer")
    return Column(_TYPES.get(kind, "other"))


def _values(connection: duckdb.DuckDBPyConnection, text: str, values: Any = None) -> list[Any]:
    """The first column of the answer's rows."""
    return [row[0] for row in connection.execute(text, values).fetchall()]


def _in_utc(value: Any) -> Any:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    return value


@contextmanager
def _written_down(
    name: str, fields: Mapping[str, FieldType], rows: Iterable[Mapping[str, Any]]
) -> Generator[tuple[Path, int]]:
    """The rows in a file of lines that DuckDB reads in one statement, and how many there are."""
    with tempfile.TemporaryDirectory(prefix="roundsman-") as folder:
        path = Path(folder) / "rows.json"
        with path.open("wb") as file:
            count = write_lines(file, name, fields, rows)
        yield path, count


def _load(
    connection: duckdb.DuckDBPyConnection,
    name: TableName,
    fields: Mapping[str, FieldType],
    path: Path,
) -> None:
    if path.stat().st_size == 0:
        return
    columns = {field: _COLUMN_TYPES[kind] for field, kind in fields.items()}
    names = ", ".join(map(_quote, fields))
    connection.execute(
        f"INSERT INTO {_quote_table(name)} ({names}) SELECT {names} FROM read_json("
        "$path, format = 'newline_delimited', columns = $columns, maximum_object_size = 104857600)",
        {"path": str(path), "columns": columns},
    )


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _quote_table(name: TableName) -> str:
    return f"{_quote(name.dataset)}.{_quote(name.table)}"
