"""How lists are paged, what counts as an operation, and how documents are written."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from roundsman.errors import BudgetSpent, Refused, Unready
from roundsman.rules.windows import Bucket
from tests.blocks.purses import enforced
from tests.blocks.wire import (
    COUNTED,
    DATA,
    DAY,
    SHARDS,
    SPANS,
    count_in,
    error_body,
    search_at,
)
from tests.permits import granted, permit_for
from tests.servers.scripted import Reply, Request, Scripted


def _hit(second: int) -> dict[str, Any]:
    at = (DAY + timedelta(seconds=second)).isoformat().replace("+00:00", "Z")
    return {"_id": f"i{second}", "sort": [at, f"k{second:06d}", second], "fields": {"f": [second]}}


def _page(first: int, count: int) -> Reply:
    hits = [_hit(first + i) for i in range(count)]
    return Reply({"timed_out": False, "_shards": SHARDS, "hits": {"hits": hits}})


def test_a_long_list_is_read_in_pages_of_one_point_in_time(server: Scripted) -> None:
    server.on("POST", "/_pit", Reply({"id": "pit-1", "_shards": SHARDS}))
    server.on("DELETE", "/_pit", Reply({"succeeded": True, "num_freed": 2}))
    server.on("POST", "/_search", _page(0, 10_000), _page(10_000, 10_000), _page(20_000, 5))

    with enforced(ms=60_000) as purse:
        listed = search_at(server).list_rows(DATA, SPANS, 30_000)

    assert len(listed.rows) == 20_005
    assert not listed.cut
    assert purse.ops == 3
    assert listed.rows[7].key == "k000007"
    assert listed.rows[7].fingerprint == 7
    pages = server.asked("/_search")
    assert [page.path for page in pages] == ["/_search"] * 3
    assert "search_after" not in pages[0].json()
    assert pages[1].json()["search_after"] == _hit(9_999)["sort"]
    assert pages[1].json()["pit"] == {"id": "pit-1", "keep_alive": "2m"}
    assert pages[1].json()["sort"] == [
        {"t": {"order": "asc", "format": "strict_date_optional_time_nanos",
               "unmapped_type": "date"}},
        {"k": {"order": "asc", "missing": "_first", "unmapped_type": "keyword"}},
    ]  # fmt: skip
    assert server.requests[-1].method == "DELETE"
    assert server.requests[-1].json() == {"id": "pit-1"}


def test_the_point_in_time_is_closed_when_a_page_fails_or_the_budget_ends(
    server: Scripted,
) -> None:
    server.on("POST", "/_pit", Reply({"id": "pit-1", "_shards": SHARDS}))
    server.on("DELETE", "/_pit", Reply({"succeeded": True, "num_freed": 2}))
    server.on("POST", "/_search", _page(0, 10_000), Reply(error_body("oops"), status=503))

    with pytest.raises(Unready):
        search_at(server).list_rows(DATA, SPANS, 30_000)
    assert server.requests[-1].method == "DELETE"

    again = Reply({"id": "pit-2", "_shards": SHARDS})
    server.answers.insert(0, lambda request: again if request.path.endswith("/_pit") else None)
    server.answers.insert(0, lambda r: _page(0, 10_000) if r.path.endswith("/_search") else None)
    with enforced(ops=2), pytest.raises(BudgetSpent):
        search_at(server).list_rows(DATA, SPANS, 90_000)
    assert server.requests[-1].method == "DELETE"
    assert len(server.asked("/_search")) == 4


def test_metadata_is_no_operation_and_every_question_is_one(server: Scripted) -> None:
    server.on("POST", "/_search", Reply({**COUNTED, "aggregations": {"buckets": {"buckets": []}},
                                         "hits": {"total": {"value": 0, "relation": "eq"},
                                                  "hits": []}}))  # fmt: skip
    server.on("POST", "/_count", Reply({"count": 3, "_shards": SHARDS}))
    search = search_at(server)

    with enforced(ms=60_000) as purse:
        search.fields(DATA)
        search.estimate(DATA, SPANS)
        search.count_duplicate_keys(DATA, SPANS[0])
        assert purse.ops == 0
        count_in(search)
        search.newest(DATA)
        search.count_without_time(DATA)
        search.list_rows(DATA, SPANS, 9_999)
        assert purse.ops == 4


def test_a_data_stream_is_read_by_its_name_and_written_by_create(server: Scripted) -> None:
    stream = "logs-mail-default"
    backing = f".ds-{stream}-2026.05.04-000001"
    server.on("POST", "/_search", Reply(COUNTED))
    server.on("GET", "/_mapping", Reply({backing: {"mappings": {}}}))
    server.on("PUT", "/_bulk", Reply({"errors": False, "items": [{"create": {"status": 201}}]}))
    server.on("POST", "/_delete_by_query", Reply({"deleted": 1, "failures": []}))
    search = search_at(server, sandbox=True)
    data = DATA.model_copy(update={"name": stream})

    assert search.count_buckets(data, "day", SPANS, "UTC") == [Bucket(DAY, 3, 7)]
    assert granted(search.append, stream, [{"t": DAY, "k": "a"}]) == 1
    assert granted(search.remove, data, ["a"]) == 1

    assert {request.path.split("/")[1] for request in server.requests} == {stream}
    (bulk,) = server.asked("/_bulk")
    action, document = bulk.body.decode().splitlines()
    assert re.fullmatch(r'\{"create":\{"_id":"[0-9a-f]{32}-0"\}\}', action)
    assert document == '{"t":"2026-05-04T00:00:00+00:00","k":"a"}'
    (removal,) = server.asked("/_delete_by_query")
    assert {"terms": {"k": ["a"]}} in removal.json()["query"]["bool"]["filter"]


def test_a_document_that_is_not_taken_is_refused(server: Scripted) -> None:
    items = [
        {"create": {"status": 201}},
        {"create": {"status": 400, "error": {"type": "document_parsing_exception",
                                             "reason": "failed to parse field [f]"}}},
    ]  # fmt: skip
    server.on("GET", "/_mapping", Reply({"mails-1": {"mappings": {}}}))
    server.on("PUT", "/_bulk", Reply({"errors": True, "items": items}))

    with pytest.raises(Refused, match=r"refused 1 of 2 documents.*field \[f\]"):
        granted(search_at(server, sandbox=True).append, "mails-1", [{"f": 1}, {"f": "x"}])


def test_documents_whose_answer_was_lost_are_sent_again_under_the_same_ids(
    server: Scripted,
) -> None:
    there = {"status": 409, "error": {"type": "version_conflict_engine_exception", "reason": "is"}}
    items = [{"create": there}, {"create": {"status": 201}}]
    server.on("GET", "/_mapping", Reply({"mails-1": {"mappings": {}}}))
    server.on("PUT", "/_bulk", Reply(status=503), Reply({"errors": True, "items": items}))
    search, documents = search_at(server, sandbox=True), [{"k": "a"}, {"k": "b"}]
    permit = permit_for(search.append, "mails-1", documents)

    with pytest.raises(Unready):
        search.append("mails-1", documents, permit=permit)
    assert permit.state == "unknown"
    assert search.append("mails-1", documents, permit=permit) == 2

    lost, again = server.asked("/_bulk")
    assert lost.body == again.body


def test_large_documents_travel_in_several_batches(server: Scripted) -> None:
    def taken(request: Request) -> Reply | None:
        if not request.path.endswith("/_bulk"):
            return None
        count = len(request.body.splitlines()) // 2
        return Reply({"errors": False, "items": [{"create": {"status": 201}}] * count})

    server.on("GET", "/_mapping", Reply({"mails-1": {"mappings": {}}}))
    server.answers.append(taken)

    with enforced(ms=60_000) as purse:
        count = granted(
            search_at(server, sandbox=True).append,
            "mails-1",
            ({"body": "x" * 3_000_000} for _ in range(5)),
        )

    assert count == 5
    assert purse.ops == 3
