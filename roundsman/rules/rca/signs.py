"""Which of the eight categories one call, or one error of a run, belongs to by itself."""

from __future__ import annotations

import json
import re
from typing import Any, Literal, cast

from roundsman.rules.rca.records import ToolCall

Category = Literal[
    "tool_schema_mismatch",
    "rate_limited",
    "tool_permission",
    "timeout",
    "planner_loop",
    "retrieval_empty",
    "prompt_regression",
    "unknown",
]
# An error says at its beginning what it is; what follows quotes the input.
ERROR_CHARACTERS_MAX = 2_000
# Longer answers are not nothing.
EMPTY_CHARACTERS_MAX = 2_000
EMPTY_SENTENCE_CHARACTERS_MAX = 200
JSON_DEPTH_MAX = 20

_RATE = re.compile(
    r"rate.?limit|too many requests|quota exceeded|throttl|\brate exceeded|rejected.?execution"
    r"|resource.?exhausted",
    re.IGNORECASE,
)
_PERMISSION = re.compile(
    r"permission denied|access.?denied|unauthori[sz]ed|\bforbidden\b|not authori[sz]ed"
    r"|invalid_grant|tokens? (?:has|have) (?:been )?(?:expired|revoked)|insufficient.?privilege"
    r"|insufficient permission|authenticationerror|authorizationexception|invalid api key",
    re.IGNORECASE,
)
_TIMEOUT = re.compile(r"\btimed.?out\b|time.?out|deadline.?exceeded", re.IGNORECASE)
_SCHEMA = re.compile(
    r"validation.?error|unexpected keyword argument|missing \d+ required|schema"
    r"|required (?:field|property|parameter|argument)|(?:field|property) required"
    r"|does not match '|invalid (?:argument|parameter)|unrecognized name|input should be"
    r"|unknown (?:field|argument|parameter)|is not of type|is a required property",
    re.IGNORECASE,
)
# A refused prompt and a wrong model are 400 too, and no mistake in a call's arguments.
_POLICY = re.compile(r"content.?(?:management|filter|policy)|responsible.?ai", re.IGNORECASE)
_OTHER_REFUSAL = re.compile(
    r"invalid model|\bmodel\b.{0,60}does not exist|connection (?:broken|aborted|reset|refused)",
    re.IGNORECASE,
)
_NOTHING = re.compile(
    r"(?:no|zero|0) (?:matching |relevant |search )?"
    r"(?:documents?|results?|match(?:es)?|records?|rows?|hits?|data|items?|entries|logs?)\b"
    r"|nothing (?:was )?found\b",
    re.IGNORECASE,
)
_ANSWER_KEYS = frozenset(
    {"results", "result", "hits", "rows", "items", "documents", "matches", "data", "records"}
    | {"entries", "docs", "values"}
)
_NUMBER_OF_STATUS: dict[int, Category] = {
    401: "tool_permission",
    403: "tool_permission",
    408: "timeout",
    429: "rate_limited",
    504: "timeout",
}
_STATUS_OF_BAD_INPUT = (400, 422)


def category_of_call(call: ToolCall) -> Category:
    """The category of a failed call; unknown for one that did not fail.

    Only what the telemetry calls an error is read: a "429" inside of a result or of an id is none.
    """
    if not call.failed:
        return "unknown"
    return category_of_error(error_of(call), call.http)


def error_of(call: ToolCall) -> str:
    """What a failed call says of its failure."""
    told = f"{call.error_class}: {call.error_message}" if call.error_message else call.error_class
    return (told if call.error_message else f"{told}\n{call.result_summary}").strip()


def category_of_error(text: str, status_code: int = 0) -> Category:
    """A status code decides, but for those that several faults share."""
    text = text[:ERROR_CHARACTERS_MAX]
    # A quota is refused with 403 by some; the words say it.
    if _RATE.search(text):
        return "rate_limited"
    if status_code in _NUMBER_OF_STATUS:
        return _NUMBER_OF_STATUS[status_code]
    if _PERMISSION.search(text):
        return "tool_permission"
    if _TIMEOUT.search(text):
        return "timeout"
    if _POLICY.search(text) or _OTHER_REFUSAL.search(text):
        return "unknown"
    is_bad_input = status_code in _STATUS_OF_BAD_INPUT or _SCHEMA.search(text)
    return "tool_schema_mismatch" if is_bad_input else "unknown"


def is_policy_refusal(text: str) -> bool:
    """Whether an error says that a model's provider refused the content."""
    return bool(_POLICY.search(text[:ERROR_CHARACTERS_MAX]))


def is_empty(call: ToolCall) -> bool:
    """Whether a call that did not fail found nothing, said in words or as an empty answer."""
    text = call.result_summary.strip()
    if call.failed or not text or len(text) > EMPTY_CHARACTERS_MAX:
        return False
    if text[0] in "[{":
        return _is_empty_json(text)
    if call.status.lower() == "no_data":
        return True
    return len(text) <= EMPTY_SENTENCE_CHARACTERS_MAX and bool(_NOTHING.match(text))


def _is_empty_json(text: str) -> bool:
    try:
        answer: Any = json.loads(text)
    except (ValueError, RecursionError):
        return False
    if answer == []:
        return True
    return isinstance(answer, dict) and _has_no_rows(cast("dict[str, Any]", answer), JSON_DEPTH_MAX)


def _has_no_rows(answer: dict[str, Any], depth: int) -> bool:
    """Whether an answer that should hold rows holds an empty list, and nothing beside counts."""
    if depth == 0 or any(value and isinstance(value, list) for value in answer.values()):
        return False
    rows = [answer[key] for key in sorted(_ANSWER_KEYS & answer.keys())]
    inner = [cast("dict[str, Any]", one) for one in rows if isinstance(one, dict)]
    return [] in rows or any(_has_no_rows(one, depth - 1) for one in inner)
