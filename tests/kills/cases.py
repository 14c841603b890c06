"""Where a process is killed, and what must be true afterwards."""

from __future__ import annotations

from typing import NamedTuple

CHILD = "roundsman.child"
CLI = "roundsman.cli"
# The process that waits with an API for the next run.
SPARE = "--spare"
# However the worker starts a flow: only the flow itself calls what it is killed in.
FLOW = "python"


class Case(NamedTuple):
    """A victim, a point, and the statuses that are true after it.

    `script` says which story is played: a run, a sweep of a dead run, a migration, a worker, an
    effect (of a block, by a verb), a run that an API has its waiting process carry out.
    `step` is the last step begun where the point fixes it; `lines` how many effects there are.
    """

    kind: str
    script: str
    kill: str
    statuses: tuple[str, ...]
    step: str | None = None
    lines: int | None = None


def _run(kind: str, kill: str, status: str, *, step: str | None = None, lines: int) -> Case:
    return Case(kind, "run", f"{CHILD} {kill}", (status,), step, lines)


def _spare(kill: str, *statuses: str, step: str | None = None, lines: int) -> Case:
    return Case("spare", "spare", f"{SPARE} {kill}", statuses, step, lines)


RUNS = "roundsman.store.runs"
STEPS = "roundsman.store.steps"
EVENTS = "roundsman.store.events:chain_event"
LINE = "flows.trace_leaver:leave_line"

CARDS = "roundsman.catalog:cards"

