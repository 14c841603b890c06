"""Whatever is changed behind the ledger's back is found and named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from roundsman.errors import Mistake
from roundsman.store import Ledger, chain, runs
from roundsman.store import verify as verify_module
from roundsman.store.erasure import erase_run
from roundsman.store.records import Note
from roundsman.store.verify import verify
from tests.store.words import ORG, Home, begin, change, finish, rows
from tests.store.words import whole_run as whole

FILE = {"path": "report.md", "bytes": 12, "sha256": "ab" * 32}


@pytest.fixture
def written(ledger: Ledger) -> Ledger:
    """A ledger of three whole runs: 27 events."""
    for _ in range(3):
        whole(ledger, 3)
    assert verify(ledger, ORG).ok
    return ledger


def found(ledger: Ledger) -> str:
    result = verify(ledger, ORG)
    assert not result.ok
    assert result.first_bad == result.problems[0]
    return result.first_bad


def test_an_untouched_ledger_is_whole_and_says_what_cannot_be_seen(written: Ledger) -> None:
    result = verify(written, ORG)
    assert (result.ok, result.events, result.problems) == (True, 27, [])
    assert result.head is not None
    assert result.head.seq == 27
    assert any("run_leases" in line for line in result.cannot_see)


def test_an_org_without_events_is_whole(ledger: Ledger) -> None:
    result = verify(ledger, "nobody")
    assert (result.ok, result.events, result.head) == (True, 0, None)


def test_a_single_changed_byte_of_a_payload_is_named(written: Ledger) -> None:
    change(
        written, "UPDATE events SET payload = replace(payload, 'step_1', 'step_7') WHERE seq = 5"
    )
    assert found(written) == "event 5 of org 'default': payload was changed"


@pytest.mark.parametrize(
    "edit",
    [
        "kind = 'step_failed'",
        "at = '2026-01-01T00:00:00.000000Z'",
        "run_id = 'somebody-else'",
        "attempt = 2",
        "payload_sha256 = 'ab'",
        "hash = 'ab'",
    ],
)
def test_any_other_changed_field_is_named(written: Ledger, edit: str) -> None:
    change(written, f"UPDATE events SET {edit} WHERE seq = 6")
    assert found(written) == (
        "event 6 of org 'default': the row was changed: it does not fit its hash"
    )


def test_a_payload_changed_together_with_its_sum_is_named(written: Ledger) -> None:
    payload = '{"index":9}'
    change(
        written,
        f"UPDATE events SET payload = '{payload}', payload_sha256 = '{chain.sha256(payload)}'"
        " WHERE seq = 4",
    )
    assert found(written).startswith("event 4 of org 'default': the row was changed")


def test_a_removed_row_is_named(written: Ledger) -> None:
    change(written, "DELETE FROM events WHERE seq = 4")
    assert found(written) == "event 4 of org 'default': was removed"


def test_several_removed_rows_are_named_together(written: Ledger) -> None:
    change(written, "DELETE FROM events WHERE seq BETWEEN 4 AND 9")
    assert found(written) == "event 4 of org 'default': was removed, with all up to event 9"


def test_a_removed_row_is_found_though_the_rest_was_renumbered(written: Ledger) -> None:
    change(
        written,
        "DELETE FROM events WHERE seq = 4",
        "UPDATE events SET seq = -seq WHERE seq > 4",
        "UPDATE events SET seq = -seq - 1 WHERE seq < 0",
        "UPDATE chain_heads SET seq = seq - 1",
    )
    assert found(written) == (
        "event 4 of org 'default': was removed, and the later rows were renumbered"
    )


def test_an_inserted_row_is_found_though_the_rest_was_renumbered(written: Ledger) -> None:
    change(
        written,
        "UPDATE events SET seq = -seq WHERE seq >= 4",
        "UPDATE events SET seq = -seq + 1 WHERE seq < 0",
        "INSERT INTO events SELECT org_id, 4, run_id, attempt, kind, at, payload, payload_sha256,"
        " hash FROM events WHERE seq = 3",
        "UPDATE chain_heads SET seq = seq + 1",
    )
    assert found(written).startswith("event 4 of org 'default': was inserted")


def test_an_appended_row_is_found_with_and_without_the_head(written: Ledger) -> None:
    copy = (
        "INSERT INTO events SELECT org_id, 28, run_id, attempt, kind, at, payload, payload_sha256,"
        " hash FROM events WHERE seq = 27"
    )
    change(written, copy)
    assert found(written).startswith("event 28 of org 'default': ")
    change(written, "UPDATE chain_heads SET seq = 28")
    assert found(written).startswith("event 28 of org 'default': ")


@pytest.mark.parametrize(("one", "other"), [(4, 5), (4, 12), (3, 27), (1, 2)])
def test_two_swapped_rows_are_named(written: Ledger, one: int, other: int) -> None:
    change(
        written,
        f"UPDATE events SET seq = 0 WHERE seq = {one}",
        f"UPDATE events SET seq = {one} WHERE seq = {other}",
        f"UPDATE events SET seq = {other} WHERE seq = 0",
    )
    assert found(written) == (
        f"event {one} of org 'default': was re-ordered: the row here is event {other}"
    )


def test_a_cut_tail_is_found_by_the_head(written: Ledger) -> None:
    change(written, "DELETE FROM events WHERE seq > 25")
    assert found(written) == (
        "event 26 of org 'default': was removed from the tail (the head is event 27)"
    )


def test_a_cut_tail_with_a_forged_head_is_found_by_the_anchors(written: Ledger) -> None:
    (last,) = rows(written, "SELECT hash FROM events WHERE seq = 18")
    change(
        written,
        "DELETE FROM events WHERE seq > 18",
        f"UPDATE chain_heads SET seq = 18, hash = '{last[0]}'",
    )
    assert found(written).startswith(
        "event 19 of org 'default': was removed from the tail (event 27 was anchored at "
    )


def test_a_chain_hashed_again_without_the_key_is_found(written: Ledger) -> None:
    rehash(written, b"not the key" * 4, 10)
    assert found(written).startswith("event 10 of org 'default': the row was changed")


def test_a_chain_hashed_again_with_the_stolen_key_is_found_by_the_anchors(
    written: Ledger,
) -> None:
    rehash(written, written.key, 10)
    assert "its hash is not the one anchored at" in found(written)
    assert found(written).startswith("event 18 of")


def test_without_anchors_the_blindness_is_said(written: Ledger, tmp_path: Path) -> None:
    written.anchor_path = None
    rehash(written, written.key, 10)
    result = verify(written, ORG)
    assert not any("anchor" in problem for problem in result.problems)
    assert any("there are no anchors" in line for line in result.cannot_see)


def test_a_missing_anchor_file_is_named_once_a_run_has_ended(ledger: Ledger, home: Home) -> None:
    begin(ledger)
    assert verify(ledger, ORG).ok
    assert verify(ledger, ORG, home.anchors).ok
    whole(ledger)
    home.anchors.unlink()
    assert verify(ledger, ORG).ok, "killed before its very first anchor"
    whole(ledger)
    home.anchors.unlink()
    assert found(ledger) == (
        f"anchor file '{home.anchors}' is missing, though runs of org 'default' have ended (2):"
        " a tail that was cut off cannot be seen"
    )
    with pytest.raises(Mistake, match="nowhere' does not exist"):
        verify(ledger, ORG, home.folder / "nowhere")


def test_a_spoilt_anchor_file_is_named_by_its_line(written: Ledger, home: Home) -> None:
    with home.anchors.open("a") as file:
        file.write("{torn")
    whole(written, 0)
    assert found(written) == f"anchor file '{home.anchors}', line 4: is not an anchor"


def test_anchors_are_lines_with_org_number_hash_and_time(written: Ledger, home: Home) -> None:
    lines = [json.loads(line) for line in home.anchors.read_text().splitlines()]
    assert [line["seq"] for line in lines] == [9, 18, 27]
    assert set(lines[0]) == {"org", "seq", "hash", "at"}
    assert home.anchors.stat().st_mode & 0o777 == 0o600


def test_an_unwritable_anchor_is_a_warning_and_the_run_still_ends(
    ledger: Ledger, tmp_path: Path
) -> None:
    ledger.anchor_path = tmp_path / "file" / "anchors.jsonl"
    (tmp_path / "file").write_text("in the way")
    run_id = whole(ledger)
    assert runs.get_run(ledger, ORG, run_id).status == "success"


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (
            "UPDATE agent_audit_log SET status = 'failed' WHERE id = 1",
            "status is 'failed', the events say 'success'",
        ),
        ("UPDATE agent_audit_log SET duration_seconds = 1000 WHERE id = 1", "duration_seconds is"),
        ("UPDATE agent_audit_log SET params = '{}' WHERE id = 1", "params is {}"),
        ("UPDATE agent_audit_log SET user_email = 'eve' WHERE id = 1", "user_email is 'eve'"),
        ("UPDATE agent_audit_log SET id = 100 WHERE id = 1", "id is 100, the events say 1"),
        ("DELETE FROM agent_audit_log WHERE id = 1", "was removed"),
        ("UPDATE steps SET status = 'failed' WHERE step_index = 1", "step 1: status is 'failed'"),
        ("UPDATE steps SET seconds = 0.5 WHERE step_index = 1", "seconds is 0.5"),
        ("UPDATE steps SET began_at = ended_at WHERE step_index = 1", "began_at is"),
        ("DELETE FROM steps WHERE step_index = 2", "step 2: was removed"),
        (
            "INSERT INTO steps SELECT org_id, run_id, 1, 9, name, tries, status, began_at,"
            " ended_at, seconds, error FROM steps WHERE step_index = 0",
            "step 9: was inserted, no event tells of it",
        ),
        (
            "INSERT INTO steps SELECT org_id, 'nobody', 1, 9, name, tries, status, began_at,"
            " ended_at, seconds, error FROM steps WHERE step_index = 0 LIMIT 1",
            "steps, run 'nobody': was inserted, no event tells of it",
        ),
        ("UPDATE metrics SET value = 99 WHERE name = 'agent_runs_total'", "value is 99.0"),
        ("DELETE FROM metrics WHERE name = 'agent_runs_total'", "value is None"),
    ],
)
def test_an_edited_projection_is_named_by_run_and_column(
    written: Ledger, edit: str, said: str
) -> None:
    change(written, edit)
    assert said in found(written)


def test_an_edited_file_row_is_named(ledger: Ledger) -> None:
    run_id = begin(ledger)
    for kind in ("artifact_intended", "artifact_written"):
        runs.note(ledger, ORG, run_id, 1, Note(kind=kind, payload=FILE))
    assert verify(ledger, ORG).ok
    change(ledger, "UPDATE artifacts SET sha256 = 'cd'")
    assert "artifacts, run" in found(ledger)
    assert "sha256 is 'cd'" in found(ledger)


def test_an_event_behind_the_end_of_its_run_is_named(written: Ledger) -> None:
    run_id = rows(written, "SELECT run_id FROM events WHERE seq = 1")[0][0]
    change(written, f"UPDATE events SET run_id = '{run_id}' WHERE seq = 12")
    assert any("stands behind the end of its run" in p for p in verify(written, ORG).problems)


def test_a_chain_in_pieces_names_only_the_first_twenty(written: Ledger) -> None:
    change(written, "UPDATE events SET hash = 'x'")
    result = verify(written, ORG)
    assert result.problems[0].startswith("event 1 of org 'default'")
    assert result.problems[-1].startswith("and ")
    assert len(result.problems) < 50


def test_an_erased_run_still_chains_and_the_erasure_is_told(written: Ledger) -> None:
    run_id = rows(written, "SELECT run_id FROM events WHERE seq = 12")[0][0]
    assert erase_run(written, ORG, run_id, "ada", "asked by the person") == 9
    row = runs.get_run(written, ORG, run_id)
    assert (row.params, row.asked_by, row.status) == ({}, None, "success")
    result = verify(written, ORG)
    assert (result.ok, result.erased, result.events) == (True, 9, 28)
    assert any("9 erased payloads" in line for line in result.cannot_see)


def test_the_proof_of_an_erasure_cannot_be_removed_unseen(written: Ledger) -> None:
    run_id = rows(written, "SELECT run_id FROM events WHERE seq = 12")[0][0]
    erase_run(written, ORG, run_id, "ada", "asked by the person")
    change(written, "UPDATE events SET payload = NULL WHERE kind = 'run_erased'")
    assert found(written) == (
        "event 28 of org 'default': payload was removed; it told who erased run"
        f" '{run_id}', and why"
    )


def test_a_run_may_be_erased_twice_and_both_proofs_stay(written: Ledger) -> None:
    run_id = rows(written, "SELECT run_id FROM events WHERE seq = 12")[0][0]
    assert erase_run(written, ORG, run_id, "ada", "once") == 9
    assert erase_run(written, ORG, run_id, "bob", "again") == 0
    assert verify(written, ORG).ok


def test_a_payload_erased_in_secret_is_named(written: Ledger) -> None:
    change(written, "UPDATE events SET payload = NULL WHERE seq = 12")
    assert "event 12 of org 'default': payload was removed" in found(written)


def test_a_long_chain_is_walked_by_a_second_process_with_the_same_answer(
    written: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_module, "EVENTS_FOR_TWO_PROCESSES", 10)
    assert verify(written, ORG).ok
    change(written, "UPDATE events SET payload = '{}' WHERE seq = 5")
    assert found(written) == "event 5 of org 'default': payload was changed"


def test_a_byte_that_is_no_text_any_more_is_named_too(written: Ledger) -> None:
    if written.dialect.name == "postgresql":
        return  # it stores no such text
    broken = "CAST(x'7b22ff227d' AS TEXT)"
    change(
        written,
        f"UPDATE events SET payload = {broken} WHERE seq = 5",
        f"UPDATE steps SET name = {broken} WHERE step_index = 0",
    )
    result = verify(written, ORG)
    assert result.first_bad == "event 5 of org 'default': payload was changed"
    assert any("steps, run" in problem and "name is" in problem for problem in result.problems)


def test_runs_of_other_orgs_are_left_alone(written: Ledger) -> None:
    begin(written, "other")
    change(written, "UPDATE events SET payload = '{}' WHERE org_id = 'other'")
    assert verify(written, ORG).ok
    assert not verify(written, "other").ok


def rehash(ledger: Ledger, key: bytes, first: int) -> None:
    """Change one event and hash all from there on again, as somebody with this key could."""
    (before,) = rows(ledger, f"SELECT hash FROM events WHERE seq = {first - 1}")
    previous = before[0]
    change(ledger, f"UPDATE events SET at = '2026-01-01T00:00:00.000000Z' WHERE seq = {first}")
    for row in rows(
        ledger,
        "SELECT seq, run_id, attempt, kind, at, payload_sha256 FROM events"
        f" WHERE seq >= {first} ORDER BY seq",
    ):
        previous = chain.link(key, previous.encode(), tuple(str(part).encode() for part in row))
        change(ledger, f"UPDATE events SET hash = '{previous}' WHERE seq = {row[0]}")
    change(ledger, f"UPDATE chain_heads SET hash = '{previous}'")


def test_verification_reads_while_others_write(
    written: Ledger, open_home: Callable[[], Ledger]
) -> None:
    with written.transaction() as connection:
        written.execute(connection, "UPDATE chain_heads SET seq = seq", {})
        assert verify(open_home(), ORG).ok
    finish(written, begin(written))
