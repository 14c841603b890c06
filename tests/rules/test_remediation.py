"""When a build is wanted, when it may be asked for, and what is said when it may not."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from roundsman.rules.build import BlastRadius
from roundsman.rules.freshness import judge_freshness
from roundsman.rules.help import judge_help
from roundsman.rules.need import Seen, needs, standing
from roundsman.rules.parity import DayParity, ParityVerdict
from roundsman.rules.pulse import NodeResult, PulseReading, SourceFreshness, judge_pulse
from roundsman.rules.reasons import Reason
from roundsman.rules.remediation import (
    Limits,
    Occasion,
    Past,
    Remediation,
    judge_radius,
    judge_remediation,
    judge_undone,
    leave_to_source,
    tell_permit,
)
from roundsman.rules.windows import Newest

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
BUILT = NOW - timedelta(hours=6)
LIMITS = Limits()


def parity(status: str = "ok", apart: int = 40) -> ParityVerdict:
    bad = DayParity(date=date(2026, 11, 20), es_count=400, bq_count=400 - apart, difference=apart)
    because = Reason(signal="day_differs", value=apart, quote=f"{apart} rows apart")
    return ParityVerdict(
        status=status,  # pyright: ignore
        es_count=400,
        bq_count=400 - apart,
        difference=apart,
        difference_percent=apart / 4,
        threshold_percent=5.0,
        min_difference=10,
        daily_breakdown=() if status in ("ok", "unknown") else (bad,),
        reasons=() if status == "ok" else (because,),
    )


def ages(search: float | None = 3, warehouse: float | None = 3) -> Any:
    def newest(minutes: float | None) -> Newest | None:
        return None if minutes is None else Newest(NOW - timedelta(minutes=minutes), "query")

    return judge_freshness(newest(search), newest(warehouse), NOW, 30)


def pulse(*failed: str, hours: float | None = 6, source: str = "pass") -> Any:
    nodes = tuple(
        NodeResult(name=name.split(".")[1], kind=name.split(".")[0], status="error")  # pyright: ignore
        for name in failed
    )
    ran_at = None if hours is None else NOW - timedelta(hours=hours)
    sources = (SourceFreshness(name="crm.customers", status=source),)  # pyright: ignore
    reading = PulseReading(ran_at=ran_at, command="build", nodes=nodes, sources=sources)
    return judge_pulse(reading, NOW, 26)


def seen(**changes: Any) -> Seen:
    given = {"parity": parity(), "freshness": ages(), "pulse": pulse()} | changes
    return Seen(**given)


STALE = seen(freshness=ages(warehouse=300))


def build(minutes_ago: float, state: str = "done", **more: Any) -> Past:
    at = NOW - timedelta(minutes=minutes_ago)
    return Past(action_id=f"{state}0123456789", state=state, at=at, **more)  # pyright: ignore


def judged(what: Seen = STALE, mode: str = "live", *past: Past, **limits: Any) -> Remediation:
    return judge_remediation(what, mode, past, Limits(**limits), NOW)  # pyright: ignore


@pytest.mark.covers("A-043", "A-045", "G-A2")
@pytest.mark.parametrize(
    ("what", "wanted"),
    [
        (seen(), ()),
        (seen(parity=parity("unknown"), freshness=ages(None, None)), ()),
        (seen(parity=parity("degraded")), ("parity_bad",)),
        (seen(parity=parity("failed")), ("parity_bad",)),
        (STALE, ("freshness_bad",)),
        (seen(pulse=pulse("model.mails")), ("dbt_bad",)),
        (seen(pulse=pulse("snapshot.mails")), ("dbt_bad",)),
        (seen(pulse=pulse(hours=26.5)), ("dbt_bad",)),
        (seen(pulse=pulse(hours=26)), ()),
        (seen(pulse=pulse("test.unique_id")), ()),
        (seen(pulse=pulse(source="error")), ()),
        (seen(pulse=pulse(hours=None)), ()),
        (seen(freshness=ages(search=300)), ()),
        (
            seen(parity=parity("degraded"), freshness=ages(3, 300), pulse=pulse("seed.zones")),
            ("parity_bad", "freshness_bad", "dbt_bad"),
        ),
        # Both sides late alike: nothing has arrived that a build could bring.
        (seen(freshness=ages(300, 300)), ()),
        (seen(freshness=ages(300, 330)), ()),
        (seen(freshness=ages(300, 331)), ("freshness_bad",)),
        (seen(freshness=ages(None, 300)), ("freshness_bad",)),
        (seen(parity=parity("degraded"), freshness=ages(300, 300)), ("parity_bad",)),
    ],
)
def test_what_asks_for_a_build(what: Seen, wanted: tuple[str, ...]) -> None:
    told = judged(what)
    assert told.needed_for == wanted == tuple(needs(what))
    assert told.reason == (wanted[0] if wanted else "not_needed")
    assert (told.occasion is not None) is bool(wanted)
    assert told.triggered is False


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (seen(pulse=pulse(source="error")), "'crm.customers' is stale: no build loads a source"),
        (seen(pulse=pulse("test.unique_id")), "test 'unique_id' ended as error: its rows need"),
        (seen(freshness=ages(search=300)), "no build fills the search"),
    ],
)
def test_what_no_build_heals_is_said(what: Seen, said: str) -> None:
    told = judged(what)
    assert said in told.said
    assert [reason.signal for reason in told.reasons] == ["not_by_build"]


def test_where_both_sides_are_silent_it_says_why_it_does_not_build() -> None:
    told = judged(seen(freshness=ages(300, 301)))
    assert (told.reason, told.occasion) == ("not_needed", None)
    assert "no build fills the search" in told.said
    assert "the search has nothing newer, and no build brings rows" in told.said


def test_a_table_that_is_a_source_is_not_built_for() -> None:
    told = leave_to_source(judged(), STALE, "raw.emails")
    assert (told.reason, told.needed_for, told.occasion) == ("not_needed", (), None)
    assert "'raw.emails' is a source of the dbt project, which no build loads" in told.said
    both = seen(freshness=ages(warehouse=300), pulse=pulse("model.mails"))
    told = leave_to_source(judged(both), both, "raw.emails")
    assert (told.reason, told.needed_for) == ("dbt_bad", ("dbt_bad",))
    assert told.occasion is not None
    assert "which no build loads" in " ".join(reason.quote for reason in told.reasons)
    dry = leave_to_source(judged(both, "dry_run"), both, "raw.emails")
    assert (dry.reason, dry.needed_for) == ("dry_run", ("dbt_bad",))


def test_a_build_that_never_was_is_not_rationed_but_its_try_is_counted() -> None:
    never = build(5, "failed", took_place=False)
    told = judged(STALE, "live", never, per_window=1, unhelpful_max=1)
    assert told.reason == "freshness_bad"
    # Another permit than the one whose fate is known.
    assert told.occasion == Occasion(watermark=BUILT.isoformat(), attempt=2)


def test_after_somebody_undid_a_build_a_person_is_asked_until_a_build_is_made() -> None:
    undone = build(60, undone_by="ada (run 0e0e9f5c)")
    reason = judge_undone(STALE, [undone])
    assert reason is not None
    assert "was undone by ada (run 0e0e9f5c)" in reason.quote
    assert judge_undone(STALE, []) is judge_undone(STALE, [build(60)]) is None
    # A newer one of ours, or somebody else's, is the one that counts.
    assert judge_undone(STALE, [build(30), undone]) is None
    assert judge_undone(STALE, [build(500, undone_by="ada")]) is None
    # One that is asked for since, or that never was, changes nothing.
    since = [build(5, "waiting"), build(6, "failed", took_place=False), undone]
    assert judge_undone(STALE, since) == reason


@pytest.mark.parametrize(
    ("mode", "said"), [("dry_run", "this is a dry run"), ("actions_off", "allow_actions")]
)
def test_what_may_not_act_says_what_it_would_do(mode: str, said: str) -> None:
    told = judged(STALE, mode)
    assert (told.reason, told.triggered) == (mode, False)
    assert said in told.said
    assert "the newest row of the warehouse is 300.0 minutes old" in told.said
    assert told.occasion is not None
    hindered = judged(STALE, mode, build(5))
    assert (hindered.reason, hindered.occasion) == (mode, None)
    assert "otherwise: the last build ended 5.0 minutes ago, 30 must pass" in hindered.said


def test_without_a_project_nothing_can_be_built() -> None:
    told = judged(seen(parity=parity("failed"), pulse=None))
    assert (told.reason, told.occasion) == ("no_transform", None)
    assert "is not named" in told.said
    unread = judged(seen(parity=parity("failed"), pulse=judge_pulse(None, NOW, 26)))
    assert (unread.reason, unread.occasion) == ("no_transform", None)
    assert "could not be read" in unread.said


@pytest.mark.parametrize(
    ("past", "limits", "reason", "said"),
    [
        ((build(29.9),), {}, "cooling_down", "ended 29.9 minutes ago, 30 must pass"),
        ((build(30),), {}, "freshness_bad", ""),
        ((build(5),), {"cool_down_minutes": 0}, "freshness_bad", ""),
        ((build(5, "failed"),), {}, "cooling_down", ""),
        ((build(5, "waiting"),), {}, "freshness_bad", ""),
        ((build(5, undone_by="ada"),), {}, "freshness_bad", ""),
        ((build(5, undone_by="ada"), build(20)), {}, "cooling_down", "ended 20.0 minutes ago"),
        ((build(5, "denied"),), {}, "freshness_bad", ""),
        ((build(5, "attempting"),), {}, "running", "still at it: one at a time"),
        ((build(100, "unknown"),), {}, "unknown", "roundsman actions settle"),
        (tuple(build(60 * n) for n in (1, 2, 3)), {}, "window_full", "after 2026-11-22 09:00 UTC"),
        (tuple(build(60 * n) for n in (1, 2)), {}, "freshness_bad", ""),
        (tuple(build(60 * n) for n in (1, 2, 24)), {}, "freshness_bad", ""),
        ((build(60),), {"per_window": 1}, "window_full", "1 builds in 24 hours, 1 are allowed"),
    ],
)
def test_builds_are_rationed_and_the_numbers_are_told(
    past: tuple[Past, ...], limits: dict[str, int], reason: str, said: str
) -> None:
    told = judged(STALE, "live", *past, **limits)
    assert told.reason == reason
    assert said in told.said
    assert (told.occasion is None) is (reason != "freshness_bad")


UNHELPFUL = {"helped": False}


@pytest.mark.parametrize(
    ("past", "reason"),
    [
        ((build(60, **UNHELPFUL),), "freshness_bad"),
        ((build(60, **UNHELPFUL), build(120, **UNHELPFUL)), "needs_person"),
        ((build(60, "failed"), build(120, **UNHELPFUL)), "needs_person"),
        ((build(60, **UNHELPFUL), build(120, "failed")), "needs_person"),
        ((build(60, **UNHELPFUL), build(120, helped=True)), "freshness_bad"),
        ((build(60, helped=True), build(120, **UNHELPFUL)), "freshness_bad"),
        # One of which nothing is known neither counts nor ends the row.
        ((build(60), build(120, **UNHELPFUL), build(180, **UNHELPFUL)), "needs_person"),
        # Since those of weeks ago somebody else has built.
        ((build(60_000, **UNHELPFUL), build(61_000, **UNHELPFUL)), "freshness_bad"),
    ],
)
def test_after_builds_that_did_not_help_a_person_is_needed(
    past: tuple[Past, ...], reason: str
) -> None:
    told = judged(STALE, "live", *past, per_window=9)
    assert told.reason == reason
    if reason == "needs_person":
        assert "2 builds in a row did not help" in told.said
        assert "a person is needed" in told.said


def test_a_build_by_somebody_else_begins_the_count_anew() -> None:
    in_vain = (build(400, **UNHELPFUL), build(500, **UNHELPFUL))
    before = seen(freshness=ages(warehouse=300), pulse=pulse(hours=400 / 60))
    after = seen(freshness=ages(warehouse=300), pulse=pulse(hours=390 / 60))
    assert judged(before, "live", *in_vain).reason == "needs_person"
    assert judged(after, "live", *in_vain).reason == "freshness_bad"


def test_the_occasion_stays_until_a_build_ends_or_a_try_of_ours_does() -> None:
    first = Occasion(watermark=BUILT.isoformat(), attempt=1)
    assert judged().occasion == first
    assert judged(STALE, "live", build(10, "waiting"), build(11, "denied")).occasion == first
    # A build that failed before dbt left results: same watermark, another try.
    assert judged(STALE, "live", build(40, "failed")).occasion == first.model_copy(
        update={"attempt": 2}
    )
    # One before the last build belongs to an older watermark.
    assert judged(STALE, "live", build(500)).occasion == first
    never = seen(parity=parity("degraded"), pulse=pulse(hours=None))
    assert judged(never).occasion == Occasion(watermark=None, attempt=1)


def test_a_lost_answer_is_asked_for_by_the_same_permit_and_holds_up_every_other() -> None:
    mine = judged().occasion
    again = judged(STALE, "live", build(5, "unknown", occasion=mine), per_window=1)
    assert (again.reason, again.occasion) == ("freshness_bad", mine)
    other = Occasion(watermark="2026-11-20T00:00:00+00:00", attempt=1)
    assert judged(STALE, "live", build(5, "unknown", occasion=other)).reason == "unknown"
    # Whatever it did, a whole build came after it.
    assert judged(STALE, "live", build(500, "unknown", occasion=other)).reason == "freshness_bad"


@pytest.mark.parametrize(("size", "said"), [(20, "at most the 20"), (21, "more than the 20")])
def test_how_far_a_build_reaches_is_counted(size: int, said: str) -> None:
    names = tuple(f"m{n}" for n in range(size - 2))
    radius = BlastRadius(selected=("a",), downstream=names, exposures=("board",))
    reason = judge_radius(radius, LIMITS)
    assert (radius.size, reason.value, reason.threshold) == (size, size, 20)
    assert said in reason.quote


def test_limits_travel_to_the_permit_in_seconds() -> None:
    assert LIMITS.for_permit() == {"per_window": 3, "window_seconds": 86_400}


@pytest.mark.parametrize(
    ("state", "reason", "triggered"),
    [
        ("done", "freshness_bad", True),
        ("failed", "failed", True),
        ("unknown", "unknown", True),
        ("waiting", "waiting", False),
        ("denied", "denied", False),
        ("expired", "denied", False),
        ("attempting", "running", False),
        ("allowed", "failed", False),
    ],
)
def test_what_became_of_the_permit_is_what_is_told(
    state: str, reason: str, triggered: bool
) -> None:
    told = tell_permit(judged(), "0123", state, "so it is")  # pyright: ignore
    assert (told.reason, told.triggered, told.action_id) == (reason, triggered, "0123")
    assert (told.state, told.said) == (state, "so it is")
    assert told.needed_for == ("freshness_bad",)


# Whether it helped.

DIFFER = seen(parity=parity("degraded", 40))


@pytest.mark.parametrize(
    ("before", "after", "outcome", "said"),
    [
        (STALE, seen(), "helped", "is over: the newest row of the warehouse is 300.0"),
        (STALE, STALE, "not", "is as it was"),
        (STALE, seen(freshness=ages(warehouse=60)), "partly", "is less than it was"),
        (STALE, seen(freshness=ages(warehouse=None)), "unknown", "could not be seen"),
        (STALE, DIFFER, "partly", "new since the build: 40 rows apart"),
        (DIFFER, seen(), "helped", "is over: 40 rows apart"),
        (DIFFER, seen(parity=parity("degraded", 30)), "partly", "is less than it was"),
        (DIFFER, DIFFER, "not", "is as it was: 40 rows apart"),
        (DIFFER, seen(parity=parity("degraded", 50)), "not", "is as it was"),
        (DIFFER, seen(parity=parity("unknown")), "unknown", "could not be seen"),
        (DIFFER, seen(pulse=pulse("model.mails")), "partly", "new since the build: dbt model"),
        (seen(pulse=pulse("model.a", "model.b")), seen(), "helped", "is over: dbt model 'a'"),
        (seen(pulse=pulse("model.a", "model.b")), seen(pulse=pulse("model.b")), "partly", "less"),
        (seen(pulse=pulse("model.a")), seen(pulse=pulse("model.a")), "not", "is as it was"),
        (seen(pulse=pulse("model.a")), seen(pulse=None), "unknown", "could not be seen"),
        (
            seen(parity=parity("degraded"), freshness=ages(warehouse=300)),
            seen(parity=parity("degraded")),
            "partly",
            "is over: the newest row",
        ),
    ],
)
def test_a_build_helped_when_what_asked_for_it_is_over(
    before: Seen, after: Seen, outcome: str, said: str
) -> None:
    told = judge_help(before, after)
    assert told.outcome == outcome
    assert any(said in reason.quote for reason in told.reasons)
    assert told.helped is {"helped": True, "partly": True, "not": False, "unknown": None}[outcome]


def test_a_moment_is_told_in_few_numbers() -> None:
    told = standing(seen(parity=parity("degraded", 40), freshness=ages(warehouse=300)))
    assert (told.rows_apart, told.age_minutes, told.last_build_at) == (40, 300.0, BUILT)
    assert judged(STALE).before == standing(STALE)
