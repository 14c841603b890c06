"""What a dbt project says about itself, on real dbt and DuckDB; each call of dbt takes seconds."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from blocks.transform import DbtTransform
from blocks.transform.artifacts import ACTION_MARK, NODES_MARK, RunResults
from blocks.transform.child import QUIET, run_dbt
from roundsman.errors import Misread, Mistake, Refused, RoundsmanError, Unready
from roundsman.rules.pulse import PulseReading
from roundsman.settings import environment, get_settings

PROJECT = "name: tiny\nversion: '1.0'\nprofile: tiny\nmodel-paths: [models]\n"
PROFILES = """
tiny:
  target: dev
  outputs:
    dev: {type: duckdb, path: "{{ env_var('TINY_FILE', 'tiny.duckdb') }}", threads: 1}
"""
SOURCES = """
sources:
  - name: raw
    schema: main
    tables:
      - name: events
        config:
          loaded_at_field: seen_at
          freshness:
            warn_after: {count: 1, period: hour}
            error_after: {count: 1, period: day}
      - name: orders
        config:
          loaded_at_field: seen_at
          freshness: {error_after: {count: 12, period: hour}}
models:
  - name: counted
    config: {tags: [daily]}
    columns: [{name: n, data_tests: [not_null]}]
"""


def write_project(folder: Path) -> None:
    (folder / "models").mkdir(parents=True)
    (folder / "dbt_project.yml").write_text(PROJECT)
    (folder / "profiles.yml").write_text(PROFILES)
    (folder / "models/schema.yml").write_text(SOURCES)
    (folder / "models/counted.sql").write_text(
        "select count(*) as n from {{ source('raw', 'events') }}"
    )
    (folder / "models/broken.sql").write_text("select nope from {{ source('raw', 'orders') }}")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that was built once: one model failed, one source is late, one stale."""
    folder = tmp_path_factory.mktemp("dbt") / "tiny"
    write_project(folder)
    with duckdb.connect(str(folder / "tiny.duckdb")) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("CREATE TABLE events AS SELECT now() - INTERVAL 2 HOUR AS seen_at")
        connection.execute("CREATE TABLE orders AS SELECT now() - INTERVAL 3 DAY AS seen_at")
    done = run_dbt(["build", "--project-dir", ".", "--profiles-dir", "."], folder, mine(), 120)
    assert done.code == 1
    return folder


@pytest.fixture
def project(built: Path, tmp_path: Path) -> Path:
    """A copy of that project for a test of its own."""
    return Path(shutil.copytree(built, tmp_path / "tiny"))


def mine() -> dict[str, str]:
    return {name: value for name, value in environment().items() if "ROUNDSMAN" not in name}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def statuses(reading: PulseReading) -> dict[str, tuple[str, str]]:
    return {node.name: (node.kind, node.status) for node in reading.nodes}


@pytest.mark.covers("A-008", "A-042")
@pytest.mark.engine
def test_a_pulse_tells_models_tests_and_sources_and_changes_nothing(built: Path) -> None:
    before = contents(built)

    reading = DbtTransform(project_dir=built).pulse()

    assert statuses(reading) == {
        "broken": ("model", "error"),
        "counted": ("model", "success"),
        "not_null_counted_n": ("test", "pass"),
    }
    assert "nope" in next(n.message or "" for n in reading.nodes if n.name == "broken")
    assert reading.command == "build"
    assert reading.ran_at
    assert datetime.now(UTC) - reading.ran_at < timedelta(minutes=5)
    assert reading.sources
    events, orders = sorted(reading.sources, key=lambda source: source.name)
    assert (events.name, events.status, events.warn_after_seconds) == ("raw.events", "warn", 3600)
    assert (orders.name, orders.status, orders.error_after_seconds) == (
        "raw.orders",
        "error",
        43200,
    )
    assert events.newest
    assert 7_200 <= (events.age_seconds or 0) < 7_800
    # Neither the project (its last results included) nor the database has changed by a byte.
    assert contents(built) == before


@pytest.mark.engine
def test_selectors_are_dbts_own_and_reach_the_sources_behind_the_models(built: Path) -> None:
    reading = DbtTransform(project_dir=built).pulse(["tag:daily"])
    assert set(statuses(reading)) == {"counted", "not_null_counted_n"}
    assert [source.name for source in reading.sources or ()] == ["raw.events"]


