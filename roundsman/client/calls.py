"""What is sent for each question, and how its answer is read; both clients send the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, Literal, NamedTuple, TypeVar
from urllib.parse import quote

from roundsman.client import records as r

T = TypeVar("T")
Method = Literal["GET", "POST"]
Outcome = Literal["done", "not-done"]
# What starting a run may take beyond the usual.
STARTS_SECONDS = 30.0
WAIT_SECONDS_DEFAULT = 60.0
PAGE_DEFAULT = 100
# As many as the API lists at once.
FILES_MAX = 10_000


class Call(NamedTuple, Generic[T]):
    """One request; `is_repeatable` where sending it twice does no more than once.

    `patience_seconds` is what the server may take beyond the usual.
    """

    method: Method
    path: str
    read: Callable[[Any], T]
    query: Mapping[str, Any] = {}
    body: Mapping[str, Any] = {}
    headers: Mapping[str, str] = {}
    patience_seconds: float = 0.0
    is_file: bool = False
    is_probe: bool = False

    @property
    def is_repeatable(self) -> bool:
        """Whether it may be sent again without asking; who probes wants to hear a no at once."""
        if self.is_probe:
            return False
        return self.method == "GET" or "Idempotency-Key" in self.headers


def execute(agent_type: str, key: str | None, wanted: r.Wish) -> Call[r.Run]:
    """`POST /agents/execute`."""
    return Call(
        "POST",
        "/agents/execute",
        r.Run.model_validate,
        body={"agent_type": agent_type, **wanted},
        headers={} if key is None else {"Idempotency-Key": key},
        patience_seconds=wanted.get("wait_seconds", WAIT_SECONDS_DEFAULT),
    )


def explain(agent_type: str, wanted: r.Wish) -> Call[r.Run]:
    """`POST /agents/explain`."""
    return execute(agent_type, None, wanted)._replace(path="/agents/explain")


def agents() -> Call[list[r.AgentBrief]]:
    """`GET /agents`."""
    return Call("GET", "/agents", _each("agents", r.AgentBrief))


def agent(name: str) -> Call[r.Agent]:
    """`GET /agents/{agent}`."""
    return Call("GET", f"/agents/{_part(name)}", r.Agent.model_validate)


def rounds() -> Call[list[r.RoundState]]:
    """`GET /rounds`."""
    return Call("GET", "/rounds", _each("rounds", r.RoundState))


def run(run_id: str) -> Call[r.Run]:
    """`GET /agents/runs/{id}`."""
    return Call("GET", f"/agents/runs/{_part(run_id)}", r.Run.model_validate)


def timeline(run_id: str, after: int) -> Call[r.Timeline]:
    """`GET /agents/runs/{id}/timeline`."""
    path = f"/agents/runs/{_part(run_id)}/timeline"
    return Call("GET", path, r.Timeline.model_validate, query={"after": after})


def cancel(run_id: str) -> Call[r.CancelAsked]:
    """`POST /agents/runs/{id}/cancel`."""
    return Call("POST", f"/agents/runs/{_part(run_id)}/cancel", r.CancelAsked.model_validate)


def history(wanted: Mapping[str, Any], offset: int) -> Call[r.HistoryPage]:
    """`GET /agents/history`."""
    query = {"limit": PAGE_DEFAULT, **wanted, "offset": offset}
    return Call("GET", "/agents/history", r.HistoryPage.model_validate, query=query)


def artifacts(agent_type: str, pattern: str) -> Call[list[r.ArtifactFile]]:
    """`GET /agents/artifacts/{agent}`."""
    path, query = f"/agents/artifacts/{_part(agent_type)}", {"pattern": pattern, "limit": FILES_MAX}
    return Call("GET", path, _each("files", r.ArtifactFile), query=query)


def artifact(agent_type: str, file: str) -> Call[bytes]:
    """`GET /agents/artifacts/{agent}/{file}`."""
    path = f"/agents/artifacts/{_part(agent_type)}/{quote(file)}"
    return Call("GET", path, bytes, is_file=True)


def approvals(wanted: Mapping[str, Any]) -> Call[list[r.Approval]]:
    """`GET /approvals`."""
    return Call("GET", "/approvals", _each("approvals", r.Approval), query=wanted)


def approval(action_id: str) -> Call[r.Approval]:
    """`GET /approvals/{id}`."""
    return Call("GET", f"/approvals/{_part(action_id)}", r.Approval.model_validate)


def approve(action_id: str, note: str | None) -> Call[r.Approved]:
    """`POST /approvals/{id}/approve`."""
    path = f"/approvals/{_part(action_id)}/approve"
    return Call(
        "POST", path, r.Approved.model_validate, body=_note(note), patience_seconds=STARTS_SECONDS
    )


def deny(action_id: str, note: str | None) -> Call[r.Approval]:
    """`POST /approvals/{id}/deny`."""
    path = f"/approvals/{_part(action_id)}/deny"
    return Call("POST", path, r.Approval.model_validate, body=_note(note))


def reopen(action_id: str, reason: str | None) -> Call[r.Approval]:
    """`POST /approvals/{id}/reopen`."""
    path = f"/approvals/{_part(action_id)}/reopen"
    return Call("POST", path, r.Approval.model_validate, body=_reason(reason))


def actions(wanted: Mapping[str, Any]) -> Call[list[r.Action]]:
    """`GET /actions`."""
    return Call("GET", "/actions", _each("actions", r.Action), query=wanted)


def action(action_id: str) -> Call[r.Action]:
    """`GET /actions/{id}`."""
    return Call("GET", f"/actions/{_part(action_id)}", r.Action.model_validate)


def settle(action_id: str, outcome: Outcome, reason: str | None) -> Call[r.Action]:
    """`POST /actions/{id}/settle`."""
    body = {"outcome": outcome, **_reason(reason)}
    path = f"/actions/{_part(action_id)}/settle"
    return Call("POST", path, r.Action.model_validate, body=body)


def switch() -> Call[r.Switch]:
    """`GET /actions/stop`."""
    return Call("GET", "/actions/stop", r.Switch.model_validate)


def stop(reason: str | None) -> Call[r.Switch]:
    """`POST /actions/stop`."""
    return Call("POST", "/actions/stop", r.Switch.model_validate, body=_reason(reason))


def resume(reason: str | None) -> Call[r.Resumed]:
    """`POST /actions/resume`."""
    path, patience = "/actions/resume", STARTS_SECONDS
    read, body = r.Resumed.model_validate, _reason(reason)
    return Call("POST", path, read, body=body, patience_seconds=patience)


def undo_preview(run_id: str) -> Call[r.UndoPreview]:
    """`GET /agents/runs/{id}/undo`."""
    return Call("GET", f"/agents/runs/{_part(run_id)}/undo", r.UndoPreview.model_validate)


def undo(run_id: str, action_id: str | None, dry_run: bool) -> Call[r.Undoing]:
    """`POST /agents/runs/{id}/undo`."""
    body: dict[str, Any] = {"dry_run": dry_run}
    body |= {} if action_id is None else {"action_id": action_id}
    path = f"/agents/runs/{_part(run_id)}/undo"
    return Call("POST", path, r.Undoing.model_validate, body=body, patience_seconds=STARTS_SECONDS)


def findings(wanted: Mapping[str, Any]) -> Call[list[r.Finding]]:
    """`GET /findings`."""
    return Call("GET", "/findings", _each("findings", r.Finding), query=wanted)


def finding(fingerprint: str) -> Call[r.Finding]:
    """`GET /findings/{fingerprint}`."""
    return Call("GET", f"/findings/{_part(fingerprint)}", r.Finding.model_validate)


def decide(
    fingerprint: str, verb: Literal["ack", "mute", "unmute"], body: Mapping[str, Any]
) -> Call[r.Finding]:
    """`POST /findings/{fingerprint}/ack`, `/mute`, `/unmute`."""
    told = {name: value for name, value in body.items() if value is not None}
    path = f"/findings/{_part(fingerprint)}/{verb}"
    return Call("POST", path, r.Finding.model_validate, body=told)


def health() -> Call[r.Health]:
    """`GET /health`."""
    return Call("GET", "/health", r.Health.model_validate)


def ready() -> Call[r.Health]:
    """`GET /ready`."""
    return Call("GET", "/ready", r.Health.model_validate, is_probe=True)


def _each(name: str, kind: type[r.ToldT]) -> Callable[[Any], list[r.ToldT]]:
    return lambda document: [kind.model_validate(one) for one in document[name]]


def _part(word: str) -> str:
    """A word as one part of a path, whatever is in it."""
    return quote(word, safe="")


def _note(note: str | None) -> Mapping[str, Any]:
    return {} if note is None else {"note": note}


def _reason(reason: str | None) -> Mapping[str, Any]:
    return {} if reason is None else {"reason": reason}
