"""Which category an error has by itself, and what only looks like one."""

from __future__ import annotations

from typing import Any

import pytest

from roundsman.rules.rca.records import ToolCall
from roundsman.rules.rca.signs import category_of_call, category_of_error, is_empty
from tests.rules.rca.runs import call


def failed(**more: Any) -> ToolCall:
    return ToolCall.model_validate(call(1, status="failure", result_summary=None, **more))


@pytest.mark.covers("B-035", "B-036", "B-037", "B-038", "B-094")
@pytest.mark.parametrize(
    ("code", "text", "category"),
    [
        (429, "", "rate_limited"),
        (403, "Forbidden: quota exceeded for reads per minute", "rate_limited"),
        (None, "RateLimited: too many requests, slow down", "rate_limited"),
        (401, "", "tool_permission"),
        (403, "", "tool_permission"),
        (400, "invalid_grant: the account was closed", "tool_permission"),
        (None, "permission denied for relation payments", "tool_permission"),
        (504, "", "timeout"),
        (None, "ReadTimeoutError", "timeout"),
        (408, "", "timeout"),
        (None, "the query was cancelled after its timeout of 20 s", "timeout"),
        (400, "bad request", "tool_schema_mismatch"),
        (422, "", "tool_schema_mismatch"),
        (None, "search() got an unexpected keyword argument 'limit'", "tool_schema_mismatch"),
        (None, "1 validation error for Booking", "tool_schema_mismatch"),
        (400, "refused by the content policy of the provider", "unknown"),
        (400, "invalid model 'large-9'", "unknown"),
        (500, "internal error", "unknown"),
        (None, "the order was already returned", "unknown"),
    ],
)
def test_a_code_or_the_words_of_an_error_name_its_category(
    code: int | None, text: str, category: str
) -> None:
    assert category_of_call(failed(status_code=code, error_message=text)) == category


@pytest.mark.parametrize(
    "result",
    [
        "ticket 429-403 was opened",
        "10,300,000 results",
        "the meeting about timeouts is at 4:29",
        "Forbidden Planet (1956) is available",
        "HTTP 429 Too Many Requests is explained on page 12",
    ],
)
def test_a_result_that_only_speaks_of_an_error_is_none(result: str) -> None:
    told = ToolCall.model_validate(call(1, result_summary=result))
    assert category_of_call(told) == "unknown"
    assert not is_empty(told)


def test_a_number_in_an_error_is_no_status_code() -> None:
    assert category_of_error("order 429 of lot 403 is broken") == "unknown"


@pytest.mark.covers("B-040")
@pytest.mark.parametrize(
    ("result", "empty"),
    [
        ("[]", True),
        ('{"items": []}', True),
        ('{"hits": {"total": 0, "hits": []}}', True),
        ('{"rows": [], "done": true}', True),
        ("No matching documents for this query", True),
        ("0 rows", True),
        ("", False),
        ("{}", False),
        ("[0]", False),
        ('{"name": "Ann", "tags": []}', False),
        ('{"items": [], "others": [1]}', False),
        ("[" * 5_000, False),
        ("[" * 900 + "]" * 900, False),
        ('{"items": ', False),
        ("No data is lost: all 12 rows were written, and here they are. " * 9, False),
    ],
)
def test_an_empty_answer_is_one_that_holds_nothing(result: str, empty: bool) -> None:
    assert is_empty(ToolCall.model_validate(call(1, result_summary=result))) is empty


def test_a_failed_call_is_not_an_empty_answer() -> None:
    told = ToolCall.model_validate(call(1, status="failure", result_summary="[]"))
    assert not is_empty(told)
