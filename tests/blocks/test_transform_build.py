"""A build of a dbt project by permit, on real dbt and DuckDB; each call of dbt takes seconds."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pytest

from blocks.transform import DbtTransform
from roundsman.errors import Denied, Mistake, Refused, Unready
from roundsman.permits import NotSent, declared_effects
from roundsman.settings import get_settings
from tests.blocks.permitted import LiveRun, live_run
from tests.blocks.purses import enforced

pytestmark = pytest.mark.engine
DEADLINE_SECONDS = 60
PROJECT = "name: chain\nversion: '1.0'\nprofile: chain\nmodel-paths: [models]\n"
PROFILES = """
chain:
  target: dev
  outputs:
    dev: {type: duckdb, path: chain.duckdb, threads: 1}
"""
MODELS = {
    "base": "select 1 as n",
    "grows": "{{ config(materialized='incremental') }} select 1 as n",
    "passing": "{{ config(materialized='ephemeral') }} select * from {{ ref('base') }}",
    "top": "select * from {{ ref('passing') }}",
    "table_of_top": "{{ config(materialized='table') }} select * from {{ ref('top') }}",
}
SCHEMA = """
models:
  - name: base
    columns: [{name: n, data_tests: [not_null]}]
exposures:
  - name: board
    type: dashboard
    owner: {name: Ada, email: ada@sample.example}
    depends_on: [ref('top')]
"""
# Long enough to be found at work, and never to end by itself within a test.
ENDLESS = "select count(*) as n from range(10000000) a, range(10000000) b where a.range < b.range"


def write_project(folder: Path) -> None:
    (folder / "models").mkdir(parents=True)
    (folder / "dbt_project.yml").write_text(PROJECT)
    (folder / "profiles.yml").write_text(PROFILES)
    (folder / "models/schema.yml").write_text(SCHEMA)
    for name, text in MODELS.items():
        (folder / f"models/{name}.sql").write_text(text)


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that was never built."""
    folder = tmp_path_factory.mktemp("builds") / "chain"
    write_project(folder)
    return folder


@pytest.fixture
def project(parsed: Path, tmp_path: Path) -> Path:
    """A copy of that project for a test of its own."""
    return Path(shutil.copytree(parsed, tmp_path / "chain"))


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveRun]:
    """A live run in a home of its own."""
    monkeypatch.setenv("ROUNDSMAN_HOME", str(tmp_path / "home"))
    get_settings.cache_clear()
    with live_run() as run:
        yield run
    get_settings.cache_clear()


def rows(project: Path, table: str) -> int:
    with duckdb.connect(str(project / "chain.duckdb"), read_only=True) as connection:
        found = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert found
    return int(found[0])


