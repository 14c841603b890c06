"""What an answer of Elasticsearch says, and whether it may be believed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from blocks.dataset import EXACT_SUM_BELOW, exact_sum
from blocks.search.elasticsearch_bodies import BUCKETS, FIELD_TYPES, FINGERPRINTS, ID
from roundsman.errors import Misread, Refused
from roundsman.rules.windows import Bucket, Dataset, FieldType, Level, Row, Span, day_spans

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Answer = Mapping[str, Any]


def believe(answer: Any, name: str) -> Answer:
    """The same answer, if it covers every shard, in time, and counts without a cap."""
    if not isinstance(answer, Mapping):
        raise _misread(name, "something that is no JSON object")
    shards = _mapping(answer, "_shards")
    if not shards:
        raise _misread(name, "no account of its shards")
    if shards.get("failed") or shards.get("successful") != shards.get("total"):
        reasons = "; ".join(_reasons(shards)) or "no reason given"
        raise _misread(
            name, f"an answer from {shards.get('successful')} of {shards.get('total')} shards "
            f"({reasons})", "wait until the index is green, or leave the broken index out"
        )  # fmt: skip
    if answer.get("timed_out"):
        raise _misread(name, "a partial answer after a time-out", "ask for a shorter window")
    if answer.get("terminated_early"):
        raise _misread(name, "an answer that ended early", "remove 'terminate_after' limits")
    clusters = _mapping(answer, "_clusters")
    if clusters and clusters.get("successful") != clusters.get("total"):
        raise _misread(name, "an answer without some remote clusters", "reconnect them")
    total = _mapping(_mapping(answer, "hits"), "total")
    if total and total.get("relation") != "eq":
        raise _misread(name, f"a total capped at {total.get('value')}", "ask for exact totals")
    return cast("Answer", answer)


def _misread(name: str, what: str, remedy: str = "look at the server's own logs") -> Misread:
    return Misread(f"search '{name}' answered with {what}", remedy)


def _mapping(answer: Any, key: str) -> dict[str, Any]:
    found = cast("Answer", answer).get(key) if isinstance(answer, Mapping) else None
    return dict(cast("Answer", found)) if isinstance(found, Mapping) else {}


def _reasons(shards: Answer) -> list[str]:
    failures: list[Any] = shards.get("failures") or []
    reasons = [_mapping(failure, "reason") for failure in failures]
    return sorted({f"{r.get('type')}: {r.get('reason')}" for r in reasons})


def total_of(answer: Answer, name: str) -> int:
    """The exact number of hits."""
    value = _mapping(_mapping(answer, "hits"), "total").get("value")
    if not isinstance(value, int):
        raise _misread(name, "no total")
    return value


def hits_of(answer: Answer, name: str) -> list[dict[str, Any]]:
    """The hits of a page."""
    hits = _mapping(answer, "hits").get("hits")
    if not isinstance(hits, list):
        raise _misread(name, "no list of hits")
    return cast("list[dict[str, Any]]", hits)


def buckets_of(answer: Answer, data: Dataset) -> list[Bucket]:
    """The histogram's buckets; together they must hold every hit exactly once."""
    histogram = _mapping(_mapping(answer, "aggregations"), BUCKETS)
    found = histogram.get("buckets")
    if not isinstance(found, list):
        raise _misread(data.name, "no histogram")
    try:
        buckets = [_bucket(bucket, data) for bucket in cast("list[Answer]", found)]
    except (KeyError, TypeError) as error:
        raise _misread(data.name, "a bucket of another shape") from error
    counted, total = sum(bucket.count for bucket in buckets), total_of(answer, data.name)
    if counted != total:
        raise _misread(
            data.name,
            f"{counted} rows in buckets but {total} hits",
            f"name a time field that holds one value a row, other than '{data.time_field}'",
        )
    return buckets


def _bucket(bucket: Mapping[str, Any], data: Dataset) -> Bucket:
    start = EPOCH + timedelta(milliseconds=int(bucket["key"]))
    count = int(bucket["doc_count"])
    if data.fingerprint_field is None:
        return Bucket(start, count)
    stats: Mapping[str, Any] = bucket[FINGERPRINTS]
    if stats["count"] > count:
        raise Refused(
            f"field '{data.fingerprint_field}' of search '{data.name}' holds several values a row",
            "name a field that holds one integer a row",
        )
    return Bucket(start, count, _exact(stats, data.fingerprint_field, start))


def _exact(stats: Mapping[str, Any], field: str, at: datetime) -> int:
    """The sum; where signs are mixed it is exact only if no partial sum could grow too large."""
    low, high = stats["min"] or 0, stats["max"] or 0
    if low < 0 < high and stats["count"] * max(-low, high) >= EXACT_SUM_BELOW:
        return exact_sum(EXACT_SUM_BELOW, field, at)
    return exact_sum(stats["sum"], field, at)


def check_days(
    buckets: list[Bucket], spans: list[Span], level: Level, zone: str, name: str
) -> None:
    """Misread when the server's calendar of the zone is another than ours."""
    if level != "day":
        return
    ours = {day.start for span in spans for day in day_spans(span, zone)}
    theirs = [bucket.start for bucket in buckets if bucket.start not in ours]
    if theirs:
        raise _misread(
            name,
            f"a day of '{zone}' that begins at {theirs[0].isoformat()}, which it does not here",
            "bring the time-zone data of the server or of this machine up to date",
        )


def row_of(hit: Mapping[str, Any], data: Dataset) -> Row:
    """A row from the sort values of a hit, and the fingerprint from its doc values."""
    try:
        at = hit["sort"][0]
        key = hit[ID] if data.key_field == ID else hit["sort"][1]
        time = datetime.fromisoformat(at)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise _misread(data.name, "a hit without its sort values") from error
    values = _mapping(hit, "fields").get(data.fingerprint_field or "") or [None]
    return Row("" if key is None else str(key), time.astimezone(UTC), values[0])


def types_of(answer: Answer, name: str) -> dict[str, list[str]]:
    """Elasticsearch's own types of each field (several where indices disagree)."""
    found = answer.get("fields")
    if not isinstance(found, Mapping):
        raise _misread(name, "no field capabilities")
    return {field: sorted(_mapping(found, field)) for field in cast("dict[str, Any]", found)}


def field_types(types: Mapping[str, list[str]]) -> dict[str, FieldType]:
    """Our types of the fields; 'other' where indices disagree, objects left out."""
    return {
        field: _field_type(kinds)
        for field, kinds in types.items()
        if not {"object", "nested"} & set(kinds)
    }


def _field_type(kinds: list[str]) -> FieldType:
    ours: set[FieldType] = {FIELD_TYPES.get(kind, "other") for kind in kinds}
    return ours.pop() if len(ours) == 1 else "other"
