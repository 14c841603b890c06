"""Which real servers the tests meet, and what is said when one of them is missing."""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SERVERS = {
    "postgresql": "PostgreSQL: apt-get install postgresql-15",
    "elasticsearch": "Elasticsearch: Maven, unzip and a JDK >= 21, or "
    "ROUNDSMAN_TEST_ELASTICSEARCH_URL of a server that is already there",
    "bigquery": "BigQuery's wire format: python -m tests.servers.bigquery install",
    "chromium": "Chromium and its driver: apt-get install chromium chromium-driver",
    "promtool": "Prometheus and its promtool: apt-get install prometheus",
}
NOT_RUN = "not run: needs "
# Whoever asks for one of these meets a server of ours, or of Prefect.
SERVING = {"serve", "prefect_server"}
# Rooms whose tests meet an engine: embedded or real ones, servers, processes of their own.
ENGINE_ROOMS = ("api", "bench", "blocks", "client", "deployments", "flows", "kills", "page")


def _scrub() -> None:
    """Forget the caller's own Prefect and Roundsman, so that no test speaks to them."""
    for name in list(os.environ):
        own = name.startswith("ROUNDSMAN_TEST_")
        if name.startswith(("PREFECT_", "ROUNDSMAN_")) and not own:
            del os.environ[name]
    home = Path(tempfile.mkdtemp(prefix="roundsman-tests-"))
    os.environ["ROUNDSMAN_HOME"] = str(home)
    os.environ["PREFECT_HOME"] = str(home / "prefect")
    os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
    os.environ["DO_NOT_TRACK"] = "1"


_scrub()

# What is imported stays: looking through it for garbage is a third of the time of collecting.
gc.disable()

pytest.register_assert_rewrite("tests.servers")
# Fixtures stand beside the servers that they start.
pytest_plugins = [f"tests.servers.{path.stem}" for path in sorted((HERE / "servers").glob("*.py"))]


@cache
def is_available(server: str) -> bool:
    """Whether this machine can start the server, or the environment names a running one."""
    return bool(importlib.import_module(f"tests.servers.{server}").available())


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Read no file of a room that `-m` leaves out as a whole: that alone takes seconds."""
    is_room = collection_path.parent == HERE and collection_path.name in ENGINE_ROOMS
    return True if is_room and "not engine" in str(config.option.markexpr) else None


# First, because `-m` chooses by the markers that are given here.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        is_room = item.path.relative_to(HERE).parts[0] in ENGINE_ROOMS
        if is_room or SERVING & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.engine)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Look only for servers that a chosen test needs: whether there is a JDK takes a second."""
    for item in session.items:
        for marker in item.iter_markers("needs"):
            for server in marker.args:
                if not is_available(server):
                    item.add_marker(pytest.mark.skip(reason=NOT_RUN + server))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    gc.enable()
    gc.freeze()
    # Modules in C count what they find alive at the very end.
    atexit.register(gc.unfreeze)


def _not_run(reporter: pytest.TerminalReporter) -> Counter[str]:
    reasons = (str(report.longrepr) for report in reporter.stats.get("skipped", []))
    return Counter(reason.split(NOT_RUN)[1].strip("')") for reason in reasons if NOT_RUN in reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for server, count in _not_run(terminalreporter).items():
        terminalreporter.write_line(f"{count} tests were not run. {SERVERS[server]}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """`.ci/run` sets ROUNDSMAN_TEST_ALL: there a test that was not run is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("ROUNDSMAN_TEST_ALL") and reporter and _not_run(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
