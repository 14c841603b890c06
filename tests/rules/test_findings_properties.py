"""What holds for findings whatever is seen, not seen, muted, acknowledged and told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from roundsman.errors import Mistake
from roundsman.rules.finding import Change, Finding, Look, acknowledge, mute, unmute
from roundsman.rules.maintenance import Once
from tests.rules.lives import NOW, Life, stale

ACTS: dict[str, Callable[[Finding, datetime], Finding]] = {
    "nothing": lambda finding, _: finding,
    "acknowledge": lambda finding, at: acknowledge(finding, "ada", None, at),
    "mute": lambda finding, at: mute(finding, at + timedelta(hours=10), ("ada", None), at),
    "unmute": unmute,
}
SEVERITIES = st.sampled_from(["high", "medium", "low", "info"])
STEPS = st.lists(
    st.tuples(
        st.one_of(st.none(), SEVERITIES),
        st.booleans(),
        st.sampled_from(sorted(ACTS)),
        st.floats(min_value=0.25, max_value=30),
    ),
    max_size=25,
)


Followed = tuple[dict[str, Finding], Look, list[Change]]


def follow(life: Life, steps: Any) -> Iterator[Followed]:
    """Live through the steps; give what was known before each look, the look and its changes."""
    for severity, could_look, act, hours in steps:
        for finding in list(life.known.values()):
            with suppress(Mistake):
                life.edit(ACTS[act](finding, life.at))
        before = dict(life.known)
        looked = frozenset({"freshness"} if could_look else ())
        seen = [stale(severity)] if severity and could_look else []
        look = life.look(*seen, hours=hours, looked=looked)
        changes = life.judge(look)
        yield before, look, changes
        life.tell(changes)


@given(STEPS, st.integers(min_value=1, max_value=3))
def test_a_run_that_could_not_look_never_resolves_anything(steps: Any, good_runs: int) -> None:
    life = Life(good_runs=good_runs)
    for before, look, changes in follow(life, steps):
        if not look.looked:
            assert [(c.before, c.after) for c in changes] == [(c.after, c.after) for c in changes]
            assert before == life.known


@given(STEPS)
def test_every_opening_worsening_and_end_is_told_at_most_once(steps: Any) -> None:
    life, news, messages = Life(), list[str](), list[str]()
    for _, _, changes in follow(life, steps):
        news += [c.change for c in changes if c.change in ("opened", "reopened", "resolved")]
        news += ["worsened" for c in changes if c.change == "worsened"]
        messages += [str(c.event) for c in changes if c.tell]
        openings = news.count("opened") + news.count("reopened")
        told_openings = messages.count("opened") + messages.count("reopened")
        assert told_openings <= openings
        assert messages.count("resolved") <= news.count("resolved")
        assert messages.count("worsened") <= news.count("worsened")
        assert len(messages) <= len(news)


@given(STEPS)
def test_people_hear_of_a_problem_before_they_hear_that_it_is_over(steps: Any) -> None:
    life, is_known = Life(), False
    for before, _, changes in follow(life, steps):
        for change in changes:
            took_on = any(item.acknowledged_at for item in before.values())
            if change.tell and change.event == "resolved":
                assert is_known or took_on
            if change.tell:
                is_known = change.event != "resolved"


@given(STEPS, st.booleans())
def test_nothing_muted_or_in_maintenance_or_informational_is_told(
    steps: Any, in_maintenance: bool
) -> None:
    window = Once(since=NOW, until=NOW + timedelta(days=9999))
    life = Life(remind_hours=1, **({"windows": (window,)} if in_maintenance else {}))
    for before, look, changes in follow(life, steps):
        for change in changes:
            muted = any(item.is_muted(look.at) for item in before.values())
            if muted or in_maintenance:
                assert not change.tell
            if change.after.severity == "info" and change.tell:
                assert change.event == "resolved"


@given(STEPS)
def test_whoever_is_told_everything_knows_in_the_end_how_it_stands(steps: Any) -> None:
    """Without mutes, what was heard last is what is the case."""
    life = Life()
    calm = [(severity, look, "nothing", hours) for severity, look, _, hours in steps]
    for _ in follow(life, calm):
        pass
    for finding in life.known.values():
        if finding.state == "resolved":
            assert finding.told_event in (None, "resolved")
        elif finding.severity != "info":
            assert finding.told_event in ("opened", "reopened", "worsened")
        assert finding.untold is None


@given(STEPS, st.lists(st.integers(min_value=0, max_value=24), max_size=8))
def test_looks_that_come_again_or_late_change_nothing(steps: Any, again: list[int]) -> None:
    life = Life()
    looks = [look for _, look, _ in follow(life, steps)]
    known = dict(life.known)
    for index in again:
        if index < len(looks) and life.known:
            life.judge(looks[index])
    assert life.known == known


@given(STEPS)
def test_severity_and_state_are_those_of_the_last_look_that_could_tell(steps: Any) -> None:
    life, last = Life(), None
    for _, look, _ in follow(life, steps):
        last = look if look.looked else last
    for finding in life.known.values():
        assert last is not None
        assert (finding.state == "resolved") is (not last.seen)
        if last.seen:
            assert finding.severity == last.seen[0].severity
