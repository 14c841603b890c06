"""The exact requests to BigQuery: price, cap, labels, partitions, time-outs, errors."""

from __future__ import annotations

import contextvars
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from blocks.warehouse import BigQueryWarehouse
from roundsman.budget import Meter, Purse, meter
from roundsman.envelope import Identity, Run, enter
from roundsman.errors import (
    BudgetSpent,
    Cancelled,
    Denied,
    Misread,
    Refused,
    RoundsmanError,
    Unready,
)
from roundsman.rules.budget import Budget
from roundsman.rules.windows import Dataset, Newest, Span
from roundsman.store.records import Spent
from tests.servers.scripted import Reply, Request, Scripted
from tests.servers.scripted_bigquery import COLUMNS, PROJECT, Script, error, table

DAY = datetime(2026, 5, 4, tzinfo=UTC)
SPAN = Span(DAY, DAY + timedelta(days=2))
ORDERS = Dataset(name="shop.orders", time_field="received_at", key_field="id")
PARTITIONED = {"timePartitioning": {"type": "DAY", "field": "received_at"}}

Start = Callable[..., Scripted]
R = TypeVar("R")


def micros(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000)


def warehouse_at(server: Scripted, **options: Any) -> BigQueryWarehouse:
    return BigQueryWarehouse(project=PROJECT, location="EU", api_endpoint=server.url, **options)


def in_run(act: Callable[[], R], run: Run | None = None, operations: int = 100) -> tuple[R, int]:
    """The result of the act inside a run, and how many operations it spent."""
    counted: list[int] = []

    def spend_one() -> Spent:
        counted.append(1)
        return Spent(len(counted) <= operations, len(counted), operations, False)

    def inside() -> R:
        run_meter = Meter(Budget(ops=operations, mode="enforce"), spend_one, lambda _: None)
        purse = Purse(run_meter, lambda: None)
        meter.set(purse)
        if run is not None:
            run.purse = purse
            enter(run)
        return act()

    return contextvars.copy_context().run(inside), len(counted)


def a_run() -> Run:
    who = Identity("3f0e1c52-AAAA", "default", "warehouse_health", (), True)
    return Run(who, None, None)  # type: ignore[arg-type] # neither ledger nor artifacts is asked


def test_every_job_carries_run_cap_place_and_time_limit(scripted: Start) -> None:
    script = Script(rows={"COUNT": (["bucket", "row_count", "total"], [])})
    server = scripted(script.answer)
    warehouse = warehouse_at(server, maximum_bytes_billed=50_000_000, timeout_seconds=30)

    _, spent = in_run(lambda: warehouse.count_buckets(ORDERS, "hour", [SPAN], "UTC"), a_run())

    dry, real = script.configurations(server)
    assert spent == 1
    assert dry["dryRun"] is True
    for job in (dry, real):
        assert job["labels"] == {
            "app": "roundsman",
            "roundsman_run": "3f0e1c52-aaaa",
            "roundsman_agent": "warehouse_health",
        }
        assert job["query"]["useLegacySql"] is False
    assert real["query"]["maximumBytesBilled"] == "50000000"
    assert 0 < int(real["jobTimeoutMs"]) <= 30_000
    posted = [r.json() for r in server.asked("/jobs") if r.method == "POST"]
    assert {job["jobReference"]["location"] for job in posted} == {"EU"}


