"""Having the transformation build what is stale, where rule, policy and people allow it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from blocks.transform import Transform
from roundsman.agent import Gap, Run, current, step
from roundsman.errors import (
    BudgetSpent,
    Cancelled,
    Denied,
    Fenced,
    Misread,
    Mistake,
    Refused,
    Unready,
)
from roundsman.permits import Permit, Wish, ask_for
from roundsman.rules.build import BuildResult
from roundsman.rules.help import judge_help
from roundsman.rules.need import Seen
from roundsman.rules.remediation import (
    Limits,
    Mode,
    Occasion,
    Past,
    Remediation,
    judge_radius,
    judge_remediation,
    judge_undone,
    leave_to_source,
    tell_permit,
)
from roundsman.store import actions
from roundsman.store.approvals import Wanted, list_actions
from roundsman.store.records import ActionRow, Judged
from roundsman.store.undone import Undoing, undone
from tasks.approved import let_go
from tasks.notify import Sent

# More than any window of builds holds.
PAST_MAX = 200


class Rebuild(NamedTuple):
    """What would be built, by which transform, and within which limits; None: no transform."""

    transform: Transform | None
    name: str
    selectors: Sequence[str]
    full_refresh: bool
    limits: Limits
    # What the needs are about; where it is a source of the project no build fills it.
    table: str = ""

    @property
    def target(self) -> str:
        """What is built one at a time."""
        return f"transform/{self.name}"


class Asking(NamedTuple):
    """What a build is asked for by: what was seen, what was tried before, and the occasion."""

    seen: Seen
    past: Sequence[Past]
    occasion: Occasion


async def remediate(seen: Seen, rebuild: Rebuild) -> Remediation:
    """Build if what was seen asks for it and everybody allows it; else say why not."""
    run = current()
    past = await asyncio.to_thread(_past, run, rebuild.target)
    judged = judge_remediation(seen, _mode(run), past, rebuild.limits, datetime.now(UTC))
    if judged.occasion is None or rebuild.transform is None:
        run.skip("auto_remediate", judged.said)
    else:
        step_ = build.named("auto_remediate")
        answer = await step_.or_gap(rebuild, judged, Asking(seen, past, judged.occasion))
        judged = _untried(judged, answer) if isinstance(answer, Gap) else answer
    if run.action_id and run.action_id != judged.action_id:
        await asyncio.to_thread(let_go, run, "build", rebuild.target, judged.said)
    return judged


async def tell_help(before: Seen, after: Seen, remediation: Remediation) -> Remediation:
    """Compare what was seen before and after a build, and remember whether it helped."""
    help_ = judge_help(before, after)
    told = Judged(
        action_id=remediation.action_id or "",
        helped=help_.helped,
        said="; ".join(reason.quote for reason in help_.reasons),
    )
    await asyncio.wrap_future(current().tell(actions.judge, told))
    return remediation.model_copy(update={"help": help_, "helped": help_.helped})


def pending(remediation: Remediation, sent: Iterable[Sent]) -> list[dict[str, str]]:
    """What waits for a person's answer after this run."""
    found: list[dict[str, str]] = []
    if remediation.state == "waiting" and remediation.action_id:
        found.append({"action_id": remediation.action_id, "action": "build"})
    found += [{"action_id": one.action_id, "action": "send"} for one in sent if one.action_id]
    return found


@step
def build(rebuild: Rebuild, judged: Remediation, asking: Asking) -> Remediation:
    """Ask for a build by its occasion, and do it where that is allowed now."""
    transform = rebuild.transform
    assert transform is not None
    radius = transform.blast_radius(rebuild.selectors)
    if rebuild.table and transform.is_source(rebuild.table):
        judged = leave_to_source(judged, asking.seen, rebuild.table)
        if judged.occasion is None:
            return judged
    judged = judged.model_copy(update={"blast_radius": radius})
    far = judge_radius(radius, rebuild.limits)
    is_far = radius.size > rebuild.limits.blast_radius_max
    wish = Wish(
        target=rebuild.target,
        occasion=asking.occasion.model_dump(),
        precondition=transform.current_facts(("last_build_at",)),
        context={"blast_radius": radius.size, "environment": transform.environment_name},
        limits=rebuild.limits.for_permit(),
        ask_because=judge_undone(asking.seen, asking.past) or (far if is_far else None),
    )
    arguments = (list(rebuild.selectors), rebuild.full_refresh)
    permit = ask_for(transform.build, wish, *arguments)
    if permit.row is None:
        return judged.model_copy(update={"said": f"{judged.said}; {permit.judged}"})
    if not permit.may_act:
        return tell_permit(judged, permit.key, permit.row.state, permit.said)
    return _act(transform, permit, judged, arguments)


def _act(
    transform: Transform, permit: Permit, judged: Remediation, arguments: tuple[list[str], bool]
) -> Remediation:
    """What became of the build; its trouble is told in the report and ends no run."""
    allowed, built = permit.said, None
    try:
        built = transform.build(*arguments, permit=permit)
        said = f"{built.said}; {allowed}"
    except (Refused, Mistake, Misread, Unready) as error:
        said = str(error)
        result: Any = getattr(error, "result", None)
        built = BuildResult.model_validate(result) if result else None
    except (BudgetSpent, Cancelled, Fenced):
        raise
    except Denied as error:
        said = str(error)
    assert permit.row is not None
    told = tell_permit(judged, permit.key, permit.row.state, said)
    return told.model_copy(update={"build": built})


def _untried(judged: Remediation, gap: Gap) -> Remediation:
    """Nothing was begun, because the project could not even say what a build would reach."""
    return judged.model_copy(update={"reason": "failed", "said": gap.said})


def _mode(run: Run) -> Mode:
    if run.dry_run:
        return "dry_run"
    return "live" if run.may_act else "actions_off"


def _past(run: Run, target: str) -> list[Past]:
    wanted = Wanted(target=target, limit=PAST_MAX)
    rows = list_actions(run.ledger, run.org, wanted)
    builds = [row for row in rows if row.action == "build" and row.claimed_at]
    taken_back = undone(run.ledger, run.org, builds)
    found = [_one_past(row, taken_back.get(row.action_id)) for row in builds]
    return sorted(found, key=lambda past: past.at, reverse=True)


def _one_past(row: ActionRow, taken_back: Undoing | None) -> Past:
    return Past(
        action_id=row.action_id,
        state=row.state,
        at=row.settled_at or row.claimed_at or row.proposed_at,
        helped=(row.result or {}).get("helped"),
        occasion=Occasion.model_validate(row.occasion) if row.occasion else None,
        took_place=actions.took_place(row),
        undone_by=taken_back.said if taken_back else None,
    )
