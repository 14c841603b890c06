"""How an error leaves by HTTP: a problem document with one sentence in it, and never a stack."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, cast

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from roundsman.errors import Denied, Misread, Mistake, Refused, RoundsmanError, Unready
from roundsman.log import get_logger
from roundsman.rules.parameters import WORDS
from roundsman.rules.redaction import redact_text

MEDIA_TYPE = "application/problem+json"
SENTENCE_CHARACTERS_MAX = 2_000
NAMED_MAX = 5
OBJECT = WORDS["model_type"]
RETRY_SECONDS = 5

_log = get_logger(__name__, component="api")


class Problem(BaseModel):
    """What is answered instead of what was asked for (RFC 9457); `error` is the sentence."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "example": {
                "type": "about:blank",
                "title": "Unprocessable Content",
                "status": 422,
                "detail": "Invalid agent_type: 'unknown_agent'. Available: warehouse_health",
                "instance": "/agents/execute",
                "error": "Invalid agent_type: 'unknown_agent'. Available: warehouse_health",
                "kind": "ValidationError",
            }
        },
    )

    type: str
    title: str
    status: int
    detail: str
    instance: str
    error: str
    kind: str
    run_id: str | None = Field(default=None, description="The row of a run that was refused")


class Throttled(Unready):
    """Too many requests of one caller; `seconds` until the next one is answered."""

    def __init__(self, said: str, seconds: float) -> None:
        super().__init__(said, f"wait {math.ceil(seconds)} s", status=429)
        self.seconds = seconds


class TurnedDown(Mistake):
    """A run that was refused; its audit row has this id."""

    def __init__(self, said: str, run_id: str | None, status: int) -> None:
        super().__init__(said, status=status)
        self.run_id = run_id


@contextmanager
def answered(status: int) -> Generator[None]:
    """Let a mistake that is made inside leave with this status, as 404 for what is not there."""
    try:
        yield
    except Mistake as error:
        raise Mistake(error.said, error.remedy, status=status) from error


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that a route may answer with, for its documentation."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": content}
        for status in statuses
    }


def example(document: Any, status: int = 200, said: str = "OK") -> dict[int | str, dict[str, Any]]:
    """An answer as the documentation shows it."""
    content = {"application/json": {"example": document}}
    return {status: {"description": said, "content": content}}


def problem(
    request: Request, status: int, said: str, more: Mapping[str, Any] | None = None
) -> JSONResponse:
    """The document of one problem; a refused caller is told how to name himself."""
    sentence = redact_text(said)[:SENTENCE_CHARACTERS_MAX]
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": sentence,
        "instance": request.url.path,
        "error": sentence,
        "kind": Mistake.wire_type,
        **(more or {}),
    }
    headers = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else {}
    return JSONResponse(document, status, headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Have every error of an app answered by a problem document."""
    handlers: dict[type[Exception], Callable[[Request, Any], Response]] = {
        RoundsmanError: _ours,
        RequestValidationError: _ill_formed,
        HTTPException: _of_http,
        Exception: _unforeseen,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def _ours(request: Request, error: RoundsmanError) -> Response:
    status = status_of(error)
    more: dict[str, Any] = {"kind": error.wire_type}
    run_id = getattr(error, "run_id", None)
    if run_id is not None:
        more["run_id"] = run_id
    answer = problem(request, status, str(error), more)
    if isinstance(error, Unready):
        seconds = error.seconds if isinstance(error, Throttled) else RETRY_SECONDS
        answer.headers["Retry-After"] = str(math.ceil(seconds))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.warning(f"{request.method} {request.url.path}: {error}")
    return answer


def status_of(error: RoundsmanError) -> int:
    """The status of an error: the one that a door gave it, else that of its kind."""
    if error.status is not None and isinstance(error, Mistake | Denied | Throttled):
        return error.status
    kinds = {Mistake: 422, Denied: 403, Unready: 503, Refused: 502, Misread: 502}
    return next((status for kind, status in kinds.items() if isinstance(error, kind)), 500)


def _ill_formed(request: Request, error: RequestValidationError) -> Response:
    said = "; ".join(_words(cast("Mapping[str, Any]", one)) for one in error.errors()[:NAMED_MAX])
    return problem(request, 422, said)


def _words(found: Mapping[str, Any]) -> str:
    kind, place = str(found["type"]), [str(part) for part in found["loc"]]
    if kind == "json_invalid":
        return f"the body is not JSON: {found.get('ctx', {}).get('error', found['msg'])}"
    path = ".".join(place[1:]) or place[0]
    if kind == "extra_forbidden":
        return f"unknown field '{path}'"
    words = OBJECT if kind == "model_attributes_type" else WORDS.get(kind)
    if words is None:
        return f"'{path}': {str(found['msg']).removeprefix('Value error, ')}"
    return f"'{path}' {words.format_map(found.get('ctx', {}))}"


def _of_http(request: Request, error: HTTPException) -> Response:
    path = request.url.path
    said = {
        404: f"there is nothing at '{path}'; see /openapi.json",
        405: f"'{request.method}' is not possible at '{path}'; see /openapi.json",
    }.get(error.status_code, f"{error.detail}")
    answer = problem(request, error.status_code, said)
    answer.headers.update(error.headers or {})
    return answer


def _unforeseen(request: Request, error: Exception) -> Response:
    _log.error(f"{request.method} {request.url.path} failed", exc_info=error)
    said = "this should not have happened; the server's log has the reason under this request's id"
    answer = problem(request, 500, said, {"kind": RoundsmanError.wire_type})
    # The guard, which names the request, is inside of whatever answers this.
    answer.headers["X-Request-ID"] = str(getattr(request.state, "request_id", ""))
    return answer
