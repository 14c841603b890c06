"""Which requests only read, and servers before which each request is written down."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from tests.blocks.wire import CAPS, COUNTED, PRODUCT
from tests.servers.scripted import Reply, Request, Scripted
from tests.servers.scripted_bigquery import Script

Reads = tuple[tuple[str, str], ...]

# Every request that is not on these lists is a write. A point in time is the reader's own.
ELASTICSEARCH_READS: Reads = (
    ("GET", r"/"),
    ("(GET|POST)", r"(/[^/]+)?/_field_caps"),
    ("POST", r"(/[^/]+)?/_search"),
    ("POST", r"/[^/]+/_count"),
    ("GET", r"/[^/]+/_mapping"),
    ("POST", r"/_security/user/_has_privileges"),
    ("POST", r"/[^/]+/_pit"),
    ("DELETE", r"/_pit"),
)
BIGQUERY_READS: Reads = (
    ("GET", r"/bigquery/v2/projects/.*"),
    ("POST", r"/bigquery/v2/projects/[^/]+/jobs/[^/]+/cancel"),
    ("POST", r"/bigquery/v2/projects/.*:testIamPermissions"),
)
# A job reads when it is a query, and its text one that selects.
BIGQUERY_JOBS = "/bigquery/v2/projects/[^/]+/jobs"
SELECTS = re.compile(r"\s*(SELECT|WITH)\b(?!.*\b(INSERT|DELETE|UPDATE|MERGE|CREATE|DROP)\b)", re.S)
FORWARD_SECONDS = 60
# What belongs to one connection, or is made anew for the next.
HOP_HEADERS = {"host", "connection", "transfer-encoding", "content-length", "accept-encoding"}


def is_read(request: Request, reads: Reads) -> bool:
    """Whether a request is on the list of those that change nothing."""
    return any(
        re.fullmatch(method, request.method) and re.fullmatch(path, request.path)
        for method, path in reads
    )


def elasticsearch_writes(server: Scripted) -> list[Request]:
    """What was sent that is no read."""
    return [one for one in list(server.requests) if not is_read(one, ELASTICSEARCH_READS)]


def bigquery_writes(server: Scripted) -> list[Request]:
    """What was sent that is neither a read nor a job that selects."""
    return [
        one
        for one in list(server.requests)
        if not is_read(one, BIGQUERY_READS) and not _is_select(one)
    ]


def _is_select(request: Request) -> bool:
    if request.method != "POST" or not re.fullmatch(BIGQUERY_JOBS, request.path):
        return False
    query = request.json()["configuration"].get("query")
    return query is not None and SELECTS.match(query["query"]) is not None


def recorded(url: str) -> Callable[[Request], Reply]:
    """Answers as the server at this address gives them; Scripted writes the requests down."""

    def forward(request: Request) -> Reply:
        query = "&".join(f"{name}={value}" for name, value in request.query.items())
        sent = urllib.request.Request(
            f"{url}{request.path}{'?' if query else ''}{query}",
            data=request.body or None,
            method=request.method,
            headers={n: v for n, v in request.headers.items() if n not in HOP_HEADERS},
        )
        try:
            answer = urllib.request.urlopen(sent, timeout=FORWARD_SECONDS)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            told = answer.headers.items()
            kept = {n.title(): v for n, v in told if n.lower() not in HOP_HEADERS}
            if "Location" in kept:
                # Where an upload goes on is listened to as well.
                here = f"http://{request.headers['host']}"
                kept["Location"] = kept["Location"].replace(url, here)
            return Reply(answer.read(), answer.status, kept)

    return forward


HIT = {"_id": "1", "sort": ["2026-05-04T00:00:00Z", "k1"], "fields": {"f": [3]}, "_source": {}}
LISTED = {**COUNTED, "hits": {"hits": [HIT]}}


def _searched(request: Request) -> Reply | None:
    if not request.path.endswith("/_search"):
        return None
    counts = "aggregations" in request.json() or "aggs" in request.json()
    return Reply(COUNTED if counts or request.json().get("size") == 0 else LISTED)


def _taken(request: Request) -> Reply | None:
    if not request.path.endswith("/_bulk"):
        return None
    created = {"create": {"status": 201}}
    return Reply({"errors": False, "items": [created] * (len(request.body.splitlines()) // 2)})


def scripted_elasticsearch(start: Callable[..., Scripted]) -> Scripted:
    """A scripted Elasticsearch that takes everything."""
    server = start(_searched, _taken, headers=PRODUCT)
    done: dict[str, Any] = {"acknowledged": True, "shards_acknowledged": True}
    answers: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("POST", "/_field_caps", CAPS),
        ("GET", "/_field_caps", CAPS),
        ("POST", "/_count", {"count": 3, "_shards": COUNTED["_shards"]}),
        ("POST", "/_pit", {"id": "p", "_shards": COUNTED["_shards"]}),
        ("DELETE", "/_pit", {"succeeded": True, "num_freed": 1}),
        ("GET", "/_mapping", {"mails-1": {"mappings": {}}}),
        ("POST", "/_has_privileges", {"cluster": {}, "index": {"*": {"index": False}}}),
        ("POST", "/_delete_by_query", {"deleted": 1, "failures": []}),
        ("DELETE", "", done),
        ("PUT", "", done),
        ("GET", "/", {"version": {"number": "9.0.0"}}),
    )
    for method, ending, body in answers:
        server.on(method, ending, Reply(body))
    return server


def scripted_bigquery(start: Callable[..., Scripted]) -> Scripted:
    """A scripted BigQuery that takes load jobs and deletions too."""
    script, places = Script(), list[str]()

    def taken(request: Request) -> Reply | None:
        if request.method == "POST" and request.path.endswith("/datasets"):
            return Reply(request.json())
        if request.path.endswith("/datasets"):
            return Reply({"datasets": []})
        if not request.path.startswith("/upload/"):
            return None
        if request.method == "POST":
            job = request.json()
            script.jobs[job["jobReference"]["jobId"]] = job
            places.append(job["jobReference"]["jobId"])
            there = f"{server.url}{request.path}?upload_id={places[-1]}"
            return Reply({}, headers={"Location": there})
        return Reply(script.jobs[request.query["upload_id"]] | {"status": {"state": "DONE"}})

    server = start(taken, script.answer)
    return server
