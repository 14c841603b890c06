"""A file appears together with the fact that it was written, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from roundsman.envelope import Identity, Run
from roundsman.errors import Fenced, Mistake, Refused
from roundsman.store import Ledger, runs
from roundsman.store.artifacts import ArtifactStore, Content, Draft, prepare
from roundsman.store.events import read_events
from roundsman.store.history import artifact_rows
from roundsman.store.verify import verify
from tests.store.words import ORG, begin, opening

AGENT = "warehouse_health"
NAME = "report.md"


class Slow(ArtifactStore):
    """A store on which much happens between laying a file aside and publishing it."""

    def __init__(self, root: Path, meanwhile: Callable[[], object]) -> None:
        super().__init__(root, ORG)
        self.meanwhile = meanwhile

    @contextmanager
    def laid_aside(self, path: str, content: Content, agent_name: str) -> Generator[Draft]:
        with super().laid_aside(path, content, agent_name) as draft:
            self.meanwhile()
            yield draft


def attempt_of(ledger: Ledger, run_id: str, store: ArtifactStore, number: int) -> Run:
    run = Run(Identity(run_id, ORG, AGENT, (), True), ledger, store)
    run.attempt = number
    return run


def test_an_attempt_that_was_declared_dead_does_not_replace_its_successor_s_file(
    ledger: Ledger, tmp_path: Path
) -> None:
    run_id = begin(ledger)
    store = ArtifactStore(tmp_path, ORG)

    def take_over() -> None:
        runs.open_attempt(ledger, ORG, run_id, opening(), runs.this_holder())
        attempt_of(ledger, run_id, store, 2).write(NAME, "the second attempt's")

    first = attempt_of(ledger, run_id, Slow(tmp_path, take_over), 1)
    with pytest.raises(Fenced, match="attempt 2 has taken over"):
        first.write(NAME, "the first attempt's")

    assert store.read(NAME, AGENT) == "the second attempt's"
    assert [file.name for file in store.locate(NAME, AGENT).parent.iterdir()] == [NAME]
    (row,) = artifact_rows(ledger, ORG, run_id)
    assert (row.state, row.sha256) == ("written", prepare("the second attempt's").sha256)
    assert isinstance(first.stopped, Fenced)
    assert verify(ledger, ORG).ok


def test_a_file_is_published_with_its_fact(ledger: Ledger, tmp_path: Path) -> None:
    run_id = begin(ledger)
    store = ArtifactStore(tmp_path, ORG)
    path = attempt_of(ledger, run_id, store, 1).write(NAME, "whole")
    assert path.read_text() == "whole"
    assert [event.kind for event in read_events(ledger, ORG)][-2:] == [
        "artifact_intended",
        "artifact_written",
    ]
    (row,) = artifact_rows(ledger, ORG, run_id)
    assert (row.state, row.bytes) == ("written", 5)


def test_a_file_that_cannot_be_placed_is_not_told_as_written(
    ledger: Ledger, tmp_path: Path
) -> None:
    run_id = begin(ledger)
    store = ArtifactStore(tmp_path, ORG)
    blocked = Slow(tmp_path, lambda: (store.locate(NAME, AGENT) / "in the way").mkdir(parents=True))
    with pytest.raises(Refused, match="could not be written"):
        attempt_of(ledger, run_id, blocked, 1).write(NAME, "whole")
    (row,) = artifact_rows(ledger, ORG, run_id)
    assert row.state == "intended"
    assert read_events(ledger, ORG)[-1].kind == "artifact_intended"


def test_a_file_that_nobody_intended_is_not_published(ledger: Ledger, tmp_path: Path) -> None:
    run_id = begin(ledger)
    store = ArtifactStore(tmp_path, ORG)
    with (
        store.laid_aside(NAME, prepare("x"), AGENT) as draft,
        pytest.raises(Mistake, match="never intended"),
    ):
        runs.publish(ledger, ORG, run_id, 1, draft)
    assert store.list_files(AGENT) == []
