"""An idempotency key begins one run of its org, and a chain knows one key only."""

from __future__ import annotations

import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from roundsman.errors import Mistake
from roundsman.store import Ledger, open_ledger, runs
from roundsman.store.events import read_events
from roundsman.store.verify import verify
from tests.store.words import ORG, Home, ask, begin, change, opening, queue, rows


def test_a_run_is_found_by_the_key_it_was_queued_with(ledger: Ledger) -> None:
    run_id = queue(ledger, key="nightly-2026-11-21")
    queue(ledger)
    queue(ledger)
    found = runs.find_by_key(ledger, ORG, "nightly-2026-11-21")
    assert found is not None
    assert (found.run_id, found.idempotency_key) == (run_id, "nightly-2026-11-21")
    assert runs.find_by_key(ledger, ORG, "other") is None
    assert runs.find_by_key(ledger, "elsewhere", "nightly-2026-11-21") is None
    first = read_events(ledger, ORG, limit=1)[0]
    assert first.payload is not None
    assert first.payload["key"] == "nightly-2026-11-21"
    assert verify(ledger, ORG).ok


def test_a_spent_key_names_the_run_that_has_it(ledger: Ledger) -> None:
    run_id = queue(ledger, key="once")
    with pytest.raises(runs.AlreadyQueued, match="key 'once' was used before") as no:
        queue(ledger, key="once")
    assert no.value.run_id == run_id
    assert len(rows(ledger, "SELECT 1 FROM agent_audit_log")) == 1
    assert len(rows(ledger, "SELECT 1 FROM run_leases")) == 1
    assert queue(ledger, "elsewhere", key="once") != run_id


def test_the_same_request_under_a_spent_key_is_the_first_run(ledger: Ledger) -> None:
    queue(ledger, key="once", params={"days": 7, "dsn": "postgresql://u:hunter22@h/d"})
    first = runs.find_by_key(ledger, ORG, "once")
    assert first is not None
    params = {"days": 7, "dsn": "postgresql://u:hunter22@h/d", "came_with_an_update": True}
    again = {"params": params, "user_email": "bo@example.org", "code_version": "2"}
    runs.check_same_request(first, ask(key="once", **again))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"params": {"days": 8}}, "differs in parameter 'days'$"),
        ({"params": {"days": "7"}}, "differs in parameter 'days'$"),
        ({"agent_type": "inbox_triage"}, "differs in 'agent_type'$"),
        ({"round": "warehouse_health/other"}, "differs in 'round'$"),
        ({"retry_of": "x", "params": {"days": 0}}, "differs in 'retry_of', parameter 'days'$"),
    ],
)
def test_another_request_under_a_spent_key_is_a_mistake(
    ledger: Ledger, changed: dict[str, Any], said: str
) -> None:
    run_id = queue(ledger, key="once")
    first = runs.find_by_key(ledger, ORG, "once")
    assert first is not None
    with pytest.raises(Mistake) as no:
        runs.check_same_request(first, ask(key="once", **changed))
    assert re.match(f"key 'once' was used before, for run '{run_id}', which {said}", no.value.said)
    assert "another key" in no.value.remedy


def test_a_run_queued_twice_is_told_apart_from_other_mistakes(ledger: Ledger) -> None:
    run_id = queue(ledger)
    with pytest.raises(runs.AlreadyQueued, match="in the ledger already") as no:
        runs.queue_run(ledger, ORG, run_id, ask(), None)
    assert no.value.run_id == run_id


def test_a_refused_run_spends_no_key(ledger: Ledger) -> None:
    runs.record_refused(ledger, ORG, ask(key="once"), {"type": "x", "message": "y"})
    assert runs.find_by_key(ledger, ORG, "once") is None
    queue(ledger, key="once")
    assert verify(ledger, ORG).ok


def test_the_door_tells_the_key_of_a_run_that_a_worker_was_quicker_to_open(ledger: Ledger) -> None:
    run_id = str(uuid.uuid4())
    runs.open_attempt(ledger, ORG, run_id, opening(), runs.this_holder())
    runs.queue_run(ledger, ORG, run_id, ask(key="once"), None)
    found = runs.find_by_key(ledger, ORG, "once")
    assert found is not None
    assert (found.run_id, found.status) == (run_id, "running")
    assert verify(ledger, ORG).ok


def test_of_many_who_come_with_one_key_at_once_one_begins(ledger: Ledger) -> None:
    def attempt(_: int) -> str | None:
        try:
            return queue(ledger, key="once")
        except runs.AlreadyQueued:
            return None

    with ThreadPoolExecutor(4) as pool:
        begun = [run_id for run_id in pool.map(attempt, range(8)) if run_id]
    assert len(begun) == 1


def test_a_key_that_looks_like_a_secret_is_kept_redacted_and_still_found(ledger: Ledger) -> None:
    run_id = queue(ledger, key="token=Hunter22")
    found = runs.find_by_key(ledger, ORG, "token=Hunter22")
    assert found is not None
    assert (found.run_id, found.idempotency_key) == (run_id, "token=***")


def test_a_changed_key_is_found_by_verification(ledger: Ledger) -> None:
    queue(ledger, key="once")
    change(ledger, "UPDATE agent_audit_log SET idempotency_key = 'twice'")
    assert "idempotency_key is 'twice', the events say 'once'" in str(verify(ledger, ORG).problems)


def test_of_two_chain_keys_on_one_fresh_ledger_only_the_first_may_write(home: Home) -> None:
    one = open_ledger(home.url, home.folder / "one.key", home.anchors)
    two = open_ledger(home.url, home.folder / "two.key", home.anchors)
    begin(one)
    with pytest.raises(Mistake, match=r"chain key '.*two\.key' is not the one that wrote") as no:
        begin(two)
    assert "ROUNDSMAN_CHAIN_KEY" in no.value.remedy
    assert verify(one, ORG).ok
    one.close()
    two.close()
