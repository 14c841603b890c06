"""What an error answer of Elasticsearch means to us, and what to do about it."""

from __future__ import annotations

from typing import Any, cast

from roundsman.errors import Misread, Refused, RoundsmanError, Unready

REASON_LETTERS_MAX = 300
TOO_MANY_REQUESTS = 429


def meaning(name: str, status: int, body: Any) -> RoundsmanError:
    """Our error for an answer that is not 2xx."""
    kind, reason = _cause(body)
    said = f"search '{name}' refused ({status})"
    said += f": {reason[:REASON_LETTERS_MAX]}" if reason else ""
    if status == TOO_MANY_REQUESTS or status >= 500:
        said = said.replace("refused", "failed", 1)
        return Unready(said, "wait until the server has room again", status=status)
    if 300 <= status < 400:
        return Misread(said, "point 'url' at the server itself", status=status)
    return Refused(said, _remedy(status, kind), status=status)


def _remedy(status: int, kind: str) -> str:
    if status == 401:
        return "correct or renew its API key or password in systems.yaml"
    if status == 403:
        return "grant read and view_index_metadata on it, or choose the twin with search='local'"
    if kind == "index_not_found_exception":
        return "correct the name, or grant read on an index that it matches"
    if kind == "media_type_header_exception":
        return "upgrade the server: Elasticsearch 9 is spoken to"
    if kind == "index_closed_exception":
        return "open the index, or leave it out"
    if kind == "too_many_buckets_exception":
        return "ask for a shorter window or larger buckets"
    if status == 404:
        return "correct 'url' in systems.yaml or the name"
    return "correct the parameters of the round"


def _cause(body: Any) -> tuple[str, str]:
    """Type and reason of the innermost cause that the answer names."""
    error = _member(body, "error")
    if isinstance(error, str):
        return "", error
    causes = _member(error, "root_cause")
    named = cast("list[Any]", causes)[0] if isinstance(causes, list) and causes else None
    # Where no shard is to blame, the list is empty and the cause stands beside it.
    first = named or _member(error, "caused_by") or error
    kind, reason = _member(first, "type") or "", _member(first, "reason") or ""
    return str(kind), f"{kind}: {reason}" if kind or reason else ""


def _member(holder: Any, key: str) -> Any:
    return cast("dict[str, Any]", holder).get(key) if isinstance(holder, dict) else None