def test_the_time_field_is_compared_bare_so_that_partitions_are_cut(scripted: Start) -> None:
    script = Script(table=table(**PARTITIONED, requirePartitionFilter=True))
    server = scripted(script.answer)
    spans = [SPAN, Span(DAY + timedelta(days=9), DAY + timedelta(days=10))]

    warehouse_at(server).count_buckets(ORDERS, "hour", spans, "UTC")

    query = script.queries(server)[0]["query"]
    assert "`received_at` >= @since AND `received_at` < @until AND (" in query["query"]
    values = {p["name"]: p for p in query["queryParameters"]}
    assert values["since"]["parameterType"] == {"type": "TIMESTAMP"}
    assert values["since"]["parameterValue"]["value"].startswith("2026-05-04 00:00:00")
    assert values["until"]["parameterValue"]["value"].startswith("2026-05-14 00:00:00")


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("DATETIME", "TIMESTAMP(`received_at`, 'UTC')", "2026-05-04"),
        ("DATE", "'UTC'", "2026-05-04"),
    ],
)
def test_times_without_a_zone_are_utc_and_still_cut_partitions(
    scripted: Start, kind: str, text: str, value: str
) -> None:
    script = Script(table=table({**COLUMNS, "received_at": kind}, **PARTITIONED))
    server = scripted(script.answer)

    warehouse_at(server).count_buckets(ORDERS, "day", [SPAN], "Europe/Berlin")

    query = script.queries(server)[0]["query"]
    since = next(p for p in query["queryParameters"] if p["name"] == "since")
    assert text in query["query"]
    assert "`received_at` >= @since" in query["query"]
    assert since["parameterType"] == {"type": kind}
    assert since["parameterValue"]["value"].startswith(value)


def test_a_table_cut_by_arrival_is_read_whole_and_its_filter_satisfied(scripted: Start) -> None:
    cut = {"timePartitioning": {"type": "DAY"}, "requirePartitionFilter": True}
    script = Script(table=table(**cut))
    server = scripted(script.answer)

    warehouse_at(server).count_buckets(ORDERS, "day", [SPAN], "UTC")

    text = script.queries(server)[0]["query"]["query"]
    assert "(`_PARTITIONTIME` >= @first_partition OR `_PARTITIONTIME` IS NULL)" in text


def test_a_read_that_would_scan_too_much_is_refused_before_it_runs(scripted: Start) -> None:
    script = Script(bytes_scanned=20_000_000_000)
    server = scripted(script.answer)
    with pytest.raises(Refused, match="20000000000 bytes, and 10000000000 are allowed"):
        warehouse_at(server).count_without_time(ORDERS)
    assert script.queries(server) == []


@pytest.mark.parametrize("statement", ["DELETE", "SCRIPT", "CREATE_TABLE_AS_SELECT", ""])
def test_what_bigquery_itself_does_not_call_a_select_is_denied_before_it_runs(
    scripted: Start, statement: str
) -> None:
    script = Script(statement=statement)
    server = scripted(script.answer)
    with pytest.raises(Denied):
        warehouse_at(server).select("SELECT 1", {}, 1)
    assert script.queries(server) == []


def test_a_text_that_is_no_select_is_never_sent(scripted: Start) -> None:
    server = scripted(Script().answer)
    with pytest.raises(Denied):
        warehouse_at(server).select("DELETE FROM shop.orders WHERE TRUE", {}, 1)
    assert server.requests == []


def test_a_job_that_takes_too_long_is_cancelled(scripted: Start) -> None:
    script = Script(states=["RUNNING"])
    server = scripted(script.answer)
    began = time.monotonic()
    with pytest.raises(Unready, match="took too long"):
        warehouse_at(server, timeout_seconds=0.4).select("SELECT 1", {}, 1)
    assert time.monotonic() - began < 5
    assert script.cancelled.is_set()


def test_a_stopped_run_takes_its_job_with_it(scripted: Start) -> None:
    script = Script(states=["RUNNING"])
    server = scripted(script.answer)
    run = a_run()
    run.stop(Cancelled("run was cancelled"))
    with pytest.raises(Cancelled):
        in_run(lambda: warehouse_at(server).select("SELECT 1", {}, 1), run)
    assert script.cancelled.is_set()


NOES: list[tuple[int, str, type[RoundsmanError]]] = [
    (400, "invalidQuery", Refused),
    (400, "jobBackendError", Unready),
    (401, "authError", Refused),
    (403, "accessDenied", Refused),
    (403, "rateLimitExceeded", Unready),
    (403, "quotaExceeded", Refused),
    (404, "notFound", Refused),
    (429, "rateLimitExceeded", Unready),
    (500, "internalError", Unready),
    (503, "backendError", Unready),
]


