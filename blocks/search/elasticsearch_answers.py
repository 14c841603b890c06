"""What an answer of Elasticsearch says, and whether it may be believed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from blocks.dataset import EXACT_SUM_BELOW, exact_sum
from blocks.search.elasticsearch_bodies import BUCKETS, FIELD_TYPES, FINGERPRINTS, ID
from roundsman.errors import Misread, Refused
from roundsman.rules.windows import Bucket, Dataset, FieldType, Level, Row, Span, day_spans

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The minutes of more than four months; a server's own limit is 65,536 unless it was raised.
BUCKETS_MAX = 200_000
# A hundred times what one index may map unless its limit was raised; patterns name many.
FIELDS_MAX = 100_000
Answer = Mapping[str, Any]


def believe(answer: Any, name: str) -> Answer:
    """The same answer, if it covers every shard, in time, and counts without a cap."""
    if not isinstance(answer, Mapping):
        raise _misread(name, "something that is no JSON object")
    shards = _mapping(answer, "_shards")
    if not all(is_count(shards.get(part)) for part in ("total", "successful", "failed")):
        raise _misread(name, "no account of its shards")
    if shards["failed"] or shards.get("successful") != shards.get("total"):
        reasons = "; ".join(_reasons(shards)) or "no reason given"
        raise _misread(
            name, f"an answer from {shards.get('successful')} of {shards.get('total')} shards "
            f"({reasons})", "wait until the index is green, or leave the broken index out"
        )  # fmt: skip
    if answer.get("timed_out", False) is not False:
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


def is_count(value: Any) -> bool:
    """Whether a value is a whole number that is not negative; JSON's true and 3.0 are none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def count_of(answer: Any, key: str, name: str) -> int:
    """A count that an answer holds; Misread where it is anything else."""
    value = cast("Answer", answer).get(key) if isinstance(answer, Mapping) else None
    if not is_count(value):
        raise _misread(name, f"no count as '{key}'")
    return cast("int", value)


def text_of(answer: Any, key: str, name: str) -> str:
    """A text that an answer holds and that is not empty; Misread where it is anything else."""
    value = cast("Answer", answer).get(key) if isinstance(answer, Mapping) else None
    if not isinstance(value, str) or not value:
        raise _misread(name, f"no text as '{key}'")
    return value


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
    if not is_count(value):
        raise _misread(name, "no total")
    return cast("int", value)


def hits_of(answer: Answer, name: str, size: int) -> list[dict[str, Any]]:
    """The hits of a page; Misread where there are more than the size that was asked for."""
    found = _mapping(answer, "hits").get("hits")
    if not isinstance(found, list):
        raise _misread(name, "no list of hits")
    hits = cast("list[Any]", found)
    if len(hits) > size:
        raise _misread(name, f"{len(hits)} rows where {size} were asked for")
    if not all(isinstance(hit, dict) for hit in hits):
        raise _misread(name, "a hit of another shape")
    return hits


def source_of(hit: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The document of a hit."""
    if not isinstance(hit.get("_source"), dict):
        raise _misread(name, "a hit without its document")
    return dict(hit["_source"])


def buckets_of(answer: Answer, data: Dataset) -> list[Bucket]:
    """The histogram's buckets; together they must hold every hit exactly once."""
    histogram = _mapping(_mapping(answer, "aggregations"), BUCKETS)
    found = histogram.get("buckets")
    if not isinstance(found, list):
        raise _misread(data.name, "no histogram")
    told = cast("list[Answer]", found)
    if len(told) > BUCKETS_MAX:
        remedy = "ask for a shorter window or larger buckets"
        raise _misread(data.name, f"{len(told)} buckets, more than {BUCKETS_MAX}", remedy)
    try:
        buckets = [_bucket(bucket, data) for bucket in told]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
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
    key = bucket["key"]
    if not isinstance(key, int) or isinstance(key, bool):
        raise _misread(data.name, "a bucket whose key is no time")
    start = EPOCH + timedelta(milliseconds=key)
    count = count_of(bucket, "doc_count", data.name)
    if data.fingerprint_field is None:
        return Bucket(start, count)
    stats: Mapping[str, Any] = bucket[FINGERPRINTS]
    if count_of(stats, "count", data.name) > count:
        raise Refused(
            f"field '{data.fingerprint_field}' of search '{data.name}' holds several values a row",
            "name a field that holds one integer a row",
        )
    parts = ("sum", "min", "max") if stats["count"] else ("sum",)
    if not all(_is_whole(stats[part]) for part in parts):
        raise _misread(data.name, f"no whole numbers as statistics of '{data.fingerprint_field}'")
    return Bucket(start, count, _exact(stats, data.fingerprint_field, start))


def _is_whole(value: Any) -> bool:
    """Whether a value is an integer, perhaps written with a point."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value == int(value)


def _exact(stats: Mapping[str, Any], field: str, at: datetime) -> int:
    """The sum; where signs are mixed it is exact only if no partial sum could grow too large."""
    low, high = (stats["min"], stats["max"]) if stats["count"] else (0, 0)
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
        in_utc = time.astimezone(UTC)
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        raise _misread(data.name, "a hit without its sort values") from error
    if time.tzinfo is None:
        raise _misread(data.name, f"a time without a zone, {at}")
    if not isinstance(key, str | int | None):
        raise _misread(data.name, f"a key that is no single value in '{data.key_field}'")
    return Row("" if key is None else str(key), in_utc, _fingerprint(hit, data))


def _fingerprint(hit: Mapping[str, Any], data: Dataset) -> int | None:
    """The integer among the doc values of a hit; None where the row has none."""
    fields = hit.get("fields", {})
    values = fields.get(data.fingerprint_field, []) if isinstance(fields, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] # a vendor's unknown
    if not isinstance(values, list):
        raise _misread(data.name, "a hit whose fields have another shape")
    if not values:
        return None
    value = cast("list[Any]", values)[0]
    if not isinstance(value, int) or isinstance(value, bool):
        raise _misread(data.name, f"no integer in '{data.fingerprint_field}'")
    return value


def types_of(answer: Any, name: str) -> dict[str, list[str]]:
    """Elasticsearch's own types of each field (several where indices disagree)."""
    told = cast("Answer", answer).get("fields") if isinstance(answer, Mapping) else None
    if not isinstance(told, Mapping):
        raise _misread(name, "no field capabilities")
    found = cast("Answer", told)
    if len(found) > FIELDS_MAX:
        raise _misread(name, f"{len(found)} fields, more than {FIELDS_MAX}", "name fewer indices")
    types = {field: sorted(_mapping(found, field)) for field in found}
    if not all(types.values()):
        raise _misread(name, "a field without a type")
    return types


def indices_of(answer: Any, name: str) -> list[str]:
    """The names of the indices that an answer is about."""
    told = cast("Answer", answer).get("indices") if isinstance(answer, Mapping) else None
    names = cast("list[Any]", told) if isinstance(told, list) else None
    if names is None or not all(isinstance(one, str) for one in names):
        raise _misread(name, "no list of indices")
    return names


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
