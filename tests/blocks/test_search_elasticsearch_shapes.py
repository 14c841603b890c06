"""An answer of Elasticsearch in another shape is misread: never a crash, never a number."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from blocks.search import ElasticsearchSearch, elasticsearch_answers
from roundsman.errors import Misread
from roundsman.rules.windows import Row
from tests.blocks.wire import (
    CAPS,
    COUNTED,
    DATA,
    DAY,
    PRODUCT,
    SHARDS,
    SPANS,
    count_in,
    search_at,
)
from tests.permits import granted
from tests.servers.scripted import Reply, Request, Scripted

Start = Callable[..., Scripted]
Ask = Callable[[ElasticsearchSearch], object]

HIT = {"_id": "1", "sort": ["2026-05-04T00:00:00Z", "k1"], "fields": {"f": [3]}}
LISTED = {"_shards": SHARDS, "timed_out": False, "hits": {"hits": [HIT]}}
FOUND = {"_shards": SHARDS, "timed_out": False, "hits": {"hits": [{"_source": {"k": "a"}}]}}
PRIVILEGES = {"cluster": {"manage": False}, "index": {"*": {"index": False}}}

WHOLE: dict[str, Any] = {
    "/_field_caps": CAPS,
    "/_search": LISTED,
    "/_count": {"count": 3, "_shards": SHARDS},
    "/_pit": {"id": "p"},
    "/": {"version": {"number": "9.0.0"}},
    "/_has_privileges": PRIVILEGES,
    "/_mapping": {"mails-1": {}},
    "/_bulk": {"errors": False, "items": [{"create": {"status": 201}}]},
    "/_delete_by_query": {"deleted": 1, "failures": []},
}

QUESTIONS: dict[str, tuple[str, dict[str, Any], Ask]] = {
    "count_buckets": ("/_search", COUNTED, count_in),
    "list_rows": ("/_search", LISTED, lambda it: it.list_rows(DATA, SPANS, 10)),
    "list_pages": ("/_search", LISTED, lambda it: it.list_rows(DATA, SPANS, 20_000)),
    "newest": ("/_search", LISTED, lambda it: it.newest(DATA)),
    "count_without_time": ("/_search", COUNTED, lambda it: it.count_without_time(DATA)),
    "find": ("/_search", FOUND, lambda it: it.find("mails-*", "word", 10)),
    "fields": ("/_field_caps", CAPS, lambda it: it.fields(DATA)),
    "estimate": ("/_count", WHOLE["/_count"], lambda it: it.estimate(DATA, SPANS)),
    "point_in_time": ("/_pit", WHOLE["/_pit"], lambda it: it.list_rows(DATA, SPANS, 20_000)),
    "version": ("/", WHOLE["/"], lambda it: it.probe()),
    "privileges": ("/_has_privileges", PRIVILEGES, lambda it: it.probe()),
    "indices": ("/_field_caps", CAPS, lambda it: it.probe()),
    "append": ("/_bulk", WHOLE["/_bulk"], lambda it: granted(it.append, "mails-1", [{"k": "a"}])),
    "remove": (
        "/_delete_by_query",
        WHOLE["/_delete_by_query"],
        lambda it: granted(it.remove, DATA, ["a"]),
    ),
}

NO_OBJECTS: dict[str, tuple[bytes, str]] = {
    "page": (b"<html>maintenance</html>", "text/html"),
    "nothing": (b"", "application/json"),
    "null": (b"null", "application/json"),
    "list": (b"[]", "application/json"),
    "number": (b"7", "application/json"),
    "text": (b'"x"', "application/json"),
    "empty": (b"{}", "application/json"),
    "abyss": (b'{"a":' + b"[" * 100_000, "application/json"),
    "no_text": (b'{"a": "\xff"}', "application/json"),
}


def answering(start: Start, path: str, reply: Reply) -> ElasticsearchSearch:
    """A server that answers all as it should, but one path so."""

    def answer(request: Request) -> Reply | None:
        if request.path == path or (path != "/" and request.path.endswith(path)):
            return reply
        return next(
            (
                Reply(body)
                for known, body in WHOLE.items()
                if request.path == known or (known != "/" and request.path.endswith(known))
            ),
            None,
        )

    return search_at(start(answer, headers=PRODUCT), sandbox=True)


def changed(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of the body with another value at 'a.0.b'; `...` takes it away."""
    whole: Any = copy.deepcopy(body)
    *way, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    holder = whole
    for part in way:
        holder = holder[part]
    if value is ...:
        del holder[last]
    else:
        holder[last] = value
    return whole


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_question_believes_a_whole_answer(scripted: Start, name: str) -> None:
    path, body, ask = QUESTIONS[name]
    ask(answering(scripted, path, Reply(body)))


@pytest.mark.parametrize("shape", NO_OBJECTS)
@pytest.mark.parametrize("name", QUESTIONS)
def test_what_is_no_answer_at_all_is_misread_and_named(
    scripted: Start, name: str, shape: str
) -> None:
    path, _, ask = QUESTIONS[name]
    raw, kind = NO_OBJECTS[shape]
    search = answering(scripted, path, Reply(raw, headers={"Content-Type": kind}))

    with pytest.raises(Misread, match=r"^search '.+' ") as misread:
        ask(search)

    assert misread.value.remedy


