"""The file of messages: each whole or not at all, and it says itself what is in it."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from blocks.notify import OutboxNotify, outbox
from roundsman.errors import Misread, Refused
from roundsman.permits import NotSent
from tests.blocks.channels import message
from tests.blocks.permitted import LiveRun, live_run
from tests.copies import ROOT
from tests.processes import together
from tests.store.words import change


@pytest.fixture
def live(run_home: Path) -> Iterator[LiveRun]:
    """A run that may act."""
    with live_run() as run:
        yield run


def send(live: LiveRun, block: OutboxNotify, number: int = 1) -> None:
    """Send a message by a permit of its own."""
    told = message(id=str(number))
    block.send(told, permit=live.permit(block.send, told))


def test_a_person_can_read_what_was_sent(live: LiveRun, tmp_path: Path) -> None:
    block = OutboxNotify(path=tmp_path / "new" / "outbox.jsonl")
    told = message(text="Grüße, 132 fehlen")
    permit = live.permit(block.send, told)
    block.send(told, permit=permit)
    [line] = block.path.read_text().splitlines()
    assert "Grüße, 132 fehlen" in line
    found = json.loads(line)
    assert found.pop("sent_at")
    assert found == {"permit": permit.key, **told.model_dump(mode="json")}
    assert block.path.stat().st_mode & 0o777 == 0o600


def test_what_a_kill_has_torn_is_written_over(live: LiveRun, tmp_path: Path) -> None:
    block = OutboxNotify(path=tmp_path / "outbox.jsonl")
    send(live, block, 1)
    torn = '{"permit": "x", "title": "' + "a" * 9_000
    with block.path.open("a") as file:
        file.write(torn)
    assert block.confirm("x") is None
    send(live, block, 2)
    ids = [json.loads(line)["id"] for line in block.path.read_text().splitlines()]
    assert ids == ["1", "2"]


def test_a_message_whose_answer_was_lost_is_found_and_not_sent_again(
    live: LiveRun, tmp_path: Path
) -> None:
    block = OutboxNotify(path=tmp_path / "outbox.jsonl")
    permit = live.permit(block.send, message())
    receipt = block.send(message(), permit=permit)
    # As a kill between the effect and its settling leaves it.
    change(live.run.ledger, "UPDATE actions SET state = 'unknown'")
    again = live.permit(block.send, message())
    assert again.may_act
    assert block.send(message(), permit=again) == receipt
    assert len(block.path.read_text().splitlines()) == 1
    assert live.row(again).state == "done"


def test_a_message_in_a_file_that_was_renamed_beside_it_is_found(
    live: LiveRun, tmp_path: Path
) -> None:
    block = OutboxNotify(path=tmp_path / "outbox[1].jsonl")
    permit = live.permit(block.send, message())
    receipt = block.send(message(), permit=permit)
    change(live.run.ledger, "UPDATE actions SET state = 'unknown'")
    block.path.rename(tmp_path / "outbox[1].jsonl.1")
    assert block.send(message(), permit=live.permit(block.send, message())) == receipt
    assert not block.path.exists()


def test_a_file_that_another_process_holds_is_waited_for_and_then_left(
    live: LiveRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = OutboxNotify(path=tmp_path / "outbox.jsonl")
    monkeypatch.setattr(outbox, "LOCK_SECONDS", 0.1)
    with block.path.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(NotSent, match="in use by another process"):
            send(live, block)
    send(live, block)
    assert len(block.path.read_text().splitlines()) == 1


def _append(path: Path, letter: str) -> None:
    block = OutboxNotify(path=path)
    for _ in range(200):
        with block._locked(60) as file:
            block._append(file, (letter * 3_000 + "\n").encode())


def test_processes_that_write_at_once_tear_no_line(tmp_path: Path) -> None:
    path = tmp_path / "outbox.jsonl"
    assert together(_append, [(path, letter) for letter in "abc"]) == [0, 0, 0]
    lines = path.read_text().splitlines()
    assert sorted(lines) == sorted(letter * 3_000 for letter in "abc" for _ in range(200))


def test_a_full_file_is_refused_with_what_to_do(
    live: LiveRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = OutboxNotify(path=tmp_path / "outbox.jsonl")
    send(live, block, 1)
    monkeypatch.setattr(outbox, "FILE_BYTES_MAX", block.path.stat().st_size + 10)
    with pytest.raises(Refused, match=r"would exceed \d+ bytes; rename it to 'outbox.jsonl.1'"):
        send(live, block, 2)
    assert len(block.path.read_text().splitlines()) == 1


CROWDED = """
import resource, sys
from pathlib import Path
from blocks.notify import OutboxNotify
from roundsman.permits import NotSent
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, 3_000))
block = OutboxNotify(path=Path(sys.argv[1]))
try:
    for number in range(3):
        with block._locked(1) as file:
            block._append(file, b"x" * 1_999 + b"\\n")
except NotSent as error:
    print(number, error)
"""


def test_a_line_for_which_there_is_no_room_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "outbox.jsonl"
    command = [sys.executable, "-c", CROWDED, str(path)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert said.stdout.startswith("1 outbox"), said.stderr
    assert "took only a part, which was taken back; free some space" in said.stdout
    assert path.read_text() == "x" * 1_999 + "\n"


def test_a_file_of_something_else_is_not_believed(tmp_path: Path) -> None:
    block = OutboxNotify(path=tmp_path / "outbox.jsonl")
    for text in ("notes\n", "[]\n", "{}\n"):
        block.path.write_text(text)
        with pytest.raises(Misread, match="a line that is no message"):
            block.confirm("x")


def test_a_folder_is_no_outbox(live: LiveRun, tmp_path: Path) -> None:
    block = OutboxNotify(path=tmp_path)
    with pytest.raises(Refused, match="is no file"):
        block.probe()
    with pytest.raises(Refused, match="cannot be opened"):
        send(live, block)