@pytest.mark.engine
def test_without_freshness_only_files_are_read(built: Path, tmp_path: Path) -> None:
    elsewhere = DbtTransform(project_dir=built, timeout_seconds=0.001)
    assert elsewhere.pulse(run_freshness=False).sources is None
    write_project(tmp_path / "new")
    (tmp_path / "new/models/schema.yml").write_text("sources: [{name: raw, tables: []}]\n")
    reading = DbtTransform(project_dir=tmp_path / "new", timeout_seconds=0.001).pulse()
    assert (reading.sources, reading.ran_at) == ((), None)
    assert "dbt has not run yet" in reading.notes[0]


@pytest.mark.engine
def test_a_broken_project_is_refused_in_dbts_own_words(project: Path) -> None:
    (project / "models/broken.sql").write_text("select {{ nope(")
    with pytest.raises(Refused, match="Compilation Error in model broken"):
        DbtTransform(project_dir=project).pulse()


@pytest.mark.engine
def test_a_database_that_somebody_else_has_open_is_unready(project: Path) -> None:
    text = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(1, flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", text, str(project / "tiny.duckdb")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout
        holder.stdout.readline()
        with pytest.raises(Unready, match="lock"):
            DbtTransform(project_dir=project).pulse()
    finally:
        holder.kill()
        holder.communicate()


@pytest.mark.engine
def test_a_dbt_that_takes_too_long_is_ended_with_all_that_it_started(project: Path) -> None:
    with pytest.raises(Unready, match="took longer than 0.3 s"):
        DbtTransform(project_dir=project, timeout_seconds=0.3).pulse()
    assert processes_about(project) == []


def processes_about(folder: Path) -> list[int]:
    """Who works in a folder, as dbt does in its project's."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            if path.readlink() == folder:
                found.append(int(path.parent.name))
    return found


@pytest.mark.engine
def test_a_probe_checks_project_profile_and_connection(built: Path, project: Path) -> None:
    found = DbtTransform(project_dir=built).probe()
    assert found.reachable
    assert found.version.startswith("dbt 1.")
    with pytest.raises(Refused, match="nowhere"):
        DbtTransform(project_dir=project, target="nowhere").probe()


# Files that are missing or something else: no dbt is started for them.


def unready_to_run(folder: Path, **options: Any) -> DbtTransform:
    """A block whose dbt would be ended at once."""
    return DbtTransform(project_dir=folder, timeout_seconds=0.001, **options)


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("dbt_project.yml", None, "does not exist"),
        ("profiles.yml", None, "does not exist"),
        ("dbt_project.yml", "profile: [", "cannot be read"),
        ("dbt_project.yml", "just a word", "is no mapping"),
        ("dbt_project.yml", "profile: other", "profile 'other' is not in"),
        ("profiles.yml", "tiny: 5", "profile 'tiny' is not in"),
    ],
)
def test_a_project_without_its_files_is_refused_by_their_names(
    tmp_path: Path, file: str, text: str | None, said: str
) -> None:
    write_project(tmp_path / "tiny")
    path = tmp_path / "tiny" / file
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(Refused, match=said) as caught:
        unready_to_run(tmp_path / "tiny").pulse()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "JSON"),
        ("[]", "should be an object"),
        ('{"metadata": {}, "results": []}', "metadata.generated_at"),
        ('{"metadata": {"generated_at": "2026-05-04T00:00:00Z"}}', "results"),
        (
            '{"metadata": {"generated_at": "2026-05-04T00:00:00Z"}, "results": [{"status": 5}]}',
            "results.0",
        ),
    ],
)
def test_results_in_another_shape_are_misread_and_say_where(
    tmp_path: Path, text: str, said: str
) -> None:
    target = results_in(tmp_path)
    target.write_text(text)
    with pytest.raises(Misread, match=said):
        unready_to_run(tmp_path / "tiny").pulse(run_freshness=False)


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
def test_results_of_a_time_that_never_is_are_misread(tmp_path: Path, at: str) -> None:
    results_in(tmp_path).write_text(results(generated_at=at))
    with pytest.raises(Misread, match="metadata.generated_at: .*is no time that UTC has"):
        unready_to_run(tmp_path / "tiny").pulse(run_freshness=False)


def test_a_duration_that_is_no_number_is_misread(tmp_path: Path) -> None:
    results_in(tmp_path).write_text(results().replace("1.5", "NaN"))
    with pytest.raises(Misread, match="results.0.execution_time: .*finite number"):
        unready_to_run(tmp_path / "tiny").pulse(run_freshness=False)


def test_a_mark_that_is_no_number_tells_of_no_build() -> None:
    marks = {ACTION_MARK: "x", NODES_MARK: "many"}
    read = RunResults.model_validate_json(results(env=marks))
    assert read.build_of("x") is None


def results_in(tmp_path: Path, target: str = "target") -> Path:
    write_project(tmp_path / "tiny")
    (tmp_path / "tiny" / target).mkdir()
    return tmp_path / "tiny" / target / "run_results.json"


def results(which: str = "run", **metadata: Any) -> str:
    node = {"unique_id": "model.tiny.counted", "status": "success", "execution_time": 1.5}
    at = {"generated_at": "2026-05-04T06:00:00.5Z", **metadata}
    return json.dumps({"metadata": at, "args": {"which": which}, "results": [node]})


@pytest.mark.parametrize("which", ["compile", "generate", "freshness"])
def test_commands_that_run_nothing_leave_no_results_of_a_run(tmp_path: Path, which: str) -> None:
    results_in(tmp_path).write_text(results(which))
    reading = unready_to_run(tmp_path / "tiny").pulse(run_freshness=False)
    assert (reading.ran_at, reading.nodes, reading.command) == (None, (), which)
    assert which in reading.notes[0]


def test_the_projects_own_target_path_is_where_the_results_are(tmp_path: Path) -> None:
    results_in(tmp_path, "built").write_text(results())
    with (tmp_path / "tiny/dbt_project.yml").open("a") as file:
        file.write("target-path: \"{{ env_var('TINY_TARGET', 'built') }}\"\n")
    reading = unready_to_run(tmp_path / "tiny").pulse(run_freshness=False)
    assert reading.ran_at == datetime(2026, 5, 4, 6, 0, 0, 500_000, UTC)
    assert statuses(reading) == {"counted": ("model", "success")}


def test_a_run_of_some_models_says_that_it_was_not_of_all(tmp_path: Path) -> None:
    path = results_in(tmp_path)
    path.write_text(results())
    nodes = {f"model.tiny.m{i}": {"resource_type": "model"} for i in range(4)}
    path.with_name("manifest.json").write_text(json.dumps({"nodes": nodes}))
    reading = unready_to_run(tmp_path / "tiny").pulse(run_freshness=False)
    assert reading.notes == ("the last run touched 1 of 4 models",)


@pytest.mark.parametrize("selector", ["--vars", "-s", "", " ", "a\nb"])
def test_what_would_be_an_option_of_dbt_is_no_selector(tmp_path: Path, selector: str) -> None:
    with pytest.raises(Mistake, match="not a dbt selector"):
        unready_to_run(tmp_path).pulse([selector])


def test_dbt_is_told_to_speak_to_nobody() -> None:
    assert QUIET["DBT_SEND_ANONYMOUS_USAGE_STATS"] == "false"
    assert QUIET["DBT_VERSION_CHECK"] == "false"


@pytest.mark.engine
def test_what_dbt_writes_for_us_stands_in_our_own_folder(built: Path) -> None:
    with pytest.raises(RoundsmanError):
        unready_to_run(built).pulse()
    assert list((get_settings().home / "dbt").iterdir())


def test_a_table_that_the_project_only_reads_is_a_source(project: Path) -> None:
    made = DbtTransform(project_dir=project)
    for name in ("main.events", "tiny.main.events", "MAIN.Orders"):
        assert made.is_source(name), name
    for name in ("main.counted", "other.main.events", "a.tiny.main.events", "raw.events"):
        assert not made.is_source(name), name
    shutil.rmtree(project / "target")
    # Without a manifest it is not known.
    assert not DbtTransform(project_dir=project).is_source("main.events")
