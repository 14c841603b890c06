"""Pages of one answer of BigQuery: what each of them costs, and how long it may take."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from blocks.warehouse import BigQueryWarehouse
from roundsman.budget import Purse
from roundsman.errors import Unready
from roundsman.rules.budget import Budget
from tests.blocks.purses import enforced
from tests.servers.scripted import Reply, Request, Scripted
from tests.servers.scripted_bigquery import PROJECT, Script

LEFT_MS = 2_000
# A page that is late; where it is waited for all the same, it comes and the test fails.
LATE_SECONDS = 10


def answer_late(server: Scripted, script: Script, purse: Purse) -> None:
    """Answer by the script, the second page late; then nearly all of the budget is gone."""

    def answer(request: Request) -> Reply | None:
        if "/queries/" in request.path:
            if request.query.get("pageToken"):
                server.let_go.wait(LATE_SECONDS)
            purse.meter.budget = Budget(ms=int(purse.meter.active_ms()) + LEFT_MS, mode="enforce")
        return script.answer(request)

    server.answers.append(answer)


def test_a_page_may_take_what_is_left_and_not_what_the_first_one_had(
    scripted: Callable[..., Scripted],
) -> None:
    script = Script(rows={"id": (["id"], [[f"k{i}"] for i in range(25)])}, page_rows=10)
    with enforced(ms=600_000) as purse:
        answer_late(server := scripted(), script, purse)
        warehouse = BigQueryWarehouse(project=PROJECT, api_endpoint=server.url)

        with pytest.raises(Unready, match="not reached"):
            warehouse.select("SELECT id FROM shop.orders", {}, 100)

        assert purse.ops == 2
    pages = [request for request in server.requests if request.query.get("pageToken")]
    assert len(pages) == 1
