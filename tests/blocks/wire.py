"""What a scripted Elasticsearch knows and answers, for the tests of exact requests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from blocks.search import ElasticsearchSearch
from roundsman.rules.windows import Bucket, Dataset, Span
from tests.servers.scripted import Scripted

DAY = datetime(2026, 5, 4, tzinfo=UTC)
SPANS = [Span(DAY, DAY + timedelta(days=1)), Span(DAY + timedelta(days=2), DAY + timedelta(days=3))]
DATA = Dataset(
    name="mails-*",
    time_field="t",
    key_field="k",
    fingerprint_field="f",
    filter={"folder": ["inbox", "junk"], "is_spam": False},
)
PRODUCT = {"X-Elastic-Product": "Elasticsearch"}
TYPES = {"t": "date", "k": "keyword", "f": "long", "folder": "keyword", "is_spam": "boolean"}
CAPS = {
    "indices": ["mails-1"],
    "fields": {field: {kind: {"type": kind}} for field, kind in TYPES.items()},
}
SHARDS = {"total": 2, "successful": 2, "skipped": 0, "failed": 0}
START = int(DAY.timestamp() * 1000)
STATS = {"count": 3, "min": 1.0, "max": 4.0, "avg": 2.3, "sum": 7.0}
COUNTED = {
    "took": 3,
    "timed_out": False,
    "_shards": SHARDS,
    "hits": {"total": {"value": 3, "relation": "eq"}, "hits": []},
    "aggregations": {
        "buckets": {"buckets": [{"key": START, "doc_count": 3, "fingerprints": STATS}]}
    },
}


def search_at(server: Scripted, **options: Any) -> ElasticsearchSearch:
    """The block over the scripted server."""
    return ElasticsearchSearch.model_validate({"url": server.url, **options})


def count_in(search: ElasticsearchSearch, zone: str = "UTC") -> list[Bucket]:
    """The usual question."""
    return search.count_buckets(DATA, "day", SPANS, zone)


def error_body(kind: str, reason: str = "because") -> dict[str, Any]:
    """An error as Elasticsearch words it."""
    cause = {"type": kind, "reason": reason}
    return {"error": {"root_cause": [cause], **cause}}