def processes_about(folder: Path) -> list[int]:
    """Who works in a folder, as dbt does in its project's."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            if path.readlink() == folder:
                found.append(int(path.parent.name))
    return found


def is_free(file: Path) -> bool:
    """Whether nobody holds a file any more; a process loses its folder before its files."""
    try:
        with duckdb.connect(str(file)) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except duckdb.IOException:
        return False


def wait_until(true: Any) -> bool:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.covers("A-020", "A-042", "A-043")
def test_a_build_is_a_real_one_and_its_results_bear_the_permits_key(
    project: Path, live: LiveRun
) -> None:
    dbt = DbtTransform(project_dir=project)
    permit = live.permit(dbt.build)
    assert dbt.confirm(permit.key) is None
    assert dbt.current_facts(("last_build_at",)) == {"last_build_at": None}

    told = dbt.build(permit=permit)

    assert (told.success, told.models_run, told.nodes_built, told.nodes) == (True, 4, 4, 4)
    assert told.duration_sec > 0
    assert set(told.built) == {"base", "grows", "top", "table_of_top"}
    row = live.row(permit)
    assert (row.state, row.lost_answer, row.action) == ("done", "askable", "build")
    assert row.payload == {"selectors": [], "full_refresh": False}
    assert row.result == told.model_dump(mode="json")
    assert rows(project, "table_of_top") == 1
    # The project's own target folder has the results: the pulse is of this build.
    pulse = dbt.pulse(run_freshness=False)
    assert pulse.ran_at == told.ended_at
    assert pulse.ran_at
    assert dbt.current_facts(("last_build_at",)) == {"last_build_at": pulse.ran_at.isoformat()}
    assert dbt.confirm(permit.key) == told
    assert dbt.confirm("another") is None


@pytest.mark.covers("A-020")
def test_selectors_choose_and_a_full_refresh_begins_anew(project: Path, live: LiveRun) -> None:
    dbt = DbtTransform(project_dir=project)
    counted: list[int] = []
    for number, full_refresh in enumerate((False, False, True)):
        target = f"transform/{number}"
        permit = live.permit(dbt.build, ["grows"], full_refresh, target=target)
        told = dbt.build(["grows"], full_refresh, permit=permit)
        assert told.built == ("grows",)
        counted.append(rows(project, "grows"))
    assert counted == [1, 2, 1]


def test_what_failed_of_a_build_is_told_with_what_was_built(project: Path, live: LiveRun) -> None:
    (project / "models/top.sql").write_text("select nope from {{ ref('passing') }}")
    dbt = DbtTransform(project_dir=project)
    permit = live.permit(dbt.build)
    with pytest.raises(Refused, match=r"2 of 4 nodes were built, and model 'top' ended as") as told:
        dbt.build(permit=permit)
    assert "nope" in told.value.said
    assert told.value.kind == "Refused"
    row = live.row(permit)
    assert row.state == "failed"
    assert row.result
    assert (row.result["success"], row.result["nodes_failed"]) == (False, 1)
    assert row.result["skipped"] == ["table_of_top"]
    assert row.result["failed"][0]["name"] == "top"


@pytest.mark.parametrize(
    ("selector", "said"),
    [("nosuch", "finds nothing to build by 'nosuch'"), ("no:such", "not a valid method name")],
)
def test_selectors_that_choose_nothing_are_refused_before_anything_ran(
    project: Path, live: LiveRun, selector: str, said: str
) -> None:
    dbt = DbtTransform(project_dir=project)
    permit = live.permit(dbt.build, [selector])
    with pytest.raises(Refused, match=said):
        dbt.build([selector], permit=permit)
    assert live.row(permit).state == "failed"
    assert not (project / "target").exists()
    assert not (project / "chain.duckdb").exists()


def test_what_is_no_selector_or_no_project_starts_no_dbt(project: Path, live: LiveRun) -> None:
    dbt = DbtTransform(project_dir=project, timeout_seconds=0.001)
    with pytest.raises(Mistake, match="not a dbt selector"):
        dbt.build(["--vars"], permit=live.permit(dbt.build, ["--vars"]))
    (project / "dbt_project.yml").unlink()
    with pytest.raises(Refused, match="does not exist"):
        dbt.build(permit=live.permit(dbt.build, target="transform/gone"))


def test_a_project_that_does_not_compile_is_refused_and_nothing_is_built(
    project: Path, live: LiveRun
) -> None:
    (project / "models/top.sql").write_text("select {{ nope(")
    dbt = DbtTransform(project_dir=project)
    permit = live.permit(dbt.build)
    with pytest.raises(Refused, match="Compilation Error in model top"):
        dbt.build(permit=permit)
    assert live.row(permit).state == "failed"
    assert not (project / "chain.duckdb").exists()


def test_a_build_that_took_too_long_is_unknown_and_is_done_again_by_the_same_permit(
    project: Path, live: LiveRun
) -> None:
    dbt = DbtTransform(project_dir=project, build_timeout_seconds=0.3)
    permit = live.permit(dbt.build, ["base"])
    with pytest.raises(Unready, match=r"took longer than 0.3 s.*build_timeout_seconds"):
        dbt.build(["base"], permit=permit)
    assert processes_about(project) == []
    assert live.row(permit).state == "unknown"
    assert dbt.confirm(permit.key) is None

    patient = DbtTransform(project_dir=project)
    again = live.permit(patient.build, ["base"])
    assert (again.key, again.may_act) == (permit.key, True)
    assert patient.build(["base"], permit=again).built == ("base",)
    assert live.row(permit).state == "done"


def test_a_build_whose_answer_was_lost_is_found_and_not_done_again(
    project: Path, live: LiveRun
) -> None:
    from roundsman.store import actions
    from roundsman.store.records import Claim

    dbt = DbtTransform(project_dir=project)
    permit = live.permit(dbt.build, ["grows"])
    # As if the process had died after dbt ended and before the permit was settled.
    bound = live.row(permit).payload_sha256
    live.run.fenced(actions.claim, Claim(action_id=permit.key, payload_sha256=bound))
    with dbt._alone(dbt._project()):
        marks = (permit.key, 1)
        dbt._build_alone(dbt._project(), ["build", "--select", "grows"], marks)
    with live.run.ledger.transaction() as connection:
        actions.lose(connection, live.run.ledger, live.run.org, live.run.id, "it died")
    again = live.permit(dbt.build, ["grows"])
    assert (again.key, again.state) == (permit.key, "unknown")

    told = dbt.build(["grows"], permit=again)

    assert told.built == ("grows",)
    assert live.row(permit).state == "done"
    assert "found outside" in (live.row(permit).said or "")
    assert rows(project, "grows") == 1


def test_a_database_that_somebody_else_has_open_leaves_the_right_to_build_unused(
    project: Path, live: LiveRun
) -> None:
    text = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(1, flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", text, str(project / "chain.duckdb")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    dbt = DbtTransform(project_dir=project)
    permit = live.permit(dbt.build, ["base"])
    try:
        assert holder.stdout
        holder.stdout.readline()
        with pytest.raises(NotSent, match="lock"):
            dbt.build(["base"], permit=permit)
    finally:
        holder.kill()
        holder.communicate()
    assert live.row(permit).state == "allowed"


def test_a_spent_budget_leaves_the_right_to_build_unused(project: Path, live: LiveRun) -> None:
    dbt = DbtTransform(project_dir=project, timeout_seconds=0.001)
    permit = live.permit(dbt.build)
    with enforced(ops=0), pytest.raises(NotSent, match="all 0 operations are used"):
        dbt.build(permit=permit)
    assert live.row(permit).state == "allowed"


def test_a_dry_run_builds_nothing(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROUNDSMAN_HOME", str(tmp_path / "home"))
    get_settings.cache_clear()
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    dbt = DbtTransform(project_dir=project)
    with live_run(dry_run=True) as run:
        permit = run.permit(dbt.build)
        assert not permit.may_act
        with pytest.raises(Denied, match="dry run"):
            dbt.build(permit=permit)
    get_settings.cache_clear()
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


def test_a_build_without_a_permit_is_denied(parsed: Path) -> None:
    with pytest.raises(Denied, match="no permit"):
        DbtTransform(project_dir=parsed).build([])  # pyright: ignore[reportCallIssue]
    assert declared_effects(DbtTransform)["build"].lost_answer == "askable"


def test_a_dbt_does_not_outlive_the_process_that_started_it_however_that_dies(
    project: Path,
) -> None:
    (project / "models/base.sql").write_text(
        "{{ config(materialized='table') }} " + ENDLESS,
    )
    script = (
        "import os, sys; from pathlib import Path; from blocks.transform.child import run_dbt; "
        "at = sys.argv[1]; run_dbt(['build', '--select', 'base', '--project-dir', at, "
        "'--profiles-dir', at], Path(at), dict(os.environ), 600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(project)])
    try:
        log = project / "logs/dbt.log"
        assert wait_until(lambda: log.exists() and "[RUN]" in log.read_text())
        # It is well inside DuckDB, and would be for hours.
        assert processes_about(project)
    finally:
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    try:
        assert wait_until(lambda: not processes_about(project))
    finally:
        for left in processes_about(project):
            os.kill(left, signal.SIGKILL)
    assert wait_until(lambda: is_free(project / "chain.duckdb"))
    assert DbtTransform(project_dir=project).confirm("any") is None


def test_the_blast_radius_counts_what_is_built_and_all_that_hangs_on_it(parsed: Path) -> None:
    radius = DbtTransform(project_dir=parsed).blast_radius(["base"])
    assert radius.selected == ("base",)
    # Through the ephemeral model, which itself is no table; tests are not counted.
    assert radius.downstream == ("passing", "table_of_top", "top")
    assert radius.exposures == ("board",)
    assert radius.size == 5
    assert not (parsed / "target").exists()


def test_a_blast_radius_of_nothing_is_refused(parsed: Path) -> None:
    with pytest.raises(Refused, match="finds nothing to build by 'test_type:generic'"):
        DbtTransform(project_dir=parsed).blast_radius(["test_type:generic"])
