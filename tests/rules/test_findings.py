"""A finding opens, worsens, is resolved and comes back; each is news once, or says why not."""

from __future__ import annotations

from datetime import timedelta

import pytest

from roundsman.errors import Mistake
from roundsman.rules.finding import acknowledge, fingerprint, mute, unmute
from roundsman.rules.findings import judge_look
from roundsman.rules.maintenance import Once
from roundsman.rules.reasons import Reason
from tests.rules.lives import NOW, TOLD, Life, stale, told


def test_a_finding_opens_at_first_sight_and_is_told_once() -> None:
    life = Life()
    [opened] = life.see(stale())
    assert (opened.change, opened.before, opened.tell, opened.event) == (
        *("opened", None, True, "opened"),
    )
    assert life.one.opened_run == life.one.last_run == "run-1"
    assert (life.one.owner, life.one.channel) == ("data team", "ops")
    for times in (2, 3):
        assert told(life.see(stale())) == [("seen", False, None)]
        assert life.one.times_seen == times
    assert life.one.opened_at == NOW + timedelta(hours=1)
    assert life.one.last_seen_at == NOW + timedelta(hours=3)


@pytest.mark.parametrize(
    ("first", "second", "change", "tells"),
    [
        ("low", "medium", "worsened", True),
        ("medium", "high", "worsened", True),
        ("high", "low", "eased", False),
        ("high", "info", "eased", False),
        ("medium", "medium", "seen", False),
    ],
)
def test_a_severity_that_rises_is_news_and_one_that_falls_is_not(
    first: str, second: str, change: str, tells: bool
) -> None:
    life = Life()
    life.see(stale(first))
    assert told(life.see(stale(second))) == [(change, tells, None)]
    assert life.one.severity == second
    assert life.one.state == "open"


@pytest.mark.parametrize("good_runs", [1, 2, 3])
def test_a_finding_is_resolved_after_so_many_good_runs_in_a_row(good_runs: int) -> None:
    life = Life(good_runs=good_runs)
    life.see(stale())
    for _ in range(good_runs - 1):
        assert told(life.see()) == [("good", False, None)]
    life.see(stale())
    for _ in range(good_runs - 1):
        assert told(life.see()) == [("good", False, None)]
    [change] = life.see()
    assert (change.change, change.tell, change.event) == ("resolved", True, "resolved")
    assert (life.one.state, life.one.resolved_at) == ("resolved", life.at)
    assert life.see() == []


def test_two_looks_of_one_run_are_one_good_run_and_one_sight() -> None:
    life = Life(good_runs=2)
    life.see(stale(), run="a")
    life.see(stale(), run="a")
    assert life.one.times_seen == 1
    life.see(run="b")
    assert told(life.see(run="b")) == [("good", False, None)]
    assert told(life.see(run="c")) == [("resolved", True, None)]


def test_what_comes_back_is_the_same_finding_reopened() -> None:
    life = Life()
    life.see(stale())
    first = life.one
    life.see()
    [again] = life.see(stale())
    assert (again.change, again.tell, again.event) == ("reopened", True, "reopened")
    assert (life.one.fingerprint, life.one.reopened, life.one.state) == (
        *(first.fingerprint, 1, "open"),
    )
    assert life.one.resolved_at is None
    assert life.one.first_seen_at == first.opened_at < life.one.opened_at


def test_a_run_that_did_not_look_changes_nothing_and_is_no_good_run() -> None:
    life = Life(good_runs=2)
    life.see(stale())
    life.see()
    before = life.one
    assert life.see(looked=frozenset({"parity"})) == []
    assert life.one == before
    assert told(life.see()) == [("resolved", True, None)]


def test_only_the_subject_that_was_looked_at_is_found_gone() -> None:
    life = Life()
    life.see(stale(kind="dbt_node", subject="orders"), stale(kind="dbt_node", subject="users"))
    [change] = life.see(looked=frozenset({"dbt_node:users", "dbt_node:other"}))
    assert (change.change, change.after.subject) == ("resolved", "users")


def test_a_run_that_looked_at_something_else_under_the_same_name_finds_nothing_gone() -> None:
    life = Life()
    life.see(stale(), scope="14 days")
    assert life.see(scope="1 day") == []
    life.see(stale(), scope="1 day")
    assert told(life.see(scope="14 days")) == [("resolved", True, None)]
    life.see(stale(), scope="1 day")
    assert life.see(scope="14 days") == []


def test_findings_of_another_round_are_left_alone() -> None:
    life = Life()
    life.see(stale())
    other = life.look().model_copy(update={"round": None})
    assert judge_look([life.one], other, TOLD) == []


def test_an_older_look_or_the_same_one_again_changes_nothing() -> None:
    life = Life()
    first, second = life.look(stale()), life.look()
    life.tell(life.judge(first))
    life.tell(life.judge(second))
    after = life.one
    assert after.state == "resolved"
    assert life.judge(first) == life.judge(second) == []
    assert life.one == after


