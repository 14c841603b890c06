"""Which request body asks Elasticsearch a question about a dataset."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from roundsman.rules.windows import Dataset, FieldType, Level, Span, merge_spans

Body = dict[str, Any]

# Reads and prints dates and nanosecond dates alike, whatever format the mapping has.
TIME_FORMAT = "strict_date_optional_time_nanos"
FIXED_INTERVALS: dict[Level, str] = {"hour": "1h", "minute": "1m"}
# The document's own id, which may serve as key.
ID = "_id"
BUCKETS = "buckets"
FINGERPRINTS = "fingerprints"

MAPPING_TYPES: dict[FieldType, Body] = {
    "timestamp": {"type": "date"},
    "keyword": {"type": "keyword"},
    "text": {"type": "text"},
    "integer": {"type": "long"},
    "number": {"type": "double"},
    "boolean": {"type": "boolean"},
    "other": {"type": "object", "enabled": False},
}
FIELD_TYPES: dict[str, FieldType] = {
    "date": "timestamp",
    "date_nanos": "timestamp",
    **dict.fromkeys(("keyword", "constant_keyword", "wildcard", "ip", "version", ID), "keyword"),
    **dict.fromkeys(("text", "match_only_text"), "text"),
    **dict.fromkeys(("long", "integer", "short", "byte", "unsigned_long"), "integer"),
    **dict.fromkeys(("double", "float", "half_float", "scaled_float"), "number"),
    "boolean": "boolean",
}


def within(data: Dataset, spans: Sequence[Span]) -> Body:
    """The query of the rows inside the spans that pass the filter."""
    ranges = [
        {"range": {data.time_field: {**_edge("gte", span.start), **_edge("lt", span.end)}}}
        for span in merge_spans(spans)
    ]
    any_span: Body = {"bool": {"should": ranges, "minimum_should_match": 1}}
    return _filtered(data, any_span if ranges else {"match_none": {}})


def with_time(data: Dataset, until: datetime | None) -> Body:
    """The query of the rows that have a time, or one before `until`."""
    if until is None:
        return _filtered(data, {"exists": {"field": data.time_field}})
    return _filtered(data, {"range": {data.time_field: _edge("lt", until)}})


def without_time(data: Dataset) -> Body:
    """The query of the rows that have no time."""
    return _filtered(data, {"bool": {"must_not": {"exists": {"field": data.time_field}}}})


def having_keys(data: Dataset, keys: Sequence[str]) -> Body:
    """The query of the rows that have one of the keys."""
    return _filtered(data, {"terms": {data.key_field: list(keys)}})


def holding_words(fields: Collection[str], text: str) -> Body:
    """The query of the documents that hold every word in one of the fields or another."""
    return {
        "multi_match": {
            "query": text,
            "type": "cross_fields",
            "operator": "and",
            "fields": sorted(fields),
        }
    }


def histogram(data: Dataset, level: Level, zone: str) -> Body:
    """The aggregation: days of the zone, or hours and minutes of UTC, with statistics of the
    fingerprint (its sum, and what tells whether the sum is exact)."""
    cut: Body = {"fixed_interval": FIXED_INTERVALS[level]} if level in FIXED_INTERVALS else {}
    cut = cut or {"calendar_interval": "1d", "time_zone": zone}
    body: Body = {"date_histogram": {"field": data.time_field, **cut, "min_doc_count": 1}}
    if data.fingerprint_field:
        body["aggs"] = {FINGERPRINTS: {"stats": {"field": data.fingerprint_field}}}
    return {BUCKETS: body}


def sort_by_time(data: Dataset, types: Mapping[str, Collection[str]], order: str) -> list[Body]:
    """The sort by time and key, in one unit even where indices mix the two kinds of dates.

    Elasticsearch refuses to sort by '_id': rows of one instant then come in any order.
    """
    time: Body = {"order": order, "format": TIME_FORMAT, "unmapped_type": "date"}
    if len(types[data.time_field]) > 1:
        time["numeric_type"] = "date_nanos"
    if data.key_field == ID:
        return [{data.time_field: time}]
    kind = next(iter(types[data.key_field]))
    key: Body = {"order": order, "missing": "_first", "unmapped_type": kind}
    return [{data.time_field: time}, {data.key_field: key}]


def mapping(fields: Mapping[str, FieldType]) -> Body:
    """The mapping of a new index; what it does not name is kept but not indexed."""
    return {
        "dynamic": False,
        "properties": {field: MAPPING_TYPES[kind] for field, kind in fields.items()},
    }


def _filtered(data: Dataset, query: Body) -> Body:
    terms = [
        {"terms": {field: wanted}} if isinstance(wanted, list) else {"term": {field: wanted}}
        for field, wanted in data.filter.items()
    ]
    return {"bool": {"filter": [*terms, query]}}


def _edge(side: str, moment: datetime) -> Body:
    return {side: moment.isoformat(), "format": TIME_FORMAT}
