"""Leaving the report behind: no run's files take the place of another's."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from roundsman.envelope import Identity, Run
from roundsman.store.artifacts import ArtifactStore
from tasks.report import claim_stem

AT = datetime(2025, 10, 17, 10, 30, 45, tzinfo=UTC)
NO_LEDGER: Any = None


def run(run_id: str, root: Path) -> Run:
    who = Identity(run_id, "default", "warehouse_health", (), True)
    return Run(who, NO_LEDGER, ArtifactStore(root, "default"))


@pytest.mark.covers("A-083")
def test_runs_of_one_second_have_names_of_their_own_before_either_has_written(
    tmp_path: Path,
) -> None:
    first, second = run("aaaaaaaa-1", tmp_path), run("bbbbbbbb-2", tmp_path)
    assert claim_stem(first, AT) == "report_2025-10-17_103045"
    assert claim_stem(second, AT) == "report_2025-10-17_103045_bbbbbbbb"


def test_a_folder_that_cannot_be_written_is_told_by_the_writing(tmp_path: Path) -> None:
    (tmp_path / "default").write_text("a file where a folder should be")
    assert claim_stem(run("aaaaaaaa-1", tmp_path), AT).endswith("_aaaaaaaa")
