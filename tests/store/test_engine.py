"""A ledger that cannot be opened or written says why in one sentence, and nothing is half done."""

from __future__ import annotations

import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from roundsman.errors import Mistake, RoundsmanError, Unready
from roundsman.store import Ledger, open_ledger, runs
from roundsman.store.verify import verify
from tests.store.words import ORG, Home, begin, change, child, rows, said, whole_run


def test_the_key_is_made_once_and_only_for_its_owner(
    home: Home, open_home: Callable[[], Ledger]
) -> None:
    key = open_home().key
    assert len(key) == 32
    assert stat.S_IMODE(home.key.stat().st_mode) == 0o600
    home.key.chmod(0o644)
    assert open_home().key == key
    assert stat.S_IMODE(home.key.stat().st_mode) == 0o600
    assert [path.name for path in home.key.parent.iterdir()] == ["chain.key"]


def test_a_ledger_without_its_key_is_not_continued_with_another(
    home: Home, open_home: Callable[[], Ledger]
) -> None:
    whole_run(open_home())
    home.key.unlink()
    with pytest.raises(Mistake, match="is missing, but the ledger holds events") as missing:
        open_home()
    assert "restore the key" in missing.value.remedy
    assert not home.key.exists()
    home.key.write_text("ab" * 32)
    with pytest.raises(Mistake, match="is not the one that wrote ledger"):
        open_home()


@pytest.mark.parametrize(("text", "said_of_it"), [("xyz", "not hexadecimal"), ("ab", "shorter")])
def test_a_key_that_is_none_is_refused(
    home: Home, open_home: Callable[[], Ledger], text: str, said_of_it: str
) -> None:
    home.key.parent.mkdir()
    home.key.write_text(text)
    with pytest.raises(Mistake, match=said_of_it):
        open_home()


@pytest.mark.parametrize(
    ("url", "said_of_it"),
    [
        ("sqlite://", "would forget everything"),
        ("sqlite:///:memory:", "would forget everything"),
        ("mysql://u:secret@h/d", "'mysql' is not supported"),
        ("what is this", "not a database URL"),
        ("nosuch://h/d", "not"),
    ],
)
def test_an_address_that_cannot_be_a_ledger_is_refused(
    tmp_path: Path, url: str, said_of_it: str
) -> None:
    with pytest.raises(Mistake, match=said_of_it) as refused:
        open_ledger(url, tmp_path / "key")
    assert "secret" not in str(refused.value)


