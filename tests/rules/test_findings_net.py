"""Several looks of one run come to one change of each finding, and to one message at most."""

from __future__ import annotations

import pytest

from roundsman.rules.finding import Change
from roundsman.rules.findings import net_changes
from tests.rules.lives import Life, stale


def test_what_opened_and_was_resolved_within_one_run_is_told_once() -> None:
    life = Life()
    changes = [*life.judge(life.look(stale(), run="a")), *life.judge(life.look(run="a"))]
    [net] = net_changes(changes)
    assert (net.change, net.tell, net.event) == ("resolved", True, "resolved")
    assert net.before is not None
    assert (net.before.state, net.before.severity) == ("open", "high")
    life.tell([net])
    assert life.see() == []


@pytest.mark.parametrize(
    ("looks", "net"),
    [
        (["high", "high"], ("opened", True, "opened")),
        (["low", "high"], ("opened", True, "opened")),
        (["low", "high", None], ("resolved", True, "resolved")),
        (["high", None, "high"], ("reopened", True, "reopened")),
        (["info", "info"], ("opened", False, None)),
        (["info", None], ("resolved", False, None)),
    ],
)
def test_several_looks_of_one_run_come_to_one_change(
    looks: list[str | None], net: tuple[str, bool, str | None]
) -> None:
    life, changes = Life(), list[Change]()
    for severity in looks:
        changes += life.judge(life.look(*([stale(severity)] if severity else []), run="a"))
    [change] = net_changes(changes)
    assert (change.change, change.tell, change.event) == net
    assert change.after == life.one


@pytest.mark.parametrize(
    ("before", "looks", "net", "tell"),
    [
        ("high", ["high", None], "resolved", True),
        ("high", ["high", "high"], "seen", False),
        ("low", ["high", "high"], "worsened", True),
        ("low", ["high", "low"], "eased", False),
        ("high", ["low", "low"], "eased", False),
    ],
)
def test_a_finding_that_was_known_changes_once_over_the_looks_of_a_run(
    before: str, looks: list[str | None], net: str, tell: bool
) -> None:
    life, changes = Life(), list[Change]()
    life.see(stale(before))
    known = life.one
    for severity in looks:
        changes += life.judge(life.look(*([stale(severity)] if severity else []), run="a"))
    [change] = net_changes(changes)
    assert (change.change, change.tell, change.before) == (net, tell, known)


def test_changes_of_different_findings_stay_apart() -> None:
    life = Life()
    changes = life.judge(life.look(stale(), stale(subject="other"), run="a"))
    changes += life.judge(life.look(stale(subject="other"), run="a"))
    assert sorted(change.change for change in net_changes(changes)) == ["opened", "resolved"]