@pytest.mark.covers("C-034", "C-035")
@pytest.mark.parametrize(("status", "reason", "kind"), NOES)
@pytest.mark.parametrize("where", ["/tables/orders", "/jobs"])
def test_what_bigquery_refuses_is_told_by_what_to_do_and_asked_once(
    scripted: Start, where: str, status: int, reason: str, kind: type[RoundsmanError]
) -> None:
    def refuse(request: Request) -> Reply | None:
        return error(status, reason, "the server's own words") if where in request.path else None

    server = scripted(Script(refuse=refuse).answer)
    # Without credentials there is nothing to renew, which is what the client then complains of.
    words = "credentials" if status == 401 else "server's own words"
    with pytest.raises(kind, match=words) as caught:
        warehouse_at(server).newest(ORDERS)
    assert caught.value.status == status
    assert len(server.asked(where)) == 1


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("rateLimitExceeded", Unready),
        ("backendError", Unready),
        ("bytesBilledLimitExceeded", Refused),
        ("invalidQuery", Refused),
    ],
)
def test_a_job_that_fails_is_told_by_its_reason_and_not_restarted(
    scripted: Start, reason: str, kind: type[RoundsmanError]
) -> None:
    script = Script(failure=(reason, "the job's own words"))
    server = scripted(script.answer)
    with pytest.raises(kind, match="the job's own words"):
        warehouse_at(server).select("SELECT 1", {}, 1)
    assert len(script.queries(server)) == 1


@pytest.mark.parametrize("body", [b"<html>gateway</html>", b"[]", b'{"kind": "no table"}'])
def test_an_answer_in_another_shape_is_misread(scripted: Start, body: bytes) -> None:
    server = scripted(lambda _: Reply(body))
    with pytest.raises(Misread):
        warehouse_at(server).newest(ORDERS)


@pytest.mark.covers("A-008")
def test_each_page_after_the_first_is_an_operation(scripted: Start) -> None:
    script = Script(rows={"id": (["id"], [[f"k{i}"] for i in range(25)])}, page_rows=10)
    warehouse = warehouse_at(scripted(script.answer))
    rows, spent = in_run(lambda: warehouse.select("SELECT id FROM shop.orders", {}, 100))
    assert [row["id"] for row in rows] == [f"k{i}" for i in range(25)]
    assert spent == 3
    with pytest.raises(BudgetSpent):
        in_run(lambda: warehouse.select("SELECT id FROM shop.orders", {}, 100), operations=2)


def test_more_rows_than_the_maximum_are_refused_and_never_cut(scripted: Start) -> None:
    script = Script(rows={"id": (["id"], [["a"], ["b"], ["c"]])})
    warehouse = warehouse_at(scripted(script.answer))
    assert len(warehouse.select("SELECT id FROM shop.orders", {}, 3)) == 3
    with pytest.raises(Refused, match="more than 2 rows"):
        warehouse.select("SELECT id FROM shop.orders", {}, 2)


# Newest and estimates from metadata.

PARTITIONS = (["partition_id", "total_rows"], [["__NULL__", 3], ["20260505", 7], ["20260504", 5]])


def timestamp_rows(at: datetime) -> tuple[list[str], list[list[Any]]]:
    return (["newest"], [[micros(at)]])


def test_an_empty_table_has_no_newest_row_by_its_metadata_alone(scripted: Start) -> None:
    script = Script(table=table(numRows="0"))
    server = scripted(script.answer)
    found, spent = in_run(lambda: warehouse_at(server).newest(ORDERS))
    assert (found, spent) == (Newest(None, "metadata"), 0)
    assert server.asked("/jobs") == []


def test_rows_still_in_the_streaming_buffer_are_asked_for(scripted: Start) -> None:
    buffer = {"streamingBuffer": {"estimatedRows": "5", "oldestEntryTime": "1790000000000"}}
    script = Script(table=table(numRows="0", **buffer), rows={"MAX": (["newest"], [[None]])})
    server = scripted(script.answer)
    assert warehouse_at(server).newest(ORDERS) == Newest(None, "query")


