"""What `show` prints of an action: what exactly, why, under which conditions, what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from roundsman.cli.present import field, say
from roundsman.rules.request import payload_words, precondition_words, wanted_as

if TYPE_CHECKING:
    from roundsman.store.records import ActionRow, AuditRow

LOST_ANSWER = {
    "repeatable": "it may be done again without harm",
    "askable": "the other side is asked whether it was done",
    "once": "never again by itself: a person decides",
}


def print_action(row: ActionRow, proposed: AuditRow, was_undone: bool) -> None:
    """Print an action; `proposed` is the run that wanted it and knows what it had seen."""
    say(f"{row.action} on {row.target}: {row.state}{', and undone' if was_undone else ''}")
    for name, value in _facts(row):
        field(name, value)
    quotes = wanted_as(row.action_id, proposed.artifacts)
    for name, words in (("wanted as", quotes), ("condition", _conditions(row))):
        for said in words:
            field(name, said)
    for name, value in _fate(row):
        field(name, value)


def _facts(row: ActionRow) -> Iterator[tuple[str, Any]]:
    yield "id", row.action_id
    yield "does", payload_words(row.payload)
    yield "agent", row.round or row.agent
    yield "run", row.run_id
    yield "for", row.requested_by
    yield "proposed", row.proposed_at
    yield "policy", f"{row.policy_rule_id}: {row.reason}"
    yield "weighs", ", ".join(f"{name} {value}" for name, value in row.context.items())


def _conditions(row: ActionRow) -> list[str]:
    limits, words = row.limits, precondition_words(row.precondition)
    if "per_window" in limits:
        hours = limits.get("window_seconds", 0) / 3_600
        words.append(f"at most {limits['per_window']} on this target in {hours:g} hours")
    return words


def _fate(row: ActionRow) -> Iterator[tuple[str, Any]]:
    if row.state == "waiting":
        yield "approvers", ", ".join(row.approvers) or "anybody"
        yield "four eyes", "whoever asked may not approve" if row.four_eyes else None
        yield "until", row.expires_at
    yield "answered", _by(row.reviewed_by, row.reviewed_at, row.review_note)
    yield "done by", f"run {row.acting_run}, attempt {row.attempt}" if row.acting_run else None
    yield "begun", row.claimed_at
    yield "settled", _by(row.settled_by, row.settled_at, row.said)
    yield "result", payload_words(row.result or {})
    yield "can be", "undone" if row.undo else None
    yield "if lost", LOST_ANSWER[row.lost_answer]


def _by(who: str | None, at: Any, said: str | None) -> str | None:
    if at is None:
        return said
    words = (f"{at:%Y-%m-%d %H:%M:%SZ}", f"by {who}" if who else None, said)
    return "  ".join(word for word in words if word)
