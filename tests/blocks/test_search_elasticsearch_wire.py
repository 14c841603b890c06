"""The exact requests to Elasticsearch, and answers that no test server gives, from a script."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from roundsman.errors import Misread, Refused, RoundsmanError, Unready
from roundsman.rules.windows import Bucket
from tests.blocks.purses import enforced
from tests.blocks.wire import (
    CAPS,
    COUNTED,
    DATA,
    DAY,
    SPANS,
    START,
    STATS,
    count_in,
    error_body,
    search_at,
)
from tests.servers.scripted import Reply, Request, Scripted


def test_a_histogram_is_one_exact_request(server: Scripted) -> None:
    server.on("POST", "/_search", Reply(COUNTED))

    counted = count_in(search_at(server, api_key="c2VjcmV0"))

    assert counted == [Bucket(DAY, 3, 7)]
    (request,) = server.asked("/_search")
    assert request.path == "/mails-*/_search"
    assert request.headers["authorization"] == "ApiKey c2VjcmV0"
    assert request.query == {
        "allow_no_indices": "false",
        "ignore_unavailable": "false",
        "allow_partial_search_results": "false",
    }
    edges = [("2026-05-04", "2026-05-05"), ("2026-05-06", "2026-05-07")]
    assert request.json() == {
        "size": 0,
        "track_total_hits": True,
        "query": {
            "bool": {
                "filter": [
                    {"terms": {"folder": ["inbox", "junk"]}},
                    {"term": {"is_spam": False}},
                    {
                        "bool": {
                            "should": [
                                {
                                    "range": {
                                        "t": {
                                            "gte": f"{start}T00:00:00+00:00",
                                            "lt": f"{end}T00:00:00+00:00",
                                            "format": "strict_date_optional_time_nanos",
                                        }
                                    }
                                }
                                for start, end in edges
                            ],
                            "minimum_should_match": 1,
                        }
                    },
                ]
            }
        },
        "aggs": {
            "buckets": {
                "date_histogram": {
                    "field": "t",
                    "calendar_interval": "1d",
                    "time_zone": "UTC",
                    "min_doc_count": 1,
                },
                "aggs": {"fingerprints": {"stats": {"field": "f"}}},
            }
        },
    }


def test_the_fields_are_asked_for_first_and_a_wildcard_must_name_an_index(
    server: Scripted,
) -> None:
    server.on("POST", "/_search", Reply(COUNTED))

    count_in(search_at(server))

    caps = server.requests[0]
    assert caps.path == "/mails-*/_field_caps"
    assert caps.query["allow_no_indices"] == "false"
    assert caps.json() == {"fields": ["t", "k", "f", "folder", "is_spam", "k.keyword"]}


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (
            {
                "_shards": {
                    "total": 2,
                    "successful": 1,
                    "failed": 1,
                    "failures": [{"shard": 0, "reason": {"type": "oops", "reason": "disk"}}],
                }
            },
            r"1 of 2 shards \(oops: disk\)",
        ),
        ({"_shards": {"total": 2, "successful": 1, "failed": 0}}, "1 of 2 shards"),
        ({"timed_out": True}, "a partial answer after a time-out"),
        ({"terminated_early": True}, "ended early"),
        ({"hits": {"total": {"value": 10000, "relation": "gte"}}}, "capped at 10000"),
        ({"_clusters": {"total": 2, "successful": 1, "skipped": 1}}, "remote clusters"),
        ({"hits": {"total": {"value": 4, "relation": "eq"}}}, "3 rows in buckets but 4 hits"),
        ({"hits": {}}, "no total"),
        ({"aggregations": {}}, "no histogram"),
        ({"aggregations": {"buckets": {"buckets": [{"key": START}]}}}, "no count as 'doc_count'"),
        ({"_shards": None}, "no account of its shards"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_answer_that_is_not_the_whole_truth_is_misread_and_never_a_number(
    server: Scripted, broken: dict[str, Any], said: str
) -> None:
    server.on("POST", "/_search", Reply({**COUNTED, **broken}))

    with pytest.raises(Misread, match=said) as misread:
        count_in(search_at(server))

    assert "'mails-*'" in misread.value.said


@pytest.mark.parametrize(
    "ask",
    [
        lambda search: search.list_rows(DATA, SPANS, 10),
        lambda search: search.newest(DATA),
        lambda search: search.count_without_time(DATA),
    ],
    ids=["list_rows", "newest", "count_without_time"],
)
def test_every_question_refuses_failed_shards(server: Scripted, ask: Callable[..., object]) -> None:
    failed = {"total": 2, "successful": 1, "failed": 1}
    server.on("POST", "/_search", Reply({**COUNTED, "_shards": failed}))

    with pytest.raises(Misread, match="1 of 2 shards"):
        ask(search_at(server))


def test_an_estimate_refuses_failed_shards(server: Scripted) -> None:
    failed = {"total": 2, "successful": 1, "failed": 1}
    server.on("POST", "/_count", Reply({"count": 3, "_shards": failed}))

    with pytest.raises(Misread, match="1 of 2 shards"):
        search_at(server).estimate(DATA, SPANS)


@pytest.mark.parametrize(
    ("status", "body", "expected", "said"),
    [
        (
            429,
            error_body("es_rejected_execution_exception"),
            Unready,
            r"failed \(429\): es_rejected",
        ),
        (500, error_body("null_pointer_exception"), Unready, r"failed \(500\)"),
        (502, b"<html>bad gateway</html>", Unready, r"failed \(502\)"),
        (503, error_body("no_shard_available_action_exception"), Unready, r"failed \(503\)"),
        (504, error_body("search_phase_execution_exception"), Unready, r"failed \(504\)"),
        (401, error_body("security_exception"), Refused, "renew its API key"),
        (403, error_body("security_exception"), Refused, "grant read"),
        (404, error_body("index_not_found_exception"), Refused, "correct the name"),
        (404, b"<html>not here</html>", Refused, "correct 'url'"),
        (400, error_body("index_closed_exception"), Refused, "open the index"),
        (400, error_body("media_type_header_exception"), Refused, "upgrade the server"),
        (400, error_body("too_many_buckets_exception"), Refused, "shorter window"),
        (
            400,
            error_body("query_shard_exception"),
            Refused,
            r"refused \(400\): query_shard_exception",
        ),
    ],
    ids=str,
)
def test_an_error_means_what_to_do_and_is_not_repeated_by_the_client(
    server: Scripted, status: int, body: Any, expected: type[RoundsmanError], said: str
) -> None:
    kind = {"Content-Type": "text/html"} if isinstance(body, bytes) else {}
    server.on("POST", "/_search", Reply(body, status=status, headers=kind))

    with pytest.raises(expected, match=said) as raised:
        count_in(search_at(server))

    assert raised.value.status == status
    assert raised.value.said.startswith("search 'mails-*' ")
    assert raised.value.remedy
    assert len(server.asked("/_search")) == 1


def test_another_product_is_refused(scripted: Callable[..., Scripted]) -> None:
    server = scripted().on("POST", "/_field_caps", Reply(CAPS))

    with pytest.raises(Refused, match=r"is not Elasticsearch.*OpenSearch"):
        count_in(search_at(server))


def test_an_answer_that_is_no_json_is_misread(server: Scripted) -> None:
    server.on("POST", "/_search", Reply(b"{broken"))

    with pytest.raises(Misread, match="no JSON"):
        count_in(search_at(server))


def test_a_zone_that_the_server_sees_otherwise_is_misread(server: Scripted) -> None:
    server.on("POST", "/_search", Reply(COUNTED))

    with pytest.raises(Misread, match=r"'Asia/Kolkata' that begins at 2026-05-04T00:00"):
        count_in(search_at(server), zone="Asia/Kolkata")


def test_a_fingerprint_with_several_values_a_row_is_refused(server: Scripted) -> None:
    bucket = {"key": START, "doc_count": 3, "fingerprints": {**STATS, "count": 4}}
    server.on("POST", "/_search", Reply({**COUNTED, "aggregations": {"buckets": {"buckets": [bucket]}}}))  # fmt: skip # noqa: E501

    with pytest.raises(Refused, match="several values"):
        count_in(search_at(server))


def test_a_slow_server_is_unready_within_the_time_that_the_budget_leaves(
    server: Scripted,
) -> None:
    def slowly(request: Request) -> Reply | None:
        if request.path.endswith("/_search"):
            server.let_go.wait(timeout=30)
        return None

    server.answers.append(slowly)
    with enforced(ms=1_000) as purse:
        with pytest.raises(Unready, match="did not answer"):
            count_in(search_at(server))
        assert purse.meter.active_ms() < 1_000

    server.let_go.set()
