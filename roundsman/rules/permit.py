"""What a permit may become: which states follow which, and how a repeated wish meets its row."""

from __future__ import annotations

from typing import Any, Literal

State = Literal[
    "waiting", "allowed", "attempting", "done", "failed", "unknown", "denied", "expired"
]
LostAnswer = Literal["repeatable", "askable", "once"]
Verdict = Literal["allow", "ask", "deny"]

FIRST: dict[Verdict, State] = {"allow": "allowed", "ask": "waiting", "deny": "denied"}


def first_state(verdict: Verdict) -> State:
    """Where a permit begins that policy judged so."""
    return FIRST[verdict]


def restated(state: State, was_reviewed: bool, verdict: Verdict) -> State:
    """What a permit becomes when the same wish is judged again, perhaps under another policy.

    A person's yes stands unless policy now forbids it, and a no for good; policy's own no lasts
    as long as policy says so. What was begun or has ended stays; a request that expired unanswered
    is asked anew.
    """
    if state in ("waiting", "expired") or (state == "denied" and not was_reviewed):
        return first_state(verdict)
    if state == "allowed":
        if verdict == "deny":
            return "denied"
        return "allowed" if was_reviewed or verdict == "allow" else "waiting"
    return state


def may_claim(state: State, lost_answer: LostAnswer) -> bool:
    """Whether an effect may be tried: at first, and again where a lost answer does no harm."""
    return state == "allowed" or (state == "unknown" and lost_answer != "once")


def refusal_of(state: State, row: dict[str, Any]) -> str:
    """Why a permit in this state cannot be used now, in words."""
    who = row.get("reviewed_by") or row.get("settled_by") or "policy"
    said = {
        "waiting": "it waits for a person",
        "attempting": "another run is at it",
        "done": "it was done already",
        "failed": "it was tried and failed",
        "unknown": "its answer was lost, and a person must say what became of it",
        "denied": f"it was denied by {who}",
        "expired": f"it expired: {row.get('said') or 'nobody answered in time'}",
    }
    return said.get(state, f"it is {state}")