def test_a_server_that_does_not_answer_is_unready_and_its_password_is_not_printed(
    tmp_path: Path,
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(Unready, match="not reachable") as refused:
        open_ledger(f"postgresql://u:hunter22@127.0.0.1:{port}/d", tmp_path / "key")
    assert "hunter22" not in str(refused.value)
    assert refused.value.of_ledger
    assert not (tmp_path / "key").exists()


@pytest.mark.needs("postgresql")
def test_a_database_that_does_not_exist_is_a_mistake(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue("postgresql")
    with pytest.raises((Mistake, Unready), match="does not exist"):
        open_ledger(server.url("nowhere"), tmp_path / "key")


def test_a_file_that_is_no_database_is_named_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"this is no database, but somebody's text " * 50)
    with pytest.raises(Mistake, match="is not a readable SQLite file"):
        open_ledger(f"sqlite:///{path}", tmp_path / "key")
    assert path.read_bytes().startswith(b"this is no database")
    assert not (tmp_path / "key").exists()


def test_a_home_that_cannot_be_made_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file is in the way")
    with pytest.raises(Mistake, match="folder '.*home' could not be made"):
        open_ledger(f"sqlite:///{tmp_path}/home/ledger.db", tmp_path / "key")


def test_a_folder_in_place_of_the_file_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").mkdir()
    with pytest.raises(Mistake, match="could not be opened"):
        open_ledger(f"sqlite:///{tmp_path}/ledger.db", tmp_path / "key")


def test_a_full_disk_leaves_the_ledger_as_it_was(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db", tmp_path / "key", tmp_path / "anchors")
    run_id = begin(ledger)
    before = rows(ledger, "SELECT count(*) FROM events")[0][0]
    fill(ledger)
    closing = runs.Closing(status="success", artifacts={"x": "y" * 500_000})
    with pytest.raises(Unready, match="the disk is full") as full:
        runs.close_run(ledger, ORG, run_id, 1, closing)
    assert full.value.remedy == "free some space"
    assert full.value.of_ledger
    fill(ledger, pages=1_000_000)
    assert rows(ledger, "SELECT count(*) FROM events")[0][0] == before
    assert runs.get_run(ledger, ORG, run_id).status == "running"
    assert verify(ledger, ORG).ok
    runs.close_run(ledger, ORG, run_id, 1, closing)
    ledger.close()


def test_an_error_inside_a_transaction_takes_everything_back(ledger: Ledger) -> None:
    def fail() -> None:
        with ledger.transaction() as connection:
            connection.execute("UPDATE agent_audit_log SET status = 'lost'")
            raise ZeroDivisionError

    run_id = begin(ledger)
    with pytest.raises(ZeroDivisionError):
        fail()
    assert runs.get_run(ledger, ORG, run_id).status == "running"


def test_a_statement_that_the_database_refuses_is_one_of_our_errors(ledger: Ledger) -> None:
    with pytest.raises(RoundsmanError, match="refused a statement"):
        change(ledger, "INSERT INTO nowhere VALUES (1)")


def test_commits_are_durable(ledger: Ledger) -> None:
    if ledger.dialect.name == "sqlite":
        assert rows(ledger, "PRAGMA synchronous")[0][0] == 2
        assert rows(ledger, "PRAGMA journal_mode")[0][0] == "wal"
    else:
        assert rows(ledger, "SHOW synchronous_commit")[0][0] == "on"
        assert rows(ledger, "SHOW fsync")[0][0] == "on"


def test_a_writer_killed_in_the_middle_leaves_whole_runs_only(home: Home, ledger: Ledger) -> None:
    victim = child(
        home,
        "import uuid\nledger = open_ledger(url, key, anchors)\nprint('on', flush=True)\n"
        "while True:\n"
        "    run_id = str(uuid.uuid4())\n"
        "    me = runs.this_holder()\n"
        "    runs.queue_run(ledger, 'default', run_id, ask(), me)\n"
        "    runs.open_attempt(ledger, 'default', run_id, opening(), me)\n"
        "    runs.begin_step(ledger, 'default', run_id, 1, StepBegin(index=0, name='q'))\n"
        "    runs.close_run(ledger, 'default', run_id, 1, Closing(status='success'))\n",
    )
    assert victim.stdout is not None
    assert victim.stdout.readline() == "on\n"
    for _ in range(200):
        if rows(ledger, "SELECT count(*) FROM events")[0][0] > 40:
            break
        victim.poll()
    victim.kill()
    victim.communicate()
    whole_run(open_again(home))
    assert verify(ledger, ORG).problems == []
    (left,) = rows(ledger, "SELECT count(*) FROM agent_audit_log WHERE status = 'running'")
    assert left[0] == 0


def test_a_second_process_sees_what_the_first_committed(home: Home, ledger: Ledger) -> None:
    run_id = whole_run(ledger)
    code = (
        "ledger = open_ledger(url, key, anchors)\n"
        "print(json.dumps(runs.get_run(ledger, 'default', arguments[0]).status))"
    )
    assert said(child(home, code, run_id)) == "success"


def open_again(home: Home) -> Ledger:
    return open_ledger(home.url, home.key, home.anchors)


def fill(ledger: Ledger, pages: int = 1) -> None:
    """Let the file grow no further (or again), as a full disk would."""
    with ledger.reading() as connection:
        connection.execute(f"PRAGMA max_page_count = {pages}")
