"""How each story of a kill is played, and what its outcome is held against."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import httpx

from tests.kills.cases import Case
from tests.kills.effects import play_effect
from tests.kills.scene import PROCESS_SECONDS, Scene, Told
from tests.kills.served import serve_one


def play(scene: Scene, case: Case, home: Path) -> list[str]:
    """Let one process die as the case says; return what is not as it must be."""
    home.mkdir(parents=True)
    if case.script.startswith("effect "):
        told, wrong = play_effect(scene, case, home)
        return _complaints(case, told) + wrong
    stories = {"run": _run, "sweep": _sweep, "migrate": _migrate}
    stories |= {"spare": serve_one, "spare-gone": serve_one}
    stories.get(case.script, _work)(scene, case, home)
    return _complaints(case, scene.judge(home, len(case.statuses)))


def _must_have_died(done: subprocess.CompletedProcess[str], case: Case) -> None:
    # A door whose child died says so and ends with 1; a victim itself ends by the signal.
    if done.returncode == 0:
        raise AssertionError(f"nothing died at {case.kill}: {done.stdout}{done.stderr}")


def _run(scene: Scene, case: Case, home: Path) -> None:
    done = scene.run_agent(home, case.kill)
    if case.statuses != ("success",):
        _must_have_died(done, case)


def _sweep(scene: Scene, case: Case, home: Path) -> None:
    dead = "roundsman.child roundsman.store.steps:begin_step exit 2"
    scene.die_alone(home, dead)
    _must_have_died(scene.roundsman(home, "history", kill=case.kill), case)


def _migrate(scene: Scene, case: Case, home: Path) -> None:
    _must_have_died(scene.roundsman(home, "migrate", kill=case.kill), case)


def _work(scene: Scene, case: Case, home: Path) -> None:
    # A pool of its own: cases are played side by side, and a worker takes whatever its pool has.
    pool = f"kills-{uuid.uuid4().hex[:8]}"
    deployment = _deploy(scene, pool)
    worker = _worker(scene, case, home, pool)
    try:
        run = _create_run(scene, deployment, home)
        if case.script == "worker-too":
            _await_lines(home, case.lines or 0)
            os.killpg(worker.pid, signal.SIGKILL)
        _await_end(scene, run, home, case)
    finally:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


def _worker(scene: Scene, case: Case, home: Path, pool: str) -> subprocess.Popen[bytes]:
    variables = scene.variables(home, case.kill) | {
        "PREFECT_API_URL": scene.prefect_url,
        "PREFECT_HOME": str(home / "worker"),
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }
    command = [sys.executable, "-P", "-m", "prefect", "worker", "start", "--pool", pool]
    log = (home / "worker.log").open("wb")
    return subprocess.Popen(
        [*command, "--type", "process"],
        env=variables,
        cwd=scene.folder,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )


def _deploy(scene: Scene, pool: str) -> str:
    with httpx.Client(base_url=scene.prefect_url, timeout=30) as api:
        api.post("/work_pools/", json={"name": pool, "type": "process"})
        flow = api.post("/flows/", json={"name": "trace_leaver"}).json()["id"]
        made = api.post(
            "/deployments/",
            json={
                "name": pool,
                "flow_id": flow,
                "entrypoint": "flows.trace_leaver:trace_leaver",
                "work_pool_name": pool,
                "path": str(scene.copy),
            },
        )
        made.raise_for_status()
        return str(made.json()["id"])


def _create_run(scene: Scene, deployment: str, home: Path) -> str:
    with httpx.Client(base_url=scene.prefect_url, timeout=30) as api:
        made = api.post(
            f"/deployments/{deployment}/create_flow_run",
            json={
                "name": f"kill-{uuid.uuid4().hex[:8]}",
                "parameters": {"params": {"file": str(home / "lines")}},
                "state": {"type": "SCHEDULED"},
            },
        )
        made.raise_for_status()
        return str(made.json()["id"])


def _await_lines(home: Path, count: int) -> None:
    deadline = time.monotonic() + PROCESS_SECONDS
    file = home / "lines"
    while time.monotonic() < deadline:
        if file.exists() and len(file.read_text().splitlines()) >= count:
            return
        time.sleep(0.02)
    raise AssertionError(f"{count} lines never came: {(home / 'worker.log').read_text()[-800:]}")


def _await_end(scene: Scene, run: str, home: Path, case: Case) -> None:
    """Wait for the flow's process to die; with it the worker, where the case wants that."""
    deadline = time.monotonic() + PROCESS_SECONDS
    while time.monotonic() < deadline:
        listed = scene.roundsman(home, "history", "--json")
        runs = json.loads(listed.stdout)["runs"] if listed.stdout else []
        if any(one["run_id"] == run and one["status"] not in ("queued", "running") for one in runs):
            return
        time.sleep(0.3)
    raise AssertionError(
        f"run {run} of {case} never ended: {(home / 'worker.log').read_text()[-800:]}"
    )


def _complaints(case: Case, told: Told) -> list[str]:
    left = [status for status in told.statuses if status in ("queued", "running")]
    found = [f"a run was left open: {status}" for status in left]
    if tuple(told.statuses) != case.statuses:
        found.append(f"statuses {told.statuses}, not {list(case.statuses)}")
    if case.step and set(told.last_steps) != {case.step}:
        found.append(f"last step {told.last_steps}, not {case.step}")
    if case.lines is not None and sum(told.lines.values()) != case.lines:
        found.append(f"{sum(told.lines.values())} effects, not {case.lines}")
    if not told.verified:
        found.append(f"verify-audit: {told.said[-300:]}")
    found += [f"{line} happened {n} times" for line, n in told.lines.items() if n > 1]
    return found
