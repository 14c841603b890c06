"""What is particular to the twin: one file, one user at a time, and DuckDB's own types."""

from __future__ import annotations

import contextvars
import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import duckdb
import pytest

from blocks.warehouse import DuckdbWarehouse
from roundsman.budget import Meter, Purse, meter
from roundsman.envelope import Identity, Run, enter
from roundsman.errors import Denied, Mistake, Refused, RoundsmanError, Unready
from roundsman.rules.budget import Budget
from roundsman.rules.windows import Bucket, Dataset, Newest, Span
from roundsman.store import Ledger, open_ledger
from roundsman.store.artifacts import ArtifactStore
from roundsman.store.leases import hold_file
from roundsman.store.records import Spent
from tests.permits import granted

DAY = datetime(2026, 5, 4, tzinfo=UTC)
SPAN = Span(DAY, DAY + timedelta(days=14))
ORDERS = Dataset(name="shop.orders", time_field="at", key_field="id")

# Another process that has the file open for writing until it is told to go.
HOLDER = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1])
print("open", flush=True)
sys.stdin.readline()
connection.close()
"""

R = TypeVar("R")


@pytest.fixture
def warehouse(tmp_path: Path) -> DuckdbWarehouse:
    twin = DuckdbWarehouse(path=tmp_path / "warehouse.duckdb")
    rows = [{"id": f"k{hour}", "at": DAY + timedelta(hours=hour)} for hour in range(48)]
    granted(twin.replace, "shop.orders", {"id": "keyword", "at": "timestamp"}, rows)
    return twin


@pytest.fixture
def holder(warehouse: DuckdbWarehouse) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the warehouse's file."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(warehouse.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "open\n"
    yield process
    process.kill()
    process.communicate()


def with_seconds(seconds: float, act: Callable[[], R], run: Run | None = None) -> R:
    """The act under an enforced budget that leaves its calls about so long."""

    def inside() -> R:
        budget = Budget(ms=int(seconds * 1000 / 0.8), mode="enforce")
        counted = Spent(True, 1, None, False)
        purse = Purse(Meter(budget, lambda: counted, lambda _: None), lambda: None)
        meter.set(purse)
        if run is not None:
            run.purse = purse
            enter(run)
        return act()

    return contextvars.copy_context().run(inside)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_million_rows_are_counted_by_day(tmp_path: Path) -> None:
    twin = DuckdbWarehouse(path=tmp_path / "large.duckdb")
    with duckdb.connect(str(twin.path)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            "CREATE SCHEMA shop; CREATE TABLE shop.orders AS SELECT 'k' || i AS id,"
            " TIMESTAMPTZ '2026-05-04 00:00:00+00' + to_microseconds(i * 1209600) AS \"at\""
            " FROM range(1000000) AS numbers(i)"
        )
    days = twin.count_buckets(ORDERS, "day", [SPAN], "Europe/Berlin")
    assert (len(days), sum(day.count for day in days)) == (15, 1_000_000)


@pytest.mark.parametrize(
    ("kind", "newest"),
    [
        ("TIMESTAMP WITH TIME ZONE", DAY + timedelta(hours=47)),
        ("TIMESTAMP", DAY + timedelta(hours=47)),
        ("TIMESTAMP_MS", DAY + timedelta(hours=47)),
        ("DATE", DAY + timedelta(days=1)),
    ],
)
def test_times_without_a_zone_are_taken_as_utc(
    warehouse: DuckdbWarehouse, kind: str, newest: datetime
) -> None:
    with duckdb.connect(str(warehouse.path)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            f'CREATE TABLE shop.other AS SELECT id, CAST("at" AS {kind}) AS "at" FROM shop.orders'
        )
    other = ORDERS.model_copy(update={"name": "shop.other"})
    second_day = Span(DAY + timedelta(days=1), DAY + timedelta(days=2))
    assert warehouse.newest(other) == Newest(newest, "query")
    assert warehouse.count_buckets(other, "day", [second_day], "UTC") == [
        Bucket(second_day.start, 24)
    ]
    assert warehouse.list_rows(other, [second_day], 1).rows[0].at == second_day.start


def test_a_span_that_begins_within_a_day_leaves_out_that_days_dates(
    warehouse: DuckdbWarehouse,
) -> None:
    with duckdb.connect(str(warehouse.path)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        text = 'CREATE TABLE shop.dates AS SELECT id, CAST("at" AS DATE) AS "at" FROM shop.orders'
        connection.execute(text)
    dates = ORDERS.model_copy(update={"name": "shop.dates"})
    span = Span(DAY + timedelta(hours=1), DAY + timedelta(hours=25))
    assert warehouse.count_buckets(dates, "day", [span], "UTC") == [
        Bucket(DAY + timedelta(days=1), 24)
    ]


def test_a_view_is_read_like_a_table_and_its_size_is_unknown(warehouse: DuckdbWarehouse) -> None:
    with duckdb.connect(str(warehouse.path)) as connection:
        connection.execute("CREATE VIEW shop.seen AS SELECT * FROM shop.orders")
    seen = ORDERS.model_copy(update={"name": "any-project.shop.seen"})
    assert warehouse.count_without_time(seen) == 0
    assert warehouse.newest(seen).at == DAY + timedelta(hours=47)
    assert warehouse.estimate(seen, [SPAN]).rows is None


@pytest.mark.parametrize("name", ["shop.Orders", "Shop.orders"])
def test_names_of_tables_are_told_apart_by_case_as_in_bigquery(
    warehouse: DuckdbWarehouse, name: str
) -> None:
    with pytest.raises(Refused, match=name):
        warehouse.newest(ORDERS.model_copy(update={"name": name}))


@pytest.mark.parametrize("name", ["orders", "a.b.c.d", "shop.o'rders", "shop.`x`", "", "shop."])
def test_what_cannot_be_a_table_is_a_mistake(warehouse: DuckdbWarehouse, name: str) -> None:
    with pytest.raises(Mistake, match="not the name of a warehouse table"):
        warehouse.newest(ORDERS.model_copy(update={"name": name}))


@pytest.mark.parametrize(
    "text",
    [
        "SELECT id FROM shop.orders",
        "SELECT COUNT(*) AS n FROM shop.orders",
        "SELECT 1 / 0",
        "DELETE FROM shop.orders WHERE TRUE",
        "CREATE TABLE shop.more AS SELECT 1",
        "DROP TABLE shop.orders",
    ],
)
def test_no_text_changes_a_byte_of_the_file(warehouse: DuckdbWarehouse, text: str) -> None:
    before = digest(warehouse.path)
    beside = set(warehouse.path.parent.iterdir())
    with suppress(Denied, Refused):
        warehouse.select(text, {}, 100)
    assert digest(warehouse.path) == before
    assert set(warehouse.path.parent.iterdir()) == beside


def test_a_replacement_that_fails_leaves_the_old_rows(warehouse: DuckdbWarehouse) -> None:
    with pytest.raises(Refused, match="size"):
        granted(
            warehouse.replace, "shop.orders", {"size": "integer"}, [{"size": 1}, {"size": "many"}]
        )
    assert warehouse.select("SELECT COUNT(*) AS n FROM shop.orders", {}, 1) == [{"n": 48}]


def test_a_file_that_is_missing_or_something_else_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="does not exist"):
        DuckdbWarehouse(path=tmp_path / "none.duckdb").newest(ORDERS)
    other = tmp_path / "other.duckdb"
    other.write_text("this is a letter and not a database\n" * 500)
    with pytest.raises(Refused, match="other.duckdb"):
        DuckdbWarehouse(path=other).newest(ORDERS)


def test_a_query_that_takes_too_long_is_ended(warehouse: DuckdbWarehouse) -> None:
    text = (
        "SELECT COUNT(*) AS n FROM UNNEST(GENERATE_ARRAY(1, 300000)) AS a"
        " CROSS JOIN UNNEST(GENERATE_ARRAY(1, 300000)) AS b WHERE MOD(a * b, 7) = 3"
    )
    began = time.monotonic()
    with pytest.raises(Unready, match="longer than"):
        with_seconds(0.5, lambda: warehouse.select(text, {}, 1))
    assert time.monotonic() - began < 20


def test_a_read_waits_for_the_process_that_writes(
    warehouse: DuckdbWarehouse, holder: subprocess.Popen[str]
) -> None:
    found: list[Newest] = []
    reader = threading.Thread(target=lambda: found.append(warehouse.newest(ORDERS)))
    reader.start()
    reader.join(0.5)
    assert reader.is_alive()
    assert holder.stdin
    holder.stdin.write("go\n")
    holder.stdin.flush()
    reader.join(20)
    assert found[0].at == DAY + timedelta(hours=47)


def test_a_wait_in_vain_names_the_process_that_has_the_file(
    warehouse: DuckdbWarehouse, holder: subprocess.Popen[str]
) -> None:
    with pytest.raises(Unready, match=f"in use by process {holder.pid}"):
        with_seconds(0.5, lambda: warehouse.select("SELECT 1", {}, 1))


def test_in_a_run_the_ledgers_lease_of_the_file_is_kept(
    warehouse: DuckdbWarehouse, tmp_path: Path
) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path / "chain.key", None)
    run = Run(
        Identity("r1", "default", "agent", (), True), ledger, ArtifactStore(tmp_path, "default")
    )

    def read() -> list[dict[str, object]]:
        return warehouse.select("SELECT 1 AS one", {}, 1)

    assert with_seconds(5, read, run) == [{"one": 1}]
    assert _is_free(ledger, warehouse.path)
    with (
        hold_file(ledger, "default", str(warehouse.path.resolve()), 0),
        pytest.raises(Unready, match="is in use by process"),
    ):
        with_seconds(0.3, read, run)
    ledger.close()


def _is_free(ledger: Ledger, path: Path) -> bool:
    with hold_file(ledger, "default", str(path.resolve()), 0):
        return True


def test_steps_of_one_process_take_turns(warehouse: DuckdbWarehouse) -> None:
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            if number % 2:
                granted(warehouse.append, "shop.orders", [{"id": f"new{number}", "at": DAY}])
            else:
                warehouse.newest(ORDERS)
        except RoundsmanError as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert warehouse.select("SELECT COUNT(*) AS n FROM shop.orders", {}, 1) == [{"n": 52}]
