"""dbt commands that are forked from one process: apart from each other, and whatever befalls it."""

from __future__ import annotations

import os
import resource
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from blocks.transform import process
from blocks.transform.child import Finished, run_dbt
from tests.blocks.test_transform_build import write_project

pytestmark = pytest.mark.engine
# More than a socket takes at once.
LONG = {f"LONG_{number}": "x" * 10_000 for number in range(50)}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_project(tmp_path / "chain")
    return tmp_path / "chain"


def ls(project: Path, target: Path) -> Finished:
    places = ["--project-dir", str(project), "--profiles-dir", str(project)]
    mine = {**os.environ, "DBT_TARGET_PATH": str(target), **LONG}
    return run_dbt(["ls", "--quiet", *places], project, mine, 300)


def test_commands_at_once_have_an_environment_and_an_output_each(
    project: Path, tmp_path: Path
) -> None:
    targets = [tmp_path / "one", tmp_path / "two"]
    with ThreadPoolExecutor(len(targets)) as threads:
        left = list(threads.map(lambda target: ls(project, target), targets))
    assert [(done.code, done.error) for done in left] == [(0, None)] * len(targets)
    assert left[0].plain == left[1].plain
    assert "chain.top" in left[0].plain
    assert all((target / "manifest.json").exists() for target in targets)


def test_one_that_died_is_replaced_and_a_command_that_is_killed_says_so(
    project: Path, tmp_path: Path
) -> None:
    assert ls(project, tmp_path / "one").code == 0
    server = process.running_server()
    assert server is not None
    os.kill(server, signal.SIGKILL)
    assert ls(project, tmp_path / "two").code == 0
    second = process.running_server()
    assert second not in (None, server)
    # One that can hold no more files cannot take an order either.
    resource.prlimit(second or 0, resource.RLIMIT_NOFILE, (6, 6))
    assert ls(project, tmp_path / "three").code == 0
    assert process.running_server() not in (None, server, second)

    with (tmp_path / "output").open("wb") as output:
        begun = process.start(["debug"], project, {}, output.fileno())
        os.killpg(begun.pid, signal.SIGKILL)
        assert begun.wait(60) == process.KILLED
        begun.end()


def test_a_folder_that_is_gone_is_a_failure_that_says_so(tmp_path: Path) -> None:
    done = run_dbt(["debug"], tmp_path / "gone", {**os.environ}, 60)
    assert done.code == 1
    assert "No such file or directory" in (done.error or "")
