"""Rows reach a sandbox once, by permits that the ledger shows, however often a step is tried."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from blocks.search import ElasticsearchSearch, SqliteSearch
from roundsman.agent import AgentParams
from roundsman.envelope import Run
from roundsman.errors import Denied, Mistake
from roundsman.rules.windows import FieldType, Span
from roundsman.store import Ledger, approvals, open_ledger
from tasks.mail_files import mails_in
from tasks.sandbox import Sandbox, require_live
from tests.ledgers import lay_file
from tests.permits import run_in
from tests.store.words import ORG

FIELDS: dict[str, FieldType] = {
    "message_id": "keyword",
    "received_at": "timestamp",
    "fingerprint": "integer",
}
DAY = datetime(2026, 5, 4, tzinfo=UTC)
ROWS = [{"message_id": f"m{n}", "received_at": DAY, "fingerprint": n} for n in range(3)]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    lay_file(tmp_path)
    made = open_ledger(f"sqlite:///{tmp_path}/ledger.db", tmp_path / "key", tmp_path / "anchors")
    yield made
    made.close()


@pytest.fixture
def run(ledger: Ledger) -> Iterator[Run]:
    with run_in(ledger) as made:
        yield made


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox("search/local", SqliteSearch(path=tmp_path / "search.db"))


def keys(sandbox: Sandbox) -> list[str]:
    span = Span(DAY, DAY.replace(day=5))
    return [row.key for row in sandbox.block.list_rows(mails_in("mails"), [span], 100).rows]


def test_a_lot_is_written_once_in_a_run(sandbox: Sandbox, run: Run) -> None:
    for _ in range(2):
        assert sandbox.replace("mails", FIELDS, ROWS[:1]) == 1
        assert sandbox.append("mails", 0, ROWS[1:]) == 2
        assert sandbox.append("mails", 1, ROWS[:1]) == 1
        assert sandbox.remove(mails_in("mails"), 0, ["m1"]) == 1
    assert keys(sandbox) == ["m0", "m0", "m2"]


def test_another_run_writes_anew(sandbox: Sandbox, ledger: Ledger) -> None:
    for _ in range(2):
        with run_in(ledger):
            sandbox.replace("mails", FIELDS, ROWS[:1])
            sandbox.append("mails", 0, ROWS[1:])
    assert keys(sandbox) == ["m0", "m1", "m2"]
    found = approvals.list_actions(ledger, ORG)
    assert {(row.action, row.target, row.state) for row in found} == {
        ("replace", "search/local mails", "done"),
        ("append", "search/local mails", "done"),
    }
    assert len(found) == 4


def test_policy_asks_a_person_about_many_rows_at_once(sandbox: Sandbox, run: Run) -> None:
    sandbox.replace("mails", FIELDS, [])
    with pytest.raises(Denied, match=r"many-items.*1200"):
        sandbox.append("mails", 0, ROWS * 400)
    assert keys(sandbox) == []


def test_what_is_no_sandbox_is_asked_for_and_not_sent(run: Run) -> None:
    far = Sandbox("search/far", ElasticsearchSearch(url="http://127.0.0.1:9"))
    with pytest.raises(Denied, match="'append' on 'search/far mails' was not done"):
        far.append("mails", 0, ROWS)
    (asked,) = approvals.list_actions(run.ledger, ORG)
    assert asked.state == "waiting"


def test_a_dry_run_writes_nothing(sandbox: Sandbox, ledger: Ledger) -> None:
    with run_in(ledger, dry_run=True), pytest.raises(Denied, match="a dry run changes nothing"):
        sandbox.replace("mails", FIELDS, ROWS)
    assert approvals.list_actions(ledger, ORG) == []


def test_an_operation_that_would_be_denied_every_write_is_refused_before_it_begins() -> None:
    require_live(AgentParams(dry_run=True))
    require_live(AgentParams(dry_run=False, allow_actions=True))
    with pytest.raises(Mistake, match="may not act writes nothing; add --live"):
        require_live(AgentParams(dry_run=False))
