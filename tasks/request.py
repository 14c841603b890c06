"""How people are told that an action waits for their answer: what, why, until when."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from roundsman.rules.messages import Topic
from roundsman.rules.reasons import Reason
from roundsman.rules.remediation import Remediation
from roundsman.rules.request import payload_words, precondition_words
from roundsman.store.records import ActionRow

ID_LETTERS = 12


class Asked(NamedTuple):
    """A permit that waits, and what was seen that it is wanted for."""

    action_id: str
    reasons: tuple[Reason, ...]


def asked_for(remediation: Remediation) -> list[Asked]:
    """The build that waits for an answer, if one does."""
    if remediation.state != "waiting" or remediation.action_id is None:
        return []
    return [Asked(remediation.action_id, remediation.reasons)]


def topic_of_request(row: ActionRow, asked: Asked) -> Topic:
    """What is told of a request; the same for whoever tells it, another one once it is reopened."""
    until = row.expires_at.isoformat() if row.expires_at else ""
    return Topic(
        event="asked",
        severity="medium",
        said=f"may '{row.action}' be done on '{row.target}'? {row.reason}",
        agent=row.agent,
        round=(row.round or "").partition("/")[2] or None,
        at=row.proposed_at,
        occasion=f"{row.action_id}, {until}",
        subject=row.target,
        kind=row.action,
        run_id=row.run_id,
        reasons=(*asked.reasons, *_conditions(row)),
        what=payload_words(row.payload),
        action_id=row.action_id[:ID_LETTERS],
        expires_at=row.expires_at,
        approvers=", ".join(row.approvers),
        details={"action_id": row.action_id, "payload": row.payload},
    )


def _conditions(row: ActionRow) -> Iterable[Reason]:
    words = precondition_words(row.precondition)
    for (name, value), said in zip(row.precondition.items(), words, strict=True):
        yield Reason(signal=name, value=value, quote=said)
