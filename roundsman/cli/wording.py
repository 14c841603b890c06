"""What an event says, in a line for a person."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from roundsman.cli.present import count
from roundsman.rules.plain_text import harmless

if TYPE_CHECKING:
    from roundsman.store.records import EventRow


class Teller:
    """Puts a run's events into words; only a step's first event has its name, so it remembers."""

    def __init__(self) -> None:
        self._names: dict[tuple[int, int], str] = {}

    def words_of(self, event: EventRow) -> str:
        """What an event says, in a line."""
        if event.payload is None:
            return "(erased)"
        say = WORDS.get(event.kind, _rest)
        return harmless(say(self.complete(event)))

    def complete(self, event: EventRow) -> dict[str, Any]:
        """The event's payload, with the step's name where that is known."""
        payload = event.payload or {}
        if "index" not in payload:
            return payload
        place = (event.attempt, int(payload["index"]))
        if payload.get("name"):
            self._names[place] = str(payload["name"])
        return {"name": self._names.get(place), **payload}


def _rest(payload: dict[str, Any]) -> str:
    return ", ".join(f"{name}={_brief(value)}" for name, value in payload.items())[:120]


def _brief(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def named(payload: dict[str, Any]) -> str:
    """The step that an event is about."""
    return str(payload.get("name") or payload.get("step") or f"step {payload.get('index', '?')}")


def _finished(payload: dict[str, Any]) -> str:
    return f"{named(payload)}  {float(payload.get('seconds') or 0):.2f} s"


def _failure(payload: dict[str, Any]) -> str:
    error = payload.get("error")
    if isinstance(error, dict):
        return _said(cast("dict[str, Any]", error))
    return str(error or payload.get("status", ""))


def _said(error: dict[str, Any]) -> str:
    return f"{error.get('type', '')}: {error.get('message') or error.get('said') or ''}".strip(": ")


def _began(payload: dict[str, Any]) -> str:
    asked: dict[str, Any] = payload.get("asked_by") or {}
    steps = count(len(payload.get("plan") or ()), "step")
    dry = "dry run" if payload.get("dry_run") else "live"
    return f"{payload.get('agent_type', '')}, {steps}, {dry}, asked by {asked.get('name')}"


def _judged(payload: dict[str, Any]) -> str:
    request: dict[str, Any] = payload.get("request") or {}
    decision: dict[str, Any] = payload.get("decision") or {}
    what = f"{request.get('action', '')} on {request.get('target', '')}"
    became = _set(payload).get("state") or "dry run: not done"
    return f"{what}  {became}  policy says {decision.get('verdict')} ({decision.get('rule_id')})"


HELPED = {True: "helped", False: "did not help", None: "whether it helped is not known"}


def _acted(payload: dict[str, Any]) -> str:
    changed = _set(payload)
    who = changed.get("reviewed_by") or changed.get("settled_by")
    said = changed.get("said") or changed.get("review_note")
    by = f"  by {who}" if who and who != "run" else ""
    result: dict[str, Any] = changed.get("result") or {}
    became = changed.get("state") or (HELPED[result["helped"]] if "helped" in result else "")
    words = f"{str(payload.get('key', ''))[:12]}  {became}{by}"
    return f"{words}  {said}" if said else words


def _found(payload: dict[str, Any]) -> str:
    changed = _set(payload)
    words = [changed[name] for name in ("severity", "said") if changed.get(name)]
    if changed.get("good_runs"):
        words.append(count(int(changed["good_runs"]), "good run"))
    if changed.get("why_silent"):
        words.append(f"not told: {changed['why_silent']}")
    return _about(payload, *words)


def _about(payload: dict[str, Any], *words: str | None) -> str:
    return "  ".join([str(payload.get("about", "")), *(word for word in words if word)])


def _acknowledged(payload: dict[str, Any]) -> str:
    changed = _set(payload)
    return _about(payload, f"by {changed.get('acknowledged_by')}", changed.get("note"))


def _muted(payload: dict[str, Any]) -> str:
    changed = _set(payload)
    by = f"by {changed['muted_by']}" if changed.get("muted_by") else None
    return _about(payload, f"until {changed.get('muted_until')}", by, changed.get("mute_reason"))


def _set(payload: dict[str, Any]) -> dict[str, Any]:
    return cast("dict[str, Any]", payload.get("set") or {})


WORDS: dict[str, Callable[[dict[str, Any]], str]] = {
    "run_queued": _began,
    "run_started": _began,
    "step_started": named,
    "step_finished": _finished,
    "step_failed": lambda p: f"{named(p)}  {_failure(p)}",
    "step_retried": lambda p: f"{named(p)}  {p.get('said', '')}; again in {_brief(p['seconds'])} s",
    "step_skipped": lambda p: f"{named(p)}  {_failure(p).removeprefix('Skipped: ')}",
    "gap": lambda p: f"{named(p)}  {p.get('said', '')}",
    "artifact_written": lambda p: str(p.get("path", "")),
    "artifact_intended": lambda p: str(p.get("path", "")),
    "run_finished": lambda p: f"{p.get('status', '')}  {p.get('verdict') or ''}",
    "run_failed": lambda p: f"{p.get('status', '')}  {_failure(p)}",
    "run_refused": _failure,
    "action_considered": _judged,
    "action_proposed": _judged,
    **dict.fromkeys(
        (
            *("action_approved", "action_denied", "action_expired", "action_erased"),
            "action_reopened",
            *("action_claimed", "action_prepared", "action_settled", "action_judged"),
        ),
        _acted,
    ),
    **dict.fromkeys(
        (
            *("finding_opened", "finding_reopened", "finding_worsened", "finding_eased"),
            *("finding_seen", "finding_good", "finding_resolved", "finding_erased"),
        ),
        _found,
    ),
    "finding_told": lambda p: _about(p, _set(p).get("told_event")),
    "finding_acknowledged": _acknowledged,
    "finding_muted": _muted,
    "finding_unmuted": lambda p: _about(p, f"by {p.get('who')}", p.get("note")),
}
