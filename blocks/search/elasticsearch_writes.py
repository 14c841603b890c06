"""How documents travel to Elasticsearch in batches, and whether all of them arrived."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from blocks.search.contract import document_json
from blocks.search.elasticsearch_answers import count_of
from roundsman.errors import Misread, Refused

BATCH_ROWS_MAX = 2_000
BATCH_BYTES_MAX = 8_000_000
# A tenth of Elasticsearch's own default for `index.max_terms_count`.
KEYS_MAX = 6_000
# `create` is also right for data streams, which take no other kind of write.
CREATE = '{{"create":{{"_id":"{key}-{number}"}}}}'
# What the server says of a document that is there already.
CONFLICT = 409


def bulk_lines(rows: Iterable[dict[str, Any]], key: str) -> Iterator[list[Any]]:
    """The lines of one bulk request after another, each bounded in rows and bytes.

    A document's id is `key`, the permit's, and its number: sent again it is not there twice. The
    lines are text already; the client is typed for mappings, but passes text on as it is.
    """
    lines: list[Any] = []
    size = 0
    for number, row in enumerate(rows):
        text = document_json(row)
        length = len(text.encode())
        if lines and (len(lines) >= 2 * BATCH_ROWS_MAX or size + length > BATCH_BYTES_MAX):
            yield lines
            lines, size = [], 0
        lines += [CREATE.format(key=key, number=number), text]
        size += length
    if lines:
        yield lines


def check_written(answer: Mapping[str, Any], name: str, sent: int) -> int:
    """How many documents are there by a bulk request; Refused when one of them was not taken.

    One that an earlier try of the same request has left counts.
    Misread where the answer does not tell of each document that was sent.
    """
    items = answer.get("items")
    found = cast("list[dict[str, Any]]", items if isinstance(items, list) else [])
    told = [item["create"] for item in found]
    if len(told) != sent or not all(isinstance(one, dict) for one in told):
        raise Misread(
            f"search '{name}' told of {len(told)} of {sent} documents in a bulk request",
            "look which of them are there before sending them again",
        )
    errors: list[dict[str, Any]] = [
        one["error"] for one in told if "error" in one and one.get("status") != CONFLICT
    ]
    if errors:
        raise Refused(
            f"search '{name}' refused {len(errors)} of {len(told)} documents: "
            f"{errors[0].get('type')}: {errors[0].get('reason')}",
            "correct the value, or map the field with another type",
        )
    return len(told)


def check_deleted(answer: Mapping[str, Any], name: str) -> int:
    """How many documents a delete by query removed; Misread when it left some of them."""
    if answer.get("failures") or answer.get("timed_out"):
        raise Misread(
            f"search '{name}' removed only {answer.get('deleted')} of {answer.get('total')} rows",
            "remove the rest again",
        )
    return count_of(answer, "deleted", name)


def key_chunks(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """The keys in batches that one query may name."""
    for first in range(0, len(keys), KEYS_MAX):
        yield keys[first : first + KEYS_MAX]
