"""The demo in phases: server, company, dbt, late arrivals, an agent's round, what it found."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from roundsman.cli.present import near
from roundsman.demo.server import running_server, start_server, stop_server
from roundsman.demo.words import say
from roundsman.errors import RoundsmanError
from roundsman.settings import Settings

if TYPE_CHECKING:
    from roundsman.store.records import AuditRow

ROUND = "warehouse_health/sample"
MART = "warehouse_health/sample-mart"
DBT_SECONDS_MAX = 120
DBT_SOURCES = Path(__file__).parent / "dbt"
PHASES = 5

SYSTEMS = """\
# The sample company's systems; `make demo` writes this file anew.
search:
  local: {kind: sqlite, path: search.db}
warehouse:
  local: {kind: duckdb, path: warehouse.duckdb}
transform:
  local: {kind: dbt, project_dir: dbt, profiles_dir: dbt, target: dev}
"""
PROFILE = """\
sample_company:
  target: dev
  outputs:
    dev:
      type: duckdb
      path: "{path}"
      threads: 1
      retries: {{connect_attempts: 6}}
      settings: {{TimeZone: UTC}}
"""


def show(settings: Settings) -> int:
    """Run the whole demo; returns 0 when the agent's run succeeded."""
    began = time.monotonic()
    say(f"The sample company lives in {near(settings.home)}; nothing else is touched.")
    write_home(settings)
    mine = running_server(settings) is None
    try:
        with phase(1, "a Prefect server of its own"):
            if mine:
                start_server(settings)
        row = _work(settings)
    finally:
        if mine:
            stop_server(settings)
    _where_to_look(settings, row, time.monotonic() - began)
    return 0 if row.status == "success" else 1


def write_home(settings: Settings) -> None:
    """Write the company's systems.yaml and its dbt project; ledger and reports stay."""
    home = settings.home
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    settings.systems.write_text(SYSTEMS, encoding="utf-8")
    # A model of an earlier version of the project would be built with the others.
    shutil.rmtree(home / "dbt" / "models", ignore_errors=True)
    shutil.copytree(DBT_SOURCES, home / "dbt", dirs_exist_ok=True)
    profile = PROFILE.format(path=home / "warehouse.duckdb")
    (home / "dbt" / "profiles.yml").write_text(profile, encoding="utf-8")


@contextmanager
def phase(number: int, words: str) -> Generator[None]:
    """Announce a phase, and how long it took."""
    say(f"[{number}/{PHASES}] {words} ... ", end="")
    began = time.monotonic()
    try:
        yield
    except BaseException:
        say("failed")
        raise
    say(f"{time.monotonic() - began:.1f} s")


def _work(settings: Settings) -> AuditRow:
    from roundsman.cli.ledger import open_memory
    from roundsman.cli.progress import watch_run
    from roundsman.cli.start import accepted, begin, finish_operation

    founded = {"dry_run": False, "allow_actions": True, "now": datetime.now(UTC).isoformat()}
    with phase(2, "two weeks of mail, in a search index and in a warehouse"):
        finish_operation("seed_sample", founded | {"arrivals": "before_build"})
    with phase(3, "dbt build, once"):
        build_models(settings)
    with phase(4, "the newest hours of mail, which that build did not see"):
        finish_operation("seed_sample", founded | {"arrivals": "after_build"})
    say(f"[5/{PHASES}] the agent makes its round: {ROUND}")
    memory = open_memory()
    run_id = accepted(begin(ROUND, {}))
    watch_run(memory, run_id)
    return memory.run(run_id)


def build_models(settings: Settings) -> None:
    """Run `dbt build` in a child process, which gives DuckDB's lock back by ending."""
    project = settings.home / "dbt"
    command = [sys.executable, "-m", "dbt.cli.main", "--quiet", "--no-use-colors", "build"]
    ended = subprocess.run(
        [*command, "--project-dir", str(project), "--profiles-dir", str(project)],
        env=settings.child_environment(),
        cwd=project,
        capture_output=True,
        text=True,
        timeout=DBT_SECONDS_MAX,
        check=False,
    )
    if ended.returncode:
        lines = (ended.stdout + ended.stderr).strip().splitlines()
        said = f"dbt build of '{project}' failed ({ended.returncode})"
        raise RoundsmanError(said, f"it said: {' / '.join(lines[-3:])}")


def _where_to_look(settings: Settings, row: AuditRow, seconds: float) -> None:
    from roundsman.cli.ledger import open_memory
    from roundsman.cli.summary import print_ended

    files = open_memory().files(row.run_id)
    say()
    command = f"{_roundsman()} --home {near(settings.home)}"
    print_ended(row, files, settings, command=command)
    say(f"  {command} run {MART} --live")
    say("               its mart is stale: have it built, and see it looked at again")
    say(f"  {_roundsman()} --help")
    say("  make up      keep the server, to see the run in Prefect's UI")
    say(f"\nThe whole demo took {seconds:.0f} s.")


def _roundsman() -> str:
    return near(Path(sys.executable).with_name("roundsman"))
