"""What would stored decisions have been under another policy, and which of them flip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from roundsman.rules.approval import Decision, Frozen, Policy, Request, Verdict, decide

FLIPS_KEPT_MAX = 10_000


class StoredDecision(NamedTuple):
    """One action that was considered, and what policy said then.

    `request` and `verdict` are None where the run was erased or the event does not say them whole.
    `action_id` is empty in a dry run, of which no permit was made.
    """

    seq: int
    run_id: str
    at: datetime
    action_id: str = ""
    request: Request | None = None
    verdict: Verdict | None = None
    rule_id: str = ""


class Flip(Frozen):
    """One decision that would be another one."""

    seq: int
    run_id: str
    action_id: str
    at: datetime
    agent: str
    action: str
    target: str
    old: Verdict
    new: Verdict
    old_rule: str
    new_rule: str
    reasons: tuple[str, ...]


class Simulation(Frozen):
    """How the decisions fall out; `counts` is by `old->new`, `flips` holds the first ones only."""

    compared: int
    not_comparable: int
    counts: dict[str, int]
    flips_total: int
    flips: tuple[Flip, ...]


def simulate(
    policy: Policy, decisions: Iterable[StoredDecision], flips_max: int = 100
) -> Simulation:
    """Decide all anew, each at its own time; every flip is counted, `flips_max` are told."""
    most = min(flips_max, FLIPS_KEPT_MAX)
    counts: Counter[str] = Counter()
    flips: list[Flip] = []
    blind = 0
    for stored in decisions:
        if stored.request is None or stored.verdict is None:
            blind += 1
            continue
        decision = decide(policy, stored.request, stored.at)
        counts[f"{stored.verdict}->{decision.verdict}"] += 1
        if decision.verdict != stored.verdict and len(flips) < most:
            flips.append(_flip(stored, stored.request, stored.verdict, decision))
    return Simulation(
        compared=counts.total(),
        not_comparable=blind,
        counts=dict(sorted(counts.items())),
        flips_total=sum(n for change, n in counts.items() if _is_flip(change)),
        flips=tuple(flips),
    )


def _is_flip(change: str) -> bool:
    old, _, new = change.partition("->")
    return old != new


def _flip(stored: StoredDecision, request: Request, old: Verdict, decision: Decision) -> Flip:
    return Flip(
        **request.model_dump(include={"agent", "action", "target"}),
        **{name: getattr(stored, name) for name in ("seq", "run_id", "action_id", "at")},
        old=old,
        new=decision.verdict,
        old_rule=stored.rule_id,
        new_rule=decision.rule_id,
        reasons=tuple(reason.quote for reason in decision.reasons),
    )