def test_a_look_that_was_recorded_but_not_told_gives_again_what_is_to_be_told() -> None:
    life = Life()
    look = life.look(stale())
    [first] = life.judge(look)
    [again] = life.judge(look)
    assert (again.change, again.tell, again.before) == ("opened", True, again.after)
    assert again.occasion == first.occasion
    assert life.one == first.after


def test_what_another_run_saw_later_is_that_runs_to_tell() -> None:
    life = Life()
    early, late = life.look(stale()), life.look(stale())
    assert [change.tell for change in life.judge(late)] == [True]
    assert life.judge(early) == []


def test_what_a_killed_run_did_not_tell_is_told_by_the_next_one() -> None:
    life = Life()
    life.judge(life.look(stale()))
    [change] = life.see(stale())
    assert (change.change, change.tell, change.event) == ("seen", True, "opened")
    assert told(life.see(stale())) == [("seen", False, None)]
    life.judge(life.look())
    [change] = life.see()
    assert (change.tell, change.event) == (True, "resolved")


def test_a_finding_that_the_killed_run_only_knew_is_told_as_resolved() -> None:
    life = Life()
    life.judge(life.look(stale()))
    [change] = life.see()
    assert (change.change, change.tell, change.event) == ("resolved", True, "resolved")


def test_an_acknowledged_finding_is_reminded_of_no_more_but_its_end_is_news() -> None:
    life = Life(remind_hours=2)
    life.see(stale())
    life.edit(acknowledge(life.one, "ada", "on it", life.at))
    assert told(life.see(stale(), hours=5)) == [("seen", False, "acknowledged by ada")]
    assert life.one.state == "acknowledged"
    assert told(life.see()) == [("resolved", True, None)]


def test_a_finding_that_worsens_is_acknowledged_no_longer() -> None:
    life = Life()
    life.see(stale("low"))
    life.edit(acknowledge(life.one, "ada", None, life.at))
    assert told(life.see(stale("medium"))) == [("worsened", True, None)]
    assert (life.one.state, life.one.acknowledged_by) == ("open", None)


def test_whoever_acknowledged_before_anybody_was_told_hears_the_end() -> None:
    life = Life()
    life.judge(life.look(stale()))
    life.edit(acknowledge(life.one, "ada", None, life.at))
    assert told(life.see(stale())) == [("seen", False, None)]
    assert told(life.see()) == [("resolved", True, None)]


@pytest.mark.parametrize("state", ["acknowledged", "resolved"])
def test_only_an_open_finding_is_acknowledged(state: str) -> None:
    life = Life()
    life.see(stale())
    if state == "resolved":
        life.see()
    else:
        life.edit(acknowledge(life.one, "ada", None, life.at))
    with pytest.raises(Mistake, match=state):
        acknowledge(life.one, "bob", None, life.at)


def test_reminders_come_by_setting_and_not_oftener() -> None:
    life = Life()
    life.see(stale())
    assert told(life.see(stale(), hours=1000)) == [("seen", False, None)]
    life = Life(remind_hours=24)
    life.see(stale())
    assert told(life.see(stale(), hours=23)) == [("seen", False, None)]
    assert told(life.see(stale(), hours=1)) == [("reminder", True, None)]
    assert told(life.see(stale(), hours=23)) == [("seen", False, None)]
    assert told(life.see(stale(), hours=1)) == [("reminder", True, None)]


def test_what_opened_while_muted_is_told_when_the_mute_ends_if_it_is_still_open() -> None:
    life = Life()
    life.see(stale("low"))
    life.edit(mute(life.one, life.at + timedelta(hours=3), ("ada", "moving"), life.at))
    [worse] = life.see(stale("high"))
    assert (worse.change, worse.tell) == ("worsened", False)
    assert worse.why_silent == life.one.why_silent == "muted until 2026-11-21 04:00 UTC"
    assert life.see(stale("high"))[0].tell is False
    [late] = life.see(stale("high"))
    assert (late.change, late.tell, late.event) == ("seen", True, "worsened")
    assert told(life.see(stale("high"))) == [("seen", False, None)]


def test_what_eased_again_while_muted_is_no_news() -> None:
    life = Life()
    life.see(stale("low"))
    life.edit(mute(life.one, life.at + timedelta(hours=3), ("ada", None), life.at))
    life.see(stale("high"))
    life.see(stale("low"))
    assert told(life.see(stale("low"), hours=9)) == [("seen", False, None)]


def test_what_opened_and_ended_in_a_maintenance_window_is_never_told() -> None:
    window = Once(since=NOW, until=NOW + timedelta(hours=10))
    life = Life(windows=(window,))
    [opened] = life.see(stale())
    assert str(opened.why_silent).startswith("maintenance window: 2026-11-21T00:00")
    assert told(life.see()) == [("resolved", False, "nobody was told that it opened")]
    assert life.see(hours=20) == []


