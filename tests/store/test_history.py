"""What was run can be listed, filtered, found again and asked for in plain SQL."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from roundsman.errors import Mistake
from roundsman.store import Ledger, runs
from roundsman.store.records import HistoryFilter
from roundsman.store.tables import instant_text
from tests.store.words import ORG, ask, begin, change, finish, queue, rows, whole_run


def ids(ledger: Ledger, **wanted: object) -> list[str]:
    found, total = runs.history(ledger, ORG, HistoryFilter(**wanted))
    assert total >= len(found)
    return [row.run_id for row in found]


@pytest.mark.covers("A-033")
def test_history_lists_the_newest_first_and_counts_all(ledger: Ledger) -> None:
    made = [queue(ledger) for _ in range(5)]
    found, total = runs.history(ledger, ORG, HistoryFilter(limit=2, offset=1))
    assert [row.run_id for row in found] == [made[3], made[2]]
    assert total == 5
    assert runs.history(ledger, "nobody") == ([], 0)


@pytest.mark.covers("A-034")
def test_history_is_filtered_by_agent_status_and_user(ledger: Ledger) -> None:
    done = whole_run(ledger, user_email="ada@example.org")
    other = begin(ledger, agent_type="inbox_triage")
    refused = runs.record_refused(ledger, ORG, ask(), {"type": "x", "message": "y"})
    assert ids(ledger, agent_type="inbox_triage") == [other]
    assert ids(ledger, status="success") == [done]
    assert ids(ledger, status=("running", "refused")) == [refused, other]
    assert ids(ledger, user_email="ada@example.org") == [done]
    assert ids(ledger, status="crashed") == []


@pytest.mark.covers("A-034")
def test_both_dates_belong_to_the_range(ledger: Ledger) -> None:
    made = {}
    for day, moment in {
        "before": "2026-03-09T23:59:59.999999Z",
        "first": "2026-03-10T00:00:00.000000Z",
        "last": "2026-03-11T23:59:59.999999Z",
        "after": "2026-03-12T00:00:00.000000Z",
    }.items():
        made[day] = begin(ledger)
        change(
            ledger,
            f"UPDATE agent_audit_log SET started_at = '{moment}' WHERE run_id = '{made[day]}'",
        )
    chosen = ids(ledger, start_date=date(2026, 3, 10), end_date=date(2026, 3, 11))
    assert chosen == [made["last"], made["first"]]
    assert ids(ledger, start_date=date(2026, 3, 12)) == [made["after"]]
    assert ids(ledger, end_date=date(2026, 3, 9)) == [made["before"]]


def test_a_run_that_never_started_is_listed_under_the_day_it_was_asked_for(ledger: Ledger) -> None:
    run_id = queue(ledger)
    today = runs.get_run(ledger, ORG, run_id).created_at.date()
    assert ids(ledger, start_date=today, end_date=today) == [run_id]


@pytest.mark.parametrize("limit", [0, 1001, -1])
def test_limits_outside_of_1_to_1000_are_refused(limit: int) -> None:
    with pytest.raises(ValidationError):
        HistoryFilter(limit=limit)
    assert HistoryFilter().limit == 50


def test_a_run_is_found_by_the_first_six_characters_of_its_id(ledger: Ledger) -> None:
    run_id = queue(ledger)
    assert runs.get_run(ledger, ORG, run_id[:6]).run_id == run_id
    for unknown in (run_id[:5], "nobody-at-all", "%%%%%%", "______"):
        with pytest.raises(Mistake, match="not in the ledger"):
            runs.get_run(ledger, ORG, unknown)


def test_an_ambiguous_beginning_names_the_candidates(ledger: Ledger) -> None:
    for run_id in ("abcdef-1", "abcdef-2", "abcdef"):
        runs.queue_run(ledger, ORG, run_id, ask(), None)
    assert runs.get_run(ledger, ORG, "abcdef").run_id == "abcdef"
    with pytest.raises(Mistake, match="could be any of abcdef-2, abcdef-1"):
        runs.get_run(ledger, ORG, "abcdef-")


@pytest.mark.covers("A-035", "A-036")
def test_the_three_sample_queries_run_as_they_are_printed(ledger: Ledger) -> None:
    for _ in range(2):
        whole_run(ledger, 0)
    failed = begin(ledger)
    finish(ledger, failed, "failed", error={"type": "x", "message": "no"}, duration_seconds=4.0)
    old = whole_run(ledger, 0)
    week_ago = instant_text(datetime.now(UTC) - timedelta(days=7, minutes=5))
    change(
        ledger,
        f"UPDATE agent_audit_log SET started_at = '{week_ago}' WHERE run_id = '{old}'",
        "UPDATE agent_audit_log SET duration_seconds = 1.0 WHERE status = 'success'",
    )
    recent = "started_at > NOW() - INTERVAL '7 days'"
    if ledger.dialect.name == "sqlite":
        recent = "datetime(started_at) > datetime('now', '-7 days')"
    assert (
        len(
            rows(
                ledger,
                "SELECT id, agent_type, objective, status, duration_seconds, started_at"
                " FROM agent_audit_log ORDER BY started_at DESC LIMIT 10",
            )
        )
        == 4
    )
    assert [
        tuple(row)
        for row in rows(
            ledger,
            "SELECT agent_type, objective, error_message FROM agent_audit_log"
            " WHERE status = 'failed' ORDER BY started_at DESC",
        )
    ] == [("warehouse_health", "look", "no")]
    assert [
        tuple(row)
        for row in rows(
            ledger,
            "SELECT agent_type, AVG(duration_seconds) AS avg_duration, COUNT(*) AS runs"
            f" FROM agent_audit_log WHERE {recent} GROUP BY agent_type",
        )
    ] == [("warehouse_health", 2.0, 3)]


def test_the_ledger_is_readable_while_another_process_writes(
    ledger: Ledger, tmp_path: Path
) -> None:
    run_id = whole_run(ledger)
    with ledger.transaction() as connection:
        ledger.execute(connection, "UPDATE chain_heads SET seq = seq", {})
        assert runs.get_run(ledger, ORG, run_id).status == "success"
