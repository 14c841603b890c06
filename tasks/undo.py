"""What may be tried again with effects that a person wants taken back."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, cast, get_args

from pydantic import BaseModel, ConfigDict

from blocks.acting import ActingBlock
from blocks.systems import Role, load_system
from roundsman.agent import current, step
from roundsman.errors import Denied, Misread, Mistake, Refused, Unready
from roundsman.permits import Wish, ask_for
from roundsman.store.actions import BY_RUN
from roundsman.store.approvals import Wanted, list_actions
from roundsman.store.records import ActionRow
from roundsman.store.tables import instant_text


class Undone(BaseModel):
    """What became of taking one action back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    action_id: str
    action: str
    target: str
    state: Literal["undone", "impossible", "considered", "waiting", "denied", "failed", "unknown"]
    said: str


@step
def find_done(run_id: str, action_id: str | None) -> list[ActionRow]:
    """What a run did outside, the last first; a Mistake where there is nothing of the kind."""
    run = current()
    wanted = Wanted(run_id=run_id, limit=1_000)
    found = list_actions(run.ledger, run.org, wanted)
    done = [row for row in found if row.state == "done" and row.acting_run == run_id]
    if action_id is not None:
        done = [row for row in done if row.action_id.startswith(action_id.lower())]
    if not done:
        what = f"action '{action_id}' of run" if action_id else "run"
        raise Mistake(
            f"{what} '{run_id}' did nothing outside that is known to be done",
            f"see 'roundsman actions list --run {run_id[:8]}'",
        )
    return sorted(done, key=lambda row: row.claimed_at or row.proposed_at, reverse=True)


@step
def undo_action(row: ActionRow) -> Undone:
    """Take one effect back by a permit of its own, or say plainly why that cannot be."""
    block = _block_of(row)
    method = getattr(block, f"undo_{row.action}", None)
    if method is None or row.undo is None:
        why = block.NO_UNDO.get(row.action, "nothing was kept that would undo it")
        return _told(row, "impossible", f"'{row.action}' on '{row.target}' cannot be undone: {why}")
    wish = Wish(
        target=row.target,
        occasion={"undo_of": row.action_id},
        context={"person": current().is_persons},
        undoes=row.action_id,
    )
    kept = row.undo | {"done_at": instant_text(_done_at(row))}
    permit = ask_for(method, wish, kept)
    if permit.row is None:
        return _told(row, "considered", permit.said)
    if not permit.may_act:
        return _standing(row, permit.state, permit.said)
    try:
        said = method(kept, permit=permit)
    except Denied as error:
        return _told(row, "denied", str(error))
    except (Refused, Mistake) as error:
        return _told(row, "failed", str(error))
    except (Unready, Misread) as error:
        return _standing(row, permit.state, str(error))
    return _told(row, "undone", str(said))


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
