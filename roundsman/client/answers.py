"""What an answer means: what was asked for, an error of ours, or that it is to be sent again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlsplit

from roundsman.client import errors
from roundsman.client.calls import Call
from roundsman.errors import Mistake
from roundsman.rules.plain_text import harmless

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
# How often a request that may be sent again is sent again, and the longest wait before.
RETRIES_MAX = 3
RETRY_SECONDS_MAX = 60.0
RETRY_SECONDS_DEFAULT = 1.0
REQUEST_SECONDS_MAX = 30.0
SAID_CHARACTERS_MAX = 500

_KINDS: Mapping[int, type[errors.ClientError]] = {
    401: errors.NotAllowed,
    403: errors.NotAllowed,
    404: errors.NotFound,
    409: errors.Conflict,
    429: errors.Unavailable,
}


def check_url(url: str) -> str:
    """The address without a slash at its end. Raises Mistake for one that cannot be called."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Mistake(f"'{url}' is no address", "write it as https://host:port") from error
    if "@" in parts.netloc:
        where = f"{parts.hostname}{f':{port}' if port else ''}"
        said = f"the address of '{where}' holds a password"
        raise Mistake(said, "leave it out and set ROUNDSMAN_API_KEY")
    import httpx

    try:
        httpx.URL(url)
    except httpx.InvalidURL as error:
        raise Mistake(f"'{url}' is no address", "write it as https://host:port") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise Mistake(f"'{url}' is no address of an API", "write it as https://host:port")
    return url.rstrip("/")


def headers_of(api_key: str | None) -> dict[str, str]:
    """The headers of every request; the key is the given one, else that of the environment."""
    from importlib.metadata import version

    from roundsman.settings import API_KEY, environment

    key = api_key if api_key is not None else environment().get(API_KEY, "")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise Mistake("the API key has characters that no key has", f"correct {API_KEY}")
    told = {"Accept": "application/json", "User-Agent": f"roundsman/{version('roundsman')}"}
    return told | ({"Authorization": f"Bearer {key}"} if key else {})


def request_of(call: Call[Any]) -> dict[str, Any]:
    """What httpx is given for a call."""
    told: dict[str, Any] = {
        "method": call.method,
        "url": call.path,
        "headers": dict(call.headers),
        "timeout": REQUEST_SECONDS_MAX + call.patience_seconds,
    }
    if call.query:
        told["params"] = dict(call.query)
    if call.method == "POST":
        told["json"] = dict(call.body)
    return told


def read(call: Call[T], answer: httpx.Response) -> T:
    """What was asked for. Raises ClientError."""
    if not answer.is_success:
        raise problem_of(answer)
    from pydantic import ValidationError

    try:
        return call.read(answer.content if call.is_file else answer.json())
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise unreadable(answer) from error


def problem_of(answer: httpx.Response) -> errors.ClientError:
    """The error that a problem document tells."""
    told = _document(answer)
    # Whoever answers there may not be who was meant, and this is printed at a terminal.
    said = harmless(str(told.get("detail") or told.get("error") or ""))
    if not answer.is_server_error and not (answer.is_client_error and said):
        # A redirect, or the no of another server: an API of ours says why.
        return unreadable(answer)
    other = errors.Unavailable if answer.is_server_error else errors.Invalid
    kind = _KINDS.get(answer.status_code, other)
    said = said or f"'{answer.request.url.path}' was answered with {answer.status_code}"
    error = _named(kind(said, status=answer.status_code), answer)
    error.run_id = told.get("run_id")
    error.retry_after = _seconds(answer)
    return error


def unreadable(answer: httpx.Response) -> errors.ClientError:
    """What answered is no API of ours, or a newer one."""
    said = f"what answers at '{answer.request.url}' ({answer.status_code}) is not read here"
    error = errors.Unreadable(said, "check the address and both versions")
    error.status = answer.status_code
    return _named(error, answer)


def failures() -> tuple[type[Exception], ...]:
    """What httpx raises where nobody answers, or not to the end."""
    import httpx

    return (httpx.RequestError, httpx.StreamError)


def unreachable(what: str, error: Exception) -> errors.ClientError:
    """Nobody answered at all, or not to the end."""
    said = f"{what} was not answered: {str(error) or type(error).__name__}"
    return errors.Unavailable(said[:SAID_CHARACTERS_MAX], "check the address, or try again")


def lost(error: Exception, url: str) -> errors.ClientError:
    """Why a stream of events ended that had not come to its end."""
    if isinstance(error, errors.ClientError):
        return error
    return unreachable(f"GET '{url}/agents/events'", error)


def pause_before(call: Call[Any], error: errors.ClientError, sent: int) -> float | None:
    """The seconds until a call that was sent so often is sent again; None: it is not."""
    is_asked_to = error.status in (429, 503)
    if not (call.is_repeatable and is_asked_to) or sent > RETRIES_MAX:
        return None
    seconds = RETRY_SECONDS_DEFAULT if error.retry_after is None else error.retry_after
    return seconds if seconds <= RETRY_SECONDS_MAX else None


def _document(answer: httpx.Response) -> dict[str, Any]:
    try:
        told = answer.json()
    except ValueError:
        return {}
    return cast("dict[str, Any]", told) if isinstance(told, dict) else {}


def _named(error: errors.ClientError, answer: httpx.Response) -> errors.ClientError:
    error.request_id = answer.headers.get("X-Request-ID")
    return error


def _seconds(answer: httpx.Response) -> float | None:
    told = answer.headers.get("Retry-After", "")
    return float(told) if told.isascii() and told.isdigit() else None