BUCKET = "aggregations/buckets/buckets/0"
WRONG: list[tuple[str, str, list[Any]]] = [
    ("count_buckets", f"{BUCKET}/key", ["x", None, 1e400, 1e30, True, "3", [1], ...]),
    ("count_buckets", f"{BUCKET}/doc_count", ["3", None, 1e400, True, -3, 3.5, ...]),
    ("count_buckets", BUCKET, [None, "x", 3, []]),
    ("count_buckets", f"{BUCKET}/fingerprints", [None, [], "x", ...]),
    ("count_buckets", f"{BUCKET}/fingerprints/count", [True, -1, "3", None, ...]),
    ("count_buckets", f"{BUCKET}/fingerprints/sum", [True, None, "7", 6.5, 1e400, ...]),
    ("count_buckets", f"{BUCKET}/fingerprints/min", [None, "x", True, ...]),
    ("count_buckets", f"{BUCKET}/fingerprints/max", [None, "x", True, ...]),
    ("count_buckets", "hits/total/value", ["3", True, None, -1, ...]),
    ("count_buckets", "_shards", [{"a": 1}, [], "x"]),
    ("count_buckets", "_shards/failed", [None, [], "0", False]),
    ("count_buckets", "_shards/total", [None, "2", ...]),
    ("count_buckets", "timed_out", [None, [], "false"]),
    ("list_rows", "hits/hits/0", [None, "x", 3, []]),
    ("list_rows", "hits/hits/0/sort", [None, "2026", {"0": 1}, [], ...]),
    (
        "list_rows",
        "hits/hits/0/sort/0",
        [None, 3, "soon", "2026-05-04T00:00:00", "0001-01-01T00:00:00+14:00"],
    ),  # fmt: skip # noqa: E501
    ("list_rows", "hits/hits/0/sort/1", [{"a": 1}, [1]]),
    ("list_rows", "hits/hits/0/fields", ["x", [], 3]),
    ("list_rows", "hits/hits/0/fields/f", ["3", -1, 1e30, {"a": 1}, None]),
    ("list_rows", "hits/hits/0/fields/f/0", ["3", None, 3.5, True, [3]]),
    ("newest", "hits/hits/0/sort/0", [None, 3, "soon", "2026-05-04T00:00:00"]),
    ("find", "hits/hits/0/_source", [None, "", [], ...]),
    ("fields", "fields/t", [None, "date", [], {}]),
    ("fields", "fields", [None, [], "x", ...]),
    ("estimate", "count", [None, "3", True, -1, 1e400, [], ...]),
    ("point_in_time", "id", [None, "", 3, ["p"], ...]),
    ("version", "version", [None, "9", [], ...]),
    ("version", "version/number", [None, 9, ...]),
    ("privileges", "index", [None, [], "x", ...]),
    ("privileges", "index/*", [None, "x", []]),
    ("privileges", "index/*/index", [None, "false", 0]),
    ("privileges", "cluster", [None, [], "x", ...]),
    ("privileges", "cluster/manage", [None, "false", 0]),
    ("indices", "indices", [None, "mails-1", [3], ...]),
    ("append", "items", [None, {}, [], [None], [{"create": "x"}], [{}], ...]),
    ("remove", "deleted", [None, "1", True, ...]),
]


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        pytest.param(name, place, value, id=f"{name}-{place}-{value!r:.20}")
        for name, place, values in WRONG
        for value in values
    ],
)
def test_a_value_of_another_type_is_misread_and_never_a_number(
    scripted: Start, name: str, place: str, value: Any
) -> None:
    path, body, ask = QUESTIONS[name]
    search = answering(scripted, path, Reply(changed(body, place, value)))

    with pytest.raises(Misread, match=r"^search '.+' "):
        ask(search)


def test_a_row_without_key_and_fingerprint_is_still_a_row(scripted: Start) -> None:
    bare = {"_id": "1", "sort": ["2026-05-04T00:00:00Z", None]}
    body = changed(LISTED, "hits/hits/0", bare)
    listed = answering(scripted, "/_search", Reply(body)).list_rows(DATA, SPANS, 10)
    assert listed.rows == [Row("", DAY, None)]


@pytest.mark.parametrize(
    ("name", "limit"),
    [("list_rows", 11), ("list_pages", 10_000), ("newest", 1), ("find", 10)],
)
def test_more_rows_than_were_asked_for_are_misread(scripted: Start, name: str, limit: int) -> None:
    path, body, ask = QUESTIONS[name]
    (hit,) = body["hits"]["hits"]
    search = answering(scripted, path, Reply(changed(body, "hits/hits", [hit] * (limit + 1))))

    with pytest.raises(Misread, match=f"{limit + 1} rows where {limit} were asked for"):
        ask(search)


def test_more_buckets_or_fields_than_can_be_held_are_misread(
    scripted: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elasticsearch_answers, "BUCKETS_MAX", 0)
    with pytest.raises(Misread, match="1 buckets, more than 0"):
        count_in(answering(scripted, "/_search", Reply(COUNTED)))
    monkeypatch.setattr(elasticsearch_answers, "FIELDS_MAX", 4)
    with pytest.raises(Misread, match="5 fields, more than 4"):
        count_in(answering(scripted, "/_search", Reply(COUNTED)))
