"""A killed process leaves no run open, no effect twice and a record that is true."""

from __future__ import annotations

from pathlib import Path

import pytest

from blocks.systems import KINDS as KINDS_OF
from blocks.systems import block_class
from roundsman.permits import declared_effects
from tests.kills.cases import CASES, Case
from tests.kills.effects import EFFECTS, VERBS
from tests.kills.play import play
from tests.kills.scene import Scene
from tests.servers.prefect_server import PrefectServer

ALL = [*CASES, *EFFECTS]
KINDS = tuple(dict.fromkeys(case.kind for case in ALL))
ONE_OF_EACH = [next(case for case in ALL if case.kind == kind) for kind in KINDS]

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, prefect_server: PrefectServer) -> Scene:
    return Scene(tmp_path_factory.mktemp("kills"), prefect_server.url)


@pytest.mark.parametrize("case", ONE_OF_EACH, ids=KINDS)
def test_after_a_kill_the_record_says_what_was_true(
    case: Case, scene: Scene, tmp_path: Path
) -> None:
    assert play(scene, case, tmp_path / "home") == []


def test_there_are_fifty_kills_and_those_of_every_effect() -> None:
    assert len(CASES) >= 50
    assert len({(case.kill, case.script) for case in ALL}) == len(ALL)


def test_every_mutating_method_of_a_block_that_needs_no_server_is_killed() -> None:
    kinds = [block_class(role, kind) for role, known in KINDS_OF.items() for kind in known]
    effects = {f"{kind.__module__}:{kind.__name__}": set(declared_effects(kind)) for kind in kinds}
    far = {
        "blocks.search.elasticsearch:ElasticsearchSearch",
        "blocks.warehouse.bigquery:BigQueryWarehouse",
    }
    killed = {where: set(verbs) for where, verbs in VERBS.values()}
    assert killed == {where: verbs for where, verbs in effects.items() if where not in far}
