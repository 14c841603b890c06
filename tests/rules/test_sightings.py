"""One finding for each thing that is wrong, and nothing is found gone that was not looked at."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from roundsman.rules.finding import Finding, FindingRules, Look, Seen
from roundsman.rules.findings import judge_look
from roundsman.rules.health import Findings, SideFindings, summarize_health
from roundsman.rules.keys import KeyDifferences
from roundsman.rules.parity import ParityVerdict
from roundsman.rules.pulse import NodeResult, PulseReading, SourceFreshness, judge_pulse
from roundsman.rules.recovery import Gap
from roundsman.rules.sightings import DBT_FINDINGS_MAX, Subjects, findings_of
from tests.rules.test_health import NOW, because, freshness, keys, parity

SUBJECTS = Subjects(search="emails-*", warehouse="analytics.emails", transform="local")
DATA = "emails-* vs analytics.emails"
GAP = Gap(step="query_bq_daily", error_type="Unready", said="no answer", remedy="start it")
SIDES = (
    SideFindings(side="search", without_time=0, duplicate_keys=0),
    SideFindings(side="warehouse", without_time=0, duplicate_keys=0),
)


def node(name: str, status: str = "success", **more: Any) -> NodeResult:
    return NodeResult(name=name, kind="model", status=status, **more)


def source(name: str, status: Any = "pass", **more: Any) -> SourceFreshness:
    return SourceFreshness(name=name, status=status, **more)


def pulse(*nodes: NodeResult, **more: Any) -> PulseReading:
    return PulseReading(**{"ran_at": NOW - timedelta(hours=1), "nodes": nodes} | more)


def found(reading: PulseReading | None = None, **changes: Any) -> Findings:
    dbt = None if reading is None else judge_pulse(reading, NOW, 26.0)
    given = {"parity": parity(), "freshness": freshness(), "dbt": dbt, "keys": KeyDifferences()}
    return Findings.model_validate(given | {"sides": SIDES} | changes)


def see(reading: PulseReading | None = None, **changes: Any) -> tuple[list[Seen], frozenset[str]]:
    seen, looked = findings_of(found(reading, **changes), SUBJECTS, reading)
    return list(seen), looked


def named(seen: list[Seen]) -> list[tuple[str, str, str]]:
    return [(item.kind, item.subject, item.severity) for item in seen]


def unread() -> dict[str, Any]:
    """What a round finds whose warehouse did not answer."""
    return {
        "parity": parity("unknown", "side_unread"),
        "freshness": freshness("unknown", read=False),
        "keys": None,
        "sides": (SIDES[0], SideFindings(side="warehouse")),
        "gaps": (GAP,),
    }


def test_a_healthy_round_sees_nothing_and_was_able_to_judge_everything() -> None:
    seen, looked = see(pulse(node("orders"), sources=(source("raw.orders"),)))
    assert seen == []
    assert looked >= {"gap", "parity", "parity_unknown", "freshness", "freshness_unknown"}
    assert looked >= {"volume", "schema", "differing_keys", "rows_without_key", "cut"}
    assert looked >= {"dbt", "dbt_unknown", "dbt_node:orders", "dbt_source:raw.orders"}
    assert looked >= {"duplicate_keys:emails-*", "rows_in_future:analytics.emails"}


@pytest.mark.covers("A-044", "A-045", "G-A2")
def test_parity_and_freshness_are_about_the_data_and_dbt_about_each_node() -> None:
    reading = pulse(node("orders", "error", message="no such column"), node("users", "fail"))
    seen, _ = see(reading, parity=parity("degraded"), freshness=freshness("stale"))
    assert named(seen) == [
        ("parity", DATA, "high"),
        ("freshness", DATA, "high"),
        ("dbt_node", "orders", "medium"),
        ("dbt_node", "users", "medium"),
    ]
    assert seen[0].said == "search and warehouse differ by 40.0 %; bad: 2026-11-16"
    assert seen[2].said == "dbt model 'orders' ended as error: no such column"
    assert all(item.reasons for item in seen)


def test_every_issue_of_the_report_is_seen() -> None:
    reading = pulse(
        node("orders", "error"),
        ran_at=NOW - timedelta(hours=99),
        sources=(source("raw.a", "warn"), source("raw.b", "error", age_seconds=7_200.0)),
    )
    sides = (
        SideFindings(side="search", without_time=3, duplicate_keys=2, in_future=True),
        SideFindings(side="warehouse", without_time=1, duplicate_keys=None),
    )
    gaps = (GAP, Gap(step="check_parity", error_type="Refused", said="too large"))
    changes: dict[str, Any] = {"sides": sides, "gaps": gaps, "keys": keys("missing", 3)}
    seen, _ = see(reading, **changes)
    issues = summarize_health(found(reading, **changes)).issues
    kinds = {item.kind.partition("_node")[0].partition("_source")[0] for item in seen}
    assert kinds == {issue.type for issue in issues}
    not_dbt = {issue.message for issue in issues if issue.type != "dbt"}
    assert not_dbt <= {item.said for item in seen}
    assert ("gap", "query_bq_daily", "high") in named(seen)
    assert ("gap", "check_parity", "medium") in named(seen)
    assert ("rows_without_time", "emails-*", "medium") in named(seen)
    assert ("rows_without_time", "analytics.emails", "medium") in named(seen)
    assert ("dbt", "local", "medium") in named(seen)
    assert ("dbt_source", "raw.a", "low") in named(seen)
    assert ("dbt_source", "raw.b", "medium") in named(seen)
    assert len(named(seen)) == len(set(named(seen)))


def test_what_did_not_answer_can_neither_be_seen_nor_found_gone() -> None:
    seen, looked = see(**unread())
    assert named(seen) == [("gap", "query_bq_daily", "high")]
    assert looked == {
        "gap:query_es_daily",
        "rows_without_time:emails-*",
        "duplicate_keys:emails-*",
        "rows_in_future:emails-*",
    }


def test_a_check_without_an_answer_neither_eases_nor_ends_what_is_known() -> None:
    changes = {"parity": parity("unknown", "window_short"), "freshness": freshness("unknown")}
    seen, looked = see(**changes)
    assert named(seen) == [
        ("parity_unknown", DATA, "medium"),
        ("freshness_unknown", DATA, "medium"),
    ]
    assert not looked & {"parity", "freshness"}
    assert looked >= {"parity_unknown", "freshness_unknown"}


def test_a_bad_parity_that_hides_an_incomplete_look_does_not_end_the_unknown() -> None:
    reasons = (because("day_differs"), because("look_incomplete"))
    bad: ParityVerdict = parity("degraded").model_copy(update={"reasons": reasons})
    _, looked = see(parity=bad)
    assert "parity" in looked
    assert not looked & {"parity_unknown", "differing_keys", "rows_without_key"}


def test_a_stale_side_does_not_end_what_is_unknown_of_the_other() -> None:
    _, looked = see(freshness=freshness("unknown").model_copy(update={"status": "stale"}))
    assert "freshness" in looked
    assert "freshness_unknown" not in looked


def test_keys_that_were_not_compared_or_are_evidence_of_parity_are_not_judged() -> None:
    assert not see(keys=None)[1] & {"differing_keys", "cut"}
    _, looked = see(parity=parity("degraded"))
    assert "differing_keys" not in looked
    assert "cut" in looked


def test_a_node_that_was_not_run_or_skipped_is_not_found_gone() -> None:
    _, looked = see(pulse(node("orders"), node("users", "skipped"), node("bad", "error")))
    assert {name for name in looked if name.startswith("dbt_node:")} == {"dbt_node:orders"}
    seen, looked = findings_of(found(pulse(node("orders"))), SUBJECTS)
    assert not [name for name in looked if "node" in name or "source" in name]


def test_without_results_dbt_is_unknown_and_its_age_is_not_judged() -> None:
    seen, looked = see(PulseReading(notes=("nothing was ever run",)))
    assert named(seen) == [("dbt_unknown", "local", "medium")]
    assert seen[0].said == "dbt unknown: nothing was ever run"
    assert "dbt" not in looked
    assert "dbt_unknown" in looked
    assert "dbt_unknown" not in see(PulseReading(sources=(source("raw.a", "error"),)))[1]


def test_a_project_that_could_not_be_read_judges_nothing_of_dbt() -> None:
    dbt = judge_pulse(None, NOW, 26.0)
    _, looked = see(dbt=dbt, gaps=(Gap(step="dbt_pulse", error_type="Refused", said="no"),))
    assert not [name for name in looked if name.startswith("dbt")]
    assert looked >= {"gap:query_es_daily", "gap:query_bq_daily"}
    assert "gap" not in looked


def test_so_many_failing_nodes_have_a_finding_each_and_one_stands_for_the_rest() -> None:
    reading = pulse(*(node(f"model_{n}", "error") for n in range(DBT_FINDINGS_MAX + 3)))
    seen, looked = see(reading)
    assert len(seen) == DBT_FINDINGS_MAX + 1
    assert (seen[-1].kind, seen[-1].said) == ("dbt_nodes_more", "3 more have such trouble")
    assert not [name for name in looked if name.startswith("dbt_node:")]


def test_a_late_source_that_becomes_stale_is_one_finding_that_worsens() -> None:
    known: list[Finding] = []
    for status, hours in (("warn", 1), ("error", 2), ("pass", 3)):
        reading = pulse(sources=(source("raw.a", status),))
        seen, looked = see(reading)
        look = Look(
            agent="warehouse_health",
            round=None,
            run_id=status,
            at=NOW + timedelta(hours=hours),
            seen=tuple(seen),
            looked=looked,
        )
        [change] = judge_look(known, look, FindingRules(channel="ops"))
        known = [change.after]
        expected = {"warn": "opened", "error": "worsened", "pass": "resolved"}
        assert change.change == expected[status]


def test_a_round_that_lost_a_side_ends_nothing_that_the_side_had() -> None:
    bad = {"parity": parity("degraded"), "freshness": freshness("stale")}
    sides = (SIDES[0], SideFindings(side="warehouse", without_time=4, duplicate_keys=2))
    looks: list[Look] = []
    for hours, changes in enumerate((bad | {"sides": sides}, unread())):
        seen, looked = see(**changes)
        looks.append(
            Look(
                agent="warehouse_health",
                round=None,
                run_id=f"run-{hours}",
                at=NOW + timedelta(hours=hours),
                seen=tuple(seen),
                looked=looked,
            )
        )
    known = [change.after for change in judge_look([], looks[0], FindingRules())]
    changes = judge_look(known, looks[1], FindingRules())
    assert [change.change for change in changes] == ["opened"]
    assert changes[0].after.kind == "gap"
