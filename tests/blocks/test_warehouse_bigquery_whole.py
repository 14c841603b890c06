"""An answer of BigQuery from which rows are missing is never taken as the whole."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from blocks.warehouse import BigQueryWarehouse
from roundsman.errors import Misread
from roundsman.rules.windows import Dataset, Span
from tests.servers.scripted import Reply, Request, Scripted
from tests.servers.scripted_bigquery import PROJECT, Script, table

Start = Callable[..., Scripted]

DAY = datetime(2026, 5, 4, tzinfo=UTC)
SPAN = Span(DAY, DAY + timedelta(days=2))
ORDERS = Dataset(name="shop.orders", time_field="received_at", key_field="id")
PARTITIONED = {"timePartitioning": {"type": "DAY", "field": "received_at"}}
PARTITIONS = (["partition_id", "total_rows"], [["20260505", 7], ["20260504", 5], ["20260503", 1]])
IDS = (["id"], [[f"k{i}"] for i in range(10)])


def said_to_be(script: Script, total: str | None, word: str = "") -> Callable[..., Reply | None]:
    """The script's answers; those to queries with the word in them claim so many rows."""

    def answer(request: Request) -> Reply | None:
        reply = script.answer(request)
        if reply is None or "/queries/" not in request.path:
            return reply
        job = script.jobs[request.path.rsplit("/", 1)[1]]
        if word not in job["configuration"]["query"]["query"]:
            return reply
        return Reply({**reply.body, "totalRows": total})

    return answer


def warehouse_at(server: Scripted) -> BigQueryWarehouse:
    return BigQueryWarehouse(project=PROJECT, location="EU", api_endpoint=server.url)


@pytest.mark.parametrize("page_rows", [None, 4])
@pytest.mark.parametrize("total", ["11", "9", None, "many"])
def test_rows_that_are_not_as_many_as_the_answer_counts_are_misread(
    scripted: Start, total: str | None, page_rows: int | None
) -> None:
    script = Script(rows={"id": IDS}, page_rows=page_rows)
    server = scripted(said_to_be(script, total))
    with pytest.raises(Misread, match="select"):
        warehouse_at(server).select("SELECT id FROM shop.orders", {}, 100)


def test_an_answer_cut_at_the_maximum_is_not_missing_rows(scripted: Start) -> None:
    warehouse = warehouse_at(scripted(Script(rows={"id": IDS}, page_rows=4).answer))
    spans = [SPAN]
    assert len(warehouse.select("SELECT id FROM shop.orders", {}, 10)) == 10
    script = Script(
        rows={"received_at": (["at", "key"], [[str(i), f"k{i}"] for i in range(10)])}, page_rows=4
    )
    server = scripted(said_to_be(script, "3"))
    with pytest.raises(Misread):
        warehouse_at(server).list_rows(ORDERS, spans, 5)


@pytest.mark.parametrize(
    "ask",
    [lambda it: it.estimate(ORDERS, [SPAN]), lambda it: it.newest(ORDERS)],
    ids=["estimate", "newest"],
)
def test_partitions_that_are_missing_from_the_answer_are_misread(
    scripted: Start, ask: Callable[[BigQueryWarehouse], object]
) -> None:
    script = Script(table=table(**PARTITIONED), rows={"PARTITIONS": PARTITIONS})
    server = scripted(said_to_be(script, "4", word="PARTITIONS"))
    with pytest.raises(Misread, match="partitions of warehouse 'acme.shop.orders': 3 of 4 rows"):
        ask(warehouse_at(server))
