"""How an undo is judged as a whole by what came of each of its effects."""

from __future__ import annotations

import pytest

from roundsman.rules.undoing import judge_undo


@pytest.mark.parametrize(
    ("states", "verdict"),
    [
        (["undone"], "healthy"),
        (["undone", "impossible"], "healthy"),
        (["considered", "impossible"], "healthy"),
        (["impossible"], "degraded"),
        (["undone", "not_kept"], "degraded"),
        (["undone", "waiting"], "degraded"),
        (["undone", "unknown", "waiting"], "unknown"),
        (["undone", "failed"], "failed"),
        (["denied", "unknown"], "failed"),
    ],
)
def test_what_never_can_be_taken_back_is_no_fault(states, verdict):
    assert judge_undo(states) == verdict