def test_a_date_column_cut_by_days_has_its_newest_day_in_the_metadata(scripted: Start) -> None:
    columns = {**COLUMNS, "received_at": "DATE"}
    script = Script(table=table(columns, **PARTITIONED), rows={"PARTITIONS": PARTITIONS})
    server = scripted(script.answer)
    warehouse = warehouse_at(server)
    found, spent = in_run(lambda: warehouse.newest(ORDERS))
    assert (found, spent) == (Newest(DAY + timedelta(days=1), "metadata"), 0)
    assert warehouse.newest(ORDERS, until=DAY + timedelta(days=1)) == Newest(DAY, "metadata")


def test_partitions_narrow_the_search_for_the_newest_row_to_one_of_them(scripted: Start) -> None:
    script = Script(table=table(**PARTITIONED))
    script.rows = {"PARTITIONS": PARTITIONS, "MAX": (["newest"], [[None]])}
    server = scripted(script.answer)

    found, spent = in_run(lambda: warehouse_at(server).newest(ORDERS))

    first, whole = [q["query"] for q in script.queries(server) if "MAX" in q["query"]["query"]]
    (since,) = first["queryParameters"]
    assert since["parameterValue"]["value"].startswith("2026-05-05 00:00:00")
    # That partition has no row that passes: the whole table is asked before "none" is said.
    assert whole["queryParameters"] == []
    assert (found, spent) == (Newest(None, "query"), 2)


def test_an_estimate_takes_bytes_from_a_dry_run_and_rows_from_partitions(scripted: Start) -> None:
    script = Script(
        table=table(**PARTITIONED), rows={"PARTITIONS": PARTITIONS}, bytes_scanned=4_321
    )
    server = scripted(script.answer)
    one_day = [Span(DAY, DAY + timedelta(hours=1))]
    found, spent = in_run(lambda: warehouse_at(server).estimate(ORDERS, one_day))
    assert (found.rows, found.bytes, spent) == (5, 4_321, 0)


def test_the_size_of_a_view_is_unknown_and_not_zero(scripted: Start) -> None:
    script = Script(table=table(type="VIEW", numRows="0", numBytes="0"))
    assert warehouse_at(scripted(script.answer)).estimate(ORDERS, [SPAN]).rows is None


# Doors and keys.


@pytest.mark.parametrize(
    ("permissions", "can_write"),
    [
        (Reply({"permissions": ["bigquery.tables.updateData"]}), True),
        (Reply({}), False),
        (error(403, "accessDenied"), None),
    ],
)
def test_a_probe_asks_for_permissions_without_touching_a_table(
    scripted: Start, permissions: Reply, can_write: bool | None
) -> None:
    reference = {"datasetReference": {"projectId": PROJECT, "datasetId": "shop"}, "id": "acme:shop"}
    listed = {"tableReference": table()["tableReference"], "id": "acme:shop.orders"}
    server = scripted(Script().answer)
    server.on("GET", "/datasets", Reply({"datasets": [reference]}))
    server.on("GET", "/tables", Reply({"tables": [listed]}))
    server.on("POST", ":testIamPermissions", permissions)
    assert warehouse_at(server).probe().can_write is can_write
    assert all(job["configuration"]["dryRun"] for job in (r.json() for r in server.asked("/jobs")))


def test_nobody_at_the_address_is_unready_at_once() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    began = time.monotonic()
    with pytest.raises(Unready, match="not reached"):
        BigQueryWarehouse(project=PROJECT, api_endpoint=url).newest(ORDERS)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("content", [None, "no key", '{"type": "service_account"}'])
def test_a_key_file_that_is_missing_or_broken_is_refused_by_name(
    tmp_path: Path, content: str | None
) -> None:
    key = tmp_path / "key.json"
    if content is not None:
        key.write_text(content)
    with pytest.raises(Refused, match="credentials_file"):
        BigQueryWarehouse(project=PROJECT, credentials_file=key).newest(ORDERS)
