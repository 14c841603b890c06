"""A killed process leaves no run open, no effect twice and a record that is true."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kills.cases import CASES, KINDS, Case
from tests.kills.play import play
from tests.kills.scene import Scene
from tests.servers.prefect_server import PrefectServer

ONE_OF_EACH = [next(case for case in CASES if case.kind == kind) for kind in KINDS]

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, prefect_server: PrefectServer) -> Scene:
    return Scene(tmp_path_factory.mktemp("kills"), prefect_server.url)


@pytest.mark.parametrize("case", ONE_OF_EACH, ids=KINDS)
def test_after_a_kill_the_record_says_what_was_true(
    case: Case, scene: Scene, tmp_path: Path
) -> None:
    assert play(scene, case, tmp_path / "home") == []


def test_fifty_kills_are_fifty() -> None:
    assert len(CASES) == 50
    assert len({case.kill + case.script for case in CASES}) == 50
