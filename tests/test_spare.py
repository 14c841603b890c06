"""The process that waits for the next run: what it may be used for, and when it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from roundsman.catalog import Order
from roundsman.errors import Unready
from roundsman.settings import Settings
from roundsman.spare import Spare
from tests.agents.looking import __name__ as looking
from tests.api.served import make_settings, until
from tests.copies import ROOT
from tests.servers.prefect_server import PrefectServer

pytestmark = pytest.mark.engine

ORDER = Order("looking", {"operations": 1}, entrypoint=f"{looking}:looking")


@pytest.fixture
def settings(
    tmp_path: Path, prefect_server: PrefectServer, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return make_settings(tmp_path, prefect_api_url=prefect_server.url, api_spare_children=1)


@pytest.fixture
def spare(settings: Settings) -> Iterator[Spare]:
    """Filled by each test itself: pytest names the phase of a test in the environment."""
    spare = Spare(settings)
    yield spare
    spare.close()


def filled(spare: Spare, settings: Settings) -> int:
    """The process that waits from now on."""
    spare.fill(settings)
    assert spare.pid is not None
    return spare.pid


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state == "Z"


def test_the_process_that_waits_carries_out_one_run_and_another_takes_its_place(
    spare: Spare, settings: Settings
) -> None:
    first = filled(spare, settings)
    started = spare.start(ORDER, settings)
    assert started.pid == first
    assert spare.pid is None
    spare.fill(settings)
    assert spare.pid not in (None, first)
    assert started.wait()["closed"] == "success"
    assert started.end() == 0


def test_filling_twice_keeps_the_process_that_waits(spare: Spare, settings: Settings) -> None:
    first = filled(spare, settings)
    spare.fill(settings)
    assert spare.pid == first


def test_a_process_that_died_while_it_waited_is_replaced(spare: Spare, settings: Settings) -> None:
    first = filled(spare, settings)
    os.kill(first, signal.SIGKILL)
    until(lambda: is_gone(first))
    started = spare.start(ORDER, settings)
    assert started.pid != first
    assert started.wait()["closed"] == "success"
    spare.fill(settings)
    assert spare.pid not in (None, first)


def test_other_settings_are_not_for_the_process_that_waits(
    spare: Spare, settings: Settings
) -> None:
    first = filled(spare, settings)
    other = settings.model_copy(update={"org_id": "other"})
    started = spare.start(ORDER, other)
    assert started.pid != first
    assert is_gone(first)
    assert started.wait()["closed"] == "success"
    spare.fill(other)
    assert spare.pid is not None


def test_a_changed_list_of_systems_is_not_for_the_process_that_waits(
    spare: Spare, settings: Settings
) -> None:
    first = filled(spare, settings)
    settings.systems.write_text("{}\n")
    spare.fill(settings)
    assert spare.pid not in (None, first)


def test_nobody_waits_where_none_is_wanted_or_a_worker_executes(settings: Settings) -> None:
    for changed in ({"api_spare_children": 0}, {"execute": "prefect"}):
        one = settings.model_copy(update=changed)
        spare = Spare(one)
        spare.fill(one)
        assert spare.pid is None


def test_closing_ends_the_process_that_waits_and_lets_none_follow(
    spare: Spare, settings: Settings
) -> None:
    first = filled(spare, settings)
    spare.close()
    assert is_gone(first)
    spare.fill(settings)
    assert spare.pid is None


def test_the_process_that_waits_ends_with_a_server_that_is_killed(settings: Settings) -> None:
    script = (
        "import sys; from roundsman.settings import Settings; from roundsman.spare import Spare\n"
        f"settings = Settings(home={str(settings.home)!r})\n"
        "spare = Spare(settings); spare.fill(settings); print(spare.pid, flush=True)\n"
        "sys.stdin.read()"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    pid = int(server.stdout.readline())
    assert not is_gone(pid)
    server.kill()
    server.wait()
    until(lambda: is_gone(pid))


def test_where_no_process_can_be_started_one_may_try_again(settings: Settings) -> None:
    settings.home.rename(settings.home.with_name("elsewhere"))
    settings.home.write_text("in the way")
    with pytest.raises(Unready, match="no process can be started"):
        Spare(settings).start(ORDER, settings)
