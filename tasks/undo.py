"""What may be tried again with effects that a person wants taken back."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast, get_args

from pydantic import BaseModel, ConfigDict

from blocks.acting import ActingBlock
from blocks.systems import Role, load_system
from roundsman.agent import current, step
from roundsman.errors import Denied, Misread, Mistake, Refused, Unready
from roundsman.permits import Wish, ask_for
from roundsman.rules.undoing import UndoState
from roundsman.store.actions import BY_RUN
from roundsman.store.records import ActionRow, Json
from roundsman.store.tables import instant_text
from roundsman.store.undone import done_by, settled_before, undone


class Undone(BaseModel):
    """What became of taking one action back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    action_id: str
    action: str
    target: str
    state: UndoState
    said: str


@step
def find_done(run_id: str, action_id: str | None) -> list[ActionRow]:
    """What a run did outside, the last first; a Mistake where there is nothing of the kind."""
    run = current()
    return done_by(run.ledger, run.org, run_id, action_id)


@step
def undo_action(row: ActionRow) -> Undone:
    """Take one effect back by a permit of its own, or say plainly why that cannot be."""
    run = current()
    before = settled_before(row, undone(run.ledger, run.org, [row]).get(row.action_id))
    if before is not None:
        return _told(row, *before)
    block = _block_of(row)
    method = getattr(block, f"undo_{row.action}", None)
    if method is None or row.undo is None:
        why = block.NO_UNDO.get(row.action, "nothing was kept that would undo it")
        said = f"'{row.action}' on '{row.target}' cannot be undone: {why}"
        return _told(row, "impossible" if method is None else "not_kept", said)
    return _take_back(block, method, row, row.undo)


def _take_back(block: ActingBlock, method: Any, row: ActionRow, undo: Json) -> Undone:
    kept = undo | {"done_at": instant_text(_done_at(row))}
    try:
        would = block.preview_undo(row.action, kept)
    except (Refused, Mistake, Unready) as error:
        return _told(row, "failed", str(error))
    wish = Wish(
        target=row.target,
        occasion={"undo_of": row.action_id},
        context={"person": current().is_persons},
        undoes=row.action_id,
    )
    permit = ask_for(method, wish, kept)
    if permit.row is None:
        return _told(row, "considered", f"{would}; {permit.said}{_half(row)}")
    if not permit.may_act:
        return _standing(row, permit.state, f"{permit.said}; {would}{_half(row)}")
    try:
        said = method(kept, permit=permit)
    except Denied as error:
        return _told(row, "denied", str(error))
    except (Refused, Mistake) as error:
        return _told(row, "failed", str(error))
    except (Unready, Misread) as error:
        return _standing(row, permit.state, str(error))
    return _told(row, "undone", f"{said}{_half(row)}")


def _half(row: ActionRow) -> str:
    if row.state != "failed":
        return ""
    return f"; it had failed, and may have been done in part: {row.said or 'without a word'}"


def _done_at(row: ActionRow) -> datetime:
    """Until when what is outside may be the action's own doing; what is younger is not undone.

    Where the answer was lost, somebody found out later, and others may have been at it meanwhile.
    """
    in_time = row.settled_by == BY_RUN and row.settled_at is not None
    return (row.settled_at if in_time else row.claimed_at) or row.proposed_at


def _block_of(row: ActionRow) -> ActingBlock:
    role, _, name = row.target.partition(" ")[0].partition("/")
    if role not in get_args(Role):
        raise Mistake(f"target '{row.target}' names no system", "it cannot be undone from here")
    block: Any = load_system(cast("Role", role), name)
    if not isinstance(block, ActingBlock):
        raise Mistake(f"system '{role}/{name}' changes nothing", "there is nothing to undo")
    return block


def _standing(row: ActionRow, state: str, said: str) -> Undone:
    known: dict[str, Any] = {"done": "undone", "allowed": "failed", "expired": "denied"}
    return _told(row, known.get(state, state), said)


def _told(row: ActionRow, state: Any, said: str) -> Undone:
    names = ("action_id", "action", "target")
    return Undone(**row.model_dump(include=set(names)), state=state, said=said)
