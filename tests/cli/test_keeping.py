"""`artifacts`, `verify-audit`, `migrate`: what is kept, and whether it is whole."""

import sqlite3
from pathlib import Path

import pytest

from roundsman.settings import get_settings
from roundsman.store.artifacts import ArtifactStore


@pytest.fixture
def shelf(home):
    settings = get_settings()
    store = ArtifactStore(settings.artifacts, settings.org_id)
    store.write("report.md", "# all is well\n", "warehouse_health")
    store.write_json("report.json", {"ok": True}, "warehouse_health")
    return store


@pytest.mark.covers("A-082", "A-114")
def test_artifacts_are_listed_by_agent_and_pattern(roundsman, shelf):
    said = roundsman("artifacts", "list")
    assert said.out.split() == ["warehouse_health/report.json", "warehouse_health/report.md"]
    said = roundsman("artifacts", "list", "warehouse_health", "--pattern", "*.json", "--json")
    assert said.document == {"warehouse_health": ["report.json"]}


def test_no_artifacts_are_no_error(roundsman):
    assert roundsman("artifacts", "list").out == "No artifacts yet.\n"


def test_an_artifact_is_shown_and_found(roundsman, shelf):
    assert roundsman("artifacts", "show", "warehouse_health", "report.md").out.startswith("# all")
    path = roundsman("artifacts", "path", "warehouse_health", "report.md").out.strip()
    assert Path(path).read_text() == "# all is well\n"


def test_a_wrong_artifact_lists_the_known_ones(roundsman, shelf):
    said = roundsman("artifacts", "show", "warehouse_health", "repotr.md")
    assert said.code == 2
    assert "report.md" in said.err


@pytest.mark.parametrize("path", ["../../../ledger.db", "/etc/passwd"])
def test_a_path_that_leaves_the_folder_is_refused(roundsman, shelf, path):
    said = roundsman("artifacts", "show", "warehouse_health", path)
    assert said.code == 2
    assert path in said.err


def test_a_whole_ledger_verifies(roundsman, past):
    past.run()
    said = roundsman("verify-audit")
    assert said.code == 0
    assert "whole" in said.out
    assert roundsman("verify-audit", "--json").document["ok"] is True


def test_an_edited_ledger_does_not_verify(roundsman, past):
    past.run()
    with sqlite3.connect(get_settings().home / "ledger.db") as database:
        database.execute("UPDATE events SET kind = 'run_failed' WHERE kind = 'run_finished'")
    database.close()
    said = roundsman("verify-audit")
    assert said.code == 1
    assert "NOT WHOLE" in said.out
    assert "the ledger was changed" in said.err
    document = roundsman("verify-audit", "--json").document
    assert document["first_bad"]


def test_an_absent_anchor_is_named(roundsman, past):
    said = roundsman("verify-audit", "--anchor", "/nowhere/anchors.jsonl")
    assert said.code == 2
    assert "/nowhere/anchors.jsonl" in said.err


@pytest.mark.covers("A-038")
def test_the_schema_is_seen_before_and_after(roundsman):
    said = roundsman("migrate", "--status")
    assert "none yet" in said.out
    assert not (get_settings().home / "ledger.db").exists()
    assert roundsman("migrate").code == 0
    assert roundsman("migrate", "--status", "--json").document["is_current"] is True


def test_what_a_run_carried_is_erased_and_the_ledger_stays_whole(roundsman, past):
    run_id = past.run(artifacts={"parity": "confidential"})
    said = roundsman("erase", run_id[:8], "--reason", "asked for", "--json")
    assert (said.code, said.document["run_id"]) == (0, run_id)
    assert "confidential" not in roundsman("show", run_id, "--json").out
    assert roundsman("verify-audit").code == 0


@pytest.mark.covers("A-037")
def test_everything_is_kept_until_somebody_says_for_how_long(roundsman, past, monkeypatch):
    old, young = past.run(artifacts={"parity": "old"}), past.run(artifacts={"parity": "young"})
    past.age(old, days=91)
    unset = roundsman("erase", "--expired", "--reason", "retention")
    assert (unset.code, "ROUNDSMAN_RETENTION_DAYS" in unset.err) == (2, True)

    monkeypatch.setenv("ROUNDSMAN_RETENTION_DAYS", "90")
    get_settings.cache_clear()
    words = ("erase", "--expired", "--reason", "retention")
    assert "1 run would be erased" in roundsman(*words).out
    counted = {"run_ids": [old], "payloads_erased": None}
    assert roundsman(*words, "--json").document == counted
    assert roundsman("show", old, "--json").document["artifacts"] == {"parity": "old"}
    assert roundsman(*words, "--yes", "--json").document["run_ids"] == [old]
    assert roundsman("show", young, "--json").document["artifacts"] == {"parity": "young"}
    assert roundsman(*words, "--yes", "--json").document["run_ids"] == []


@pytest.mark.parametrize("words", [(), ("0123", "--expired")])
def test_erasing_takes_a_run_or_the_expired_ones(roundsman, past, words):
    said = roundsman("erase", *words, "--reason", "x")
    assert (said.code, "--expired" in said.err) == (2, True)


def test_an_open_run_is_not_erased(roundsman, past):
    said = roundsman("erase", "0123456789", "--reason", "x")
    assert said.code == 2


def test_files_of_an_unknown_agent_list_the_known_ones(roundsman, shelf):
    said = roundsman("artifacts", "list", "nosuch")
    assert said.code == 2
    assert "warehouse_health" in said.err