CASES = [
    Case("before the queued row", "run", f"{CHILD} {RUNS}:queue_run enter 1", (), None, 0),
    Case("before the queued row", "run", f"{CHILD} {EVENTS} exit 1", (), None, 0),
    _run("queued", f"{RUNS}:queue_run exit 1", "crashed", lines=0),
    _run("queued", f"{RUNS}:open_attempt enter 1", "crashed", lines=0),
    _run("queued", f"{EVENTS} exit 2", "crashed", lines=0),
    _run("attempt open", f"{RUNS}:open_attempt exit 1", "crashed", lines=0),
    _run("attempt open", f"{STEPS}:begin_step enter 1", "crashed", lines=0),
    _run("attempt open", f"{EVENTS} exit 3", "crashed", lines=0),
    _run("step begun", f"{STEPS}:begin_step exit 1", "crashed", step="first", lines=0),
    _run("step begun", f"{STEPS}:begin_step exit 2", "crashed", step="second", lines=1),
    _run("step begun", f"{STEPS}:begin_step exit 3", "crashed", step="third", lines=2),
    _run("in a step, before its effect", f"{LINE} enter 1", "crashed", step="first", lines=0),
    _run("in a step, before its effect", f"{LINE} enter 2", "crashed", step="second", lines=1),
    _run("in a step, before its effect", f"{LINE} enter 3", "crashed", step="third", lines=2),
    _run("in a step, after its effect", f"{LINE} exit 1", "crashed", step="first", lines=1),
    _run("in a step, after its effect", f"{LINE} exit 2", "crashed", step="second", lines=2),
    _run("in a step, after its effect", f"{LINE} exit 3", "crashed", step="third", lines=3),
    _run("step ending", f"{STEPS}:end_step enter 1", "crashed", step="first", lines=1),
    _run("step ending", f"{STEPS}:end_step enter 3", "crashed", step="third", lines=3),
    _run("step ending", f"{EVENTS} exit 4", "crashed", step="first", lines=1),
    _run("step ended", f"{STEPS}:end_step exit 1", "crashed", step="first", lines=1),
    _run("step ended", f"{STEPS}:end_step exit 2", "crashed", step="second", lines=2),
    _run("closing", f"{RUNS}:close_run enter 1", "crashed", step="third", lines=3),
    _run("closing", f"{RUNS}:close enter 1", "crashed", step="third", lines=3),
    _run("closing", f"{EVENTS} exit 9", "crashed", step="third", lines=3),
    _run(
        "closed", "roundsman.store.engine:Ledger.anchor enter 1", "success", step="third", lines=3
    ),
    _run("closed", f"{RUNS}:close_run exit 1", "success", step="third", lines=3),
    Case("cli", "run", f"{CLI} roundsman.catalog:prepare exit 1", (), None, 0),
    Case("cli", "run", f"{CLI} roundsman.catalog:Started.send enter 1", (), None, 0),
    Case("cli", "run", f"{CLI} roundsman.catalog:Started.send exit 1", ("success",), "third", 3),
    Case("cli", "run", f"{CLI} json:loads exit 1", ("success",), "third", 3),
    Case(
        "sweeping", "sweep", f"{CLI} roundsman.store.sweep:sweep enter 1", ("crashed",), "second", 1
    ),
    Case(
        "sweeping",
        "sweep",
        f"{CLI} roundsman.store.sweep:_close enter 1",
        ("crashed",),
        "second",
        1,
    ),
    Case("sweeping", "sweep", f"{CLI} {RUNS}:close enter 1", ("crashed",), "second", 1),
    Case("sweeping", "sweep", f"{CLI} {EVENTS} enter 1", ("crashed",), "second", 1),
    Case("sweeping", "sweep", f"{CLI} {EVENTS} exit 1", ("crashed",), "second", 1),
    Case(
        "sweeping", "sweep", f"{CLI} roundsman.store.sweep:_close exit 1", ("crashed",), "second", 1
    ),
    Case("migrating", "migrate", f"{CLI} roundsman.store.schema:_upgrade enter 1", (), None, 0),
    Case(
        "migrating", "migrate", f"{CLI} alembic.operations.base:Operations.create_table exit 1", ()
    ),
    Case(
        "migrating", "migrate", f"{CLI} alembic.operations.base:Operations.create_index enter 1", ()
    ),
    Case("migrating", "migrate", f"{CLI} roundsman.store.schema:_upgrade exit 1", (), None, 0),
    Case("migrating", "migrate", f"{CLI} roundsman.store.chain:read_key enter 1", (), None, 0),
    Case("migrating", "migrate", f"{CLI} roundsman.store.chain:read_key exit 1", (), None, 0),
    _spare(f"{LINE} exit 2", "crashed", step="second", lines=2),
    # It dies while nothing was asked of it: another process carries the run out.
    Case("spare", "spare-gone", f"{SPARE} {CARDS} exit 1", ("success",), "third", 3),
    # With the order in its hands: the API writes down that nothing was started.
    _spare("roundsman.log:configure_logging enter 1", "refused", lines=0),
    _spare(f"{RUNS}:queue_run enter 1", "refused", lines=0),
    # The row is there, and the API was not told so.
    _spare(f"{RUNS}:queue_run exit 1", "refused", "crashed", lines=0),
    _spare(f"{RUNS}:open_attempt exit 1", "crashed", lines=0),
    _spare(f"{RUNS}:close_run enter 1", "crashed", step="third", lines=3),
    _spare(f"{RUNS}:close_run exit 1", "success", step="third", lines=3),
    # The API dies: without an order its process ends with it, with one it goes on.
    Case("spare", "spare", f"{CLI} roundsman.catalog:prepare exit 1", (), None, 0),
    Case("spare", "spare", f"{CLI} roundsman.started:Started.send enter 1", (), None, 0),
    Case(
        "spare", "spare", f"{CLI} roundsman.started:Started.send exit 1", ("success",), "third", 3
    ),
    Case("worker's run", "worker", f"{FLOW} {RUNS}:open_attempt exit 1", ("crashed",), None, 0),
    Case("worker's run", "worker", f"{FLOW} {STEPS}:begin_step exit 2", ("crashed",), "second", 1),
    Case("worker's run", "worker", f"{FLOW} {LINE} exit 2", ("crashed",), "second", 2),
    Case("worker's run", "worker", f"{FLOW} {RUNS}:close_run enter 1", ("crashed",), "third", 3),
    Case("worker's run", "worker", f"{FLOW} {RUNS}:close_run exit 1", ("success",), "third", 3),
    Case("worker with its run", "worker-too", f"{FLOW} {LINE} exit 1", ("crashed",), "first", 1),
    Case("worker with its run", "worker-too", f"{FLOW} {LINE} exit 3", ("crashed",), "third", 3),
]
