"""What came of taking a run's effects back, and how that is judged as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from roundsman.rules.health import Verdict

# impossible: its kind cannot be taken back. not_kept: nothing was kept that would undo it.
UndoState = Literal[
    "undone",
    "considered",
    "impossible",
    "not_kept",
    "waiting",
    "denied",
    "failed",
    "unknown",
]


def judge_undo(states: Sequence[UndoState]) -> Verdict:
    """healthy when all that can be taken back was, or would be: what never can is no fault.

    failed when something that could be was not, unknown when nobody knows, degraded while a
    person is asked, where nothing had been kept, and where nothing at all could be taken back.
    """
    found = set(states)
    if found & {"failed", "denied"}:
        return "failed"
    if "unknown" in found:
        return "unknown"
    if found & {"waiting", "not_kept"} or not found - {"impossible"}:
        return "degraded"
    return "healthy"