def test_what_people_heard_of_and_ended_while_muted_is_told_later_even_by_a_gap() -> None:
    life = Life()
    life.see(stale())
    life.edit(mute(life.one, life.at + timedelta(hours=3), ("ada", None), life.at))
    [ended] = life.see()
    assert (ended.change, ended.tell, ended.event) == ("resolved", False, "resolved")
    [late] = life.see(looked=frozenset(), hours=9)
    assert (late.tell, late.event) == (True, "resolved")
    assert life.see() == []


def test_without_a_channel_nobody_is_told_until_there_is_one() -> None:
    life = Life(channel=None)
    assert told(life.see(stale())) == [("opened", False, "no channel")]
    assert told(life.see()) == [("resolved", False, "no channel")]
    life.see(stale())
    life.rules = TOLD
    [late] = life.see(stale())
    assert (late.tell, late.event) == (True, "reopened")


def test_an_informational_finding_is_recorded_and_never_told() -> None:
    life = Life()
    assert told(life.see(stale("info"))) == [("opened", False, "informational")]
    assert told(life.see(stale("info"))) == [("seen", False, None)]
    assert told(life.see()) == [("resolved", False, "informational")]


def test_what_was_informational_and_rises_opens_for_those_who_are_told() -> None:
    life = Life()
    life.see(stale("info"))
    [change] = life.see(stale("high"))
    assert (change.change, change.tell, change.event) == ("worsened", True, "opened")


def test_a_reopened_finding_that_is_merely_informational_still_ends_for_those_who_heard() -> None:
    life = Life()
    life.see(stale("high"))
    life.see(stale("info"))
    assert told(life.see()) == [("resolved", True, None)]


def test_what_is_seen_twice_in_one_look_counts_as_the_worse_with_all_reasons() -> None:
    one, two = (Reason(signal=signal, value=1, quote=signal) for signal in "ab")
    life = Life()
    life.see(
        stale("low").model_copy(update={"reasons": (one,)}),
        stale("high").model_copy(update={"reasons": (two,)}),
    )
    assert (life.one.severity, life.one.reasons) == ("high", (one, two))


def test_a_finding_keeps_a_bounded_number_of_words_and_reasons() -> None:
    reason = Reason(signal="s", value=1, quote="q")
    life = Life()
    life.see(stale().model_copy(update={"said": "x" * 9_999, "reasons": (reason,) * 99}))
    assert (len(life.one.said), len(life.one.reasons)) == (2_000, 20)


@pytest.mark.parametrize("hours", [0, -1, 24 * 367])
def test_a_mute_lies_in_the_near_future(hours: float) -> None:
    life = Life()
    life.see(stale())
    with pytest.raises(Mistake, match="at most 366 days"):
        mute(life.one, life.at + timedelta(hours=hours), ("ada", None), life.at)


def test_a_mute_is_taken_back() -> None:
    life = Life()
    life.see(stale("low"))
    with pytest.raises(Mistake, match="is not muted"):
        unmute(life.one, life.at)
    life.edit(mute(life.one, life.at + timedelta(hours=9), ("ada", "moving"), life.at))
    life.see(stale("high"))
    life.edit(unmute(life.one, life.at))
    assert (life.one.muted_until, life.one.muted_by, life.one.mute_reason) == (None, None, None)
    [change] = life.see(stale("high"))
    assert (change.tell, change.event) == (True, "worsened")


def test_no_two_problems_share_a_fingerprint() -> None:
    names = [("a", "bc", "d"), ("ab", "c", "d"), ("a", "b", "cd"), ("a", "bc1:d", ""), ("", "", "")]
    prints = {fingerprint("x", round_, *rest[1:]) for round_, *rest in [(None, *n) for n in names]}
    prints |= {fingerprint(one, two, three, "s") for one, two, three in names}
    prints |= {fingerprint("x", None, "k", "s"), fingerprint("x", "", "k", "s")}
    prints |= {fingerprint("x", "-", "k", "s")}
    assert len(prints) == len({*(n[1:] for n in names)}) + len(names) + 3
    assert all(len(name) == 16 and set(name) <= set("0123456789abcdef") for name in prints)


def test_of_what_only_dry_runs_saw_nobody_hears_the_end() -> None:
    life = Life()
    for _ in range(2):
        [seen] = life.judge(life.look(stale(), tells=False))
        assert (seen.tell, seen.after.why_silent) == (True, "a dry run tells nobody")
    assert told(life.see()) == [("resolved", False, "nobody was told that it opened")]


def test_what_a_dry_run_saw_first_is_told_by_the_next_live_one() -> None:
    life = Life()
    life.judge(life.look(stale(), tells=False))
    [opened] = life.see(stale())
    assert (opened.tell, opened.event, opened.after.why_silent) == (True, "opened", None)
    life.judge(life.look(stale(), tells=False))
    [gone] = life.see()
    assert (gone.change, gone.tell, gone.event) == ("resolved", True, "resolved")
