"""The process in which one run happens: it reads an order, queues, executes, says how it ended."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import IO, Any, NamedTuple, NoReturn, ParamSpec, TypeVar

from roundsman.agent import AgentFlow, spec_of
from roundsman.approvals import start_approved
from roundsman.attempt import AgentParams, Launch, ask_of, base_ask, check, launch, refusal
from roundsman.catalog import BROKEN_CODE, Round, cards, resolve
from roundsman.envelope import ledger_of, ledger_pool, step_pool
from roundsman.errors import Mistake, Refused, RoundsmanError, Unready
from roundsman.events import (
    Client,
    Making,
    connect,
    execute,
    is_cancelling,
    make_here,
    make_there,
    release,
    settle,
)
from roundsman.log import configure_logging
from roundsman.rules.redaction import redact
from roundsman.settings import Settings, get_settings
from roundsman.steps import describe
from roundsman.store import Ledger
from roundsman.store import runs as ledger_of_runs
from roundsman.store.holders import this_holder
from roundsman.store.records import Ask, AskedBy, AuditRow, Holder
from roundsman.threads import caught

# How often Prefect is asked whether somebody cancelled the run there.
PREFECT_POLL_SECONDS = 5.0
# Others' runs are set right in Prefect when ours is well under way, or over.
SETTLE_AFTER_SECONDS = 3.0
INTERRUPTED = 130
SPARE = "--spare"

P = ParamSpec("P")
R = TypeVar("R")


class Door:
    """The way back to whoever gave the order; when they are gone, nobody is told."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self.run_id: str | None = None
        self.is_over = False

    def say(self, **message: Any) -> None:
        """Say one JSON line."""
        self.run_id = message.get("run_id", self.run_id)
        self.is_over = "closed" in message or "refused" in message
        with suppress(OSError, ValueError):
            self._out.write(json.dumps(message, default=str) + "\n")
            self._out.flush()


class Place(NamedTuple):
    """To whom it is said, and where and in whose name it is written."""

    door: Door
    ledger: Ledger
    org: str


class Job(NamedTuple):
    """An order whose agent was found and loaded, and whose parameters hold."""

    ask: Ask
    flow: AgentFlow
    params: AgentParams
    key: str | None
    is_here: bool


class Asking:
    """What is known of an ask so far; a refusal writes down as much of it as there is."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask

    def know(self, **facts: Any) -> None:
        """Add what was found out."""
        self.ask = self.ask.model_copy(update=facts)


def main() -> NoReturn:
    """Carry out the one order that stands on standard input."""
    # What libraries print must not come between the lines that the door reads.
    door = Door(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    signal.signal(signal.SIGTERM, _interrupt)
    if SPARE in sys.argv:
        _load_all()
    line = sys.stdin.readline()
    if not line.strip():
        sys.exit(0)
    with _server_ends_with_us():
        code = _obey(line, door)
    _leave(code)


def _obey(line: str, door: Door) -> int:
    try:
        settings = get_settings()
        configure_logging(settings.log_level, settings.log_dir, settings.log_format)
        _carry_out(json.loads(line), settings, door)
    except RoundsmanError as error:
        # Without a ledger there is no record to point at: this sentence is all there is.
        door.say(error=describe(error))
        return 1
    except KeyboardInterrupt:
        _abandon(door)
        return INTERRUPTED
    return 0


@contextmanager
def _server_ends_with_us() -> Generator[None]:
    """Have a temporary Prefect server ended even if this process is killed: nobody else would."""
    leads_its_group = os.getpgid(0) == os.getpid()
    if not leads_its_group:
        yield
        return
    script = f"read -r _ || kill -TERM -{os.getpid()}"
    with subprocess.Popen(
        ["/bin/sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as watcher:
        try:
            yield
        finally:
            watcher.communicate(b"over\n")


def _leave(code: int) -> NoReturn:
    """End the process, also around a step's thread that was cut off and is inside a library."""
    if step_pool().is_busy:
        # DuckDB, for one, aborts a process that ends in an orderly way around its query.
        atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage] there is no public name
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _carry_out(order: Mapping[str, Any], settings: Settings, door: Door) -> None:
    # SQLAlchemy and the ledger are opened while the flow is being imported.
    opening = ledger_pool().submit(ledger_of, settings)
    asking = Asking(_asked(order, settings))
    ready = caught(_make_ready, order, settings, asking)
    place, error = Place(door, opening.result(), settings.org_id), ready.exception()
    if error is None:
        asyncio.run(_run(place, ready.result()))
    elif isinstance(error, RoundsmanError):
        _refuse(place, refusal(order.get("params"), asking.ask), error)
    elif isinstance(error, Exception):
        # The agent's own code broke before there was a run of it.
        _fail(place, asking.ask, error)
    else:
        raise error


def _make_ready(order: Mapping[str, Any], settings: Settings, asking: Asking) -> Job:
    """Find and load the agent, and check what it is given; raises what is wrong with that."""
    entrypoint, found = _find(order)
    if found:
        asking.know(round=found.full_name)
    _refuse_without_round(settings, found)
    flow = _load(entrypoint)
    spec = spec_of(flow)
    asking.ask = base_ask(spec, **asking.ask.model_dump(exclude_unset=True))
    params, _ = check(spec, order.get("params"), found.params if found else {})
    ask = ask_of(spec, params, asking.ask).model_copy(update={"key": order.get("key")})
    return Job(ask, flow, params, order.get("key"), settings.execute == "here")


def _asked(order: Mapping[str, Any], settings: Settings) -> Ask:
    by = order.get("asked_by")
    return Ask(
        agent_type=str(order["agent_or_round"]).partition("/")[0],
        asked_by=AskedBy.model_validate(by) if by else AskedBy(kind="cli"),
        user_email=order.get("user_email") or settings.user_email,
        parent_run_id=order.get("parent_run_id"),
        retry_of=order.get("retry_of"),
        action_id=order.get("action_id"),
    )


def _find(order: Mapping[str, Any]) -> tuple[str, Round | None]:
    if order.get("entrypoint"):
        return str(order["entrypoint"]), None
    return resolve(str(order["agent_or_round"]))


def _load(entrypoint: str) -> AgentFlow:
    module, _, name = entrypoint.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, SyntaxError) as error:
        raise Mistake(
            f"agent '{entrypoint}' cannot be loaded: {type(error).__name__}: {error}",
            "correct its file, or its entry in prefect.yaml and run `make cards`",
        ) from error


def _load_all() -> None:
    """Load our own agents before there is an order; whoever asks for a broken one hears of it."""
    for card in cards():
        with suppress(*BROKEN_CODE):
            _load(card.entrypoint)


def _refuse_without_round(settings: Settings, found: Round | None) -> None:
    if settings.execute == "prefect" and found is None:
        raise Mistake(
            "a worker executes rounds, and none was named",
            "name one of prefect.yaml, as in agent/round, or set ROUNDSMAN_EXECUTE=here",
        )


def _refuse(place: Place, ask: Ask, error: RoundsmanError) -> None:
    facts = describe(error)
    run_id = ledger_of_runs.record_refused(place.ledger, place.org, ask, facts)
    place.door.say(refused={"run_id": run_id, **facts})


async def _run(place: Place, job: Job) -> None:
    act = _execute_here if job.is_here else _leave_to_worker
    try:
        async with connect() as client:
            await act(place, job, client)
    except (Unready, Refused) as error:
        if place.door.run_id is not None:
            raise
        await _in_thread(_fail, place, job.ask, error)


async def _execute_here(place: Place, job: Job, client: Client) -> None:
    flow_run = await make_here(client, job.flow, _making(place, job, {}))
    run_id = str(flow_run.id)
    if not await _queue(place, job, run_id, this_holder()):
        return
    launch.set(Launch(run_id, job.ask))
    over = asyncio.Event()
    watching = asyncio.create_task(_watch(place, client, run_id))
    tidying = asyncio.create_task(_tidy(place, over))
    executing = asyncio.create_task(execute(job.flow, flow_run, job.params))
    await asyncio.wait({executing})
    watching.cancel()
    # An error here is the engine's own; how the run itself ended stands in the ledger.
    failure = executing.exception()
    await _in_thread(_tell_end, place, run_id, failure)
    if failure is None:
        await _in_thread(ledger_of_runs.mark_settled, place.ledger, place.org, run_id)
    over.set()
    await tidying


async def _leave_to_worker(place: Place, job: Job, client: Client) -> None:
    known = {"round", "asked_by", "user_email", "parent_run_id", "retry_of", "action_id"}
    told = job.ask.model_dump(mode="json", include=known, exclude_none=True)
    flow_run = await make_there(client, _making(place, job, told))
    if not await _queue(place, job, str(flow_run.id), None):
        return
    # Held back for a moment only: a worker takes it even if this is not heard.
    with suppress(Unready, Refused):
        await release(client, flow_run)
    place.door.say(elsewhere=True, run_id=str(flow_run.id), status="queued")


def _making(place: Place, job: Job, told: Mapping[str, Any]) -> Making:
    key = f"{place.org}:{job.key}" if job.key else None
    return Making(redact(job.ask.params), told, this_holder(), job.ask.round, key)


async def _queue(place: Place, job: Job, run_id: str, holder: Holder | None) -> bool:
    """Write the row; False where the same key was used before, which is answered."""
    if job.key and (row := await _in_thread(_known, place, run_id)):
        await _in_thread(_answer_again, place, job.ask, row)
        return False
    where = (place.ledger, place.org, run_id)
    try:
        await _in_thread(ledger_of_runs.queue_run, *where, job.ask, holder)
    except ledger_of_runs.AlreadyQueued as known:
        # The same key was used before, perhaps by another starter a moment ago.
        row = await _in_thread(_known, place, known.run_id) if job.key else None
        if row is None:
            raise
        await _in_thread(_answer_again, place, job.ask, row)
        return False
    place.door.say(run_id=run_id, queued=True)
    return True


def _answer_again(place: Place, ask: Ask, first: AuditRow) -> None:
    """The key has its run: say how that one stands, or refuse to take it for another request."""
    try:
        ledger_of_runs.check_same_request(first, ask)
    except Mistake as error:
        _refuse(place, ask, error)
    else:
        place.door.say(elsewhere=True, run_id=first.run_id, status=first.status)


def _known(place: Place, run_id: str) -> AuditRow | None:
    try:
        return ledger_of_runs.get_run(place.ledger, place.org, run_id)
    except Mistake:
        return None


def _fail(place: Place, ask: Ask, error: BaseException) -> None:
    """Without a flow run there still is a record: a run of an id of ours, which failed."""
    run_id = str(uuid.uuid4())
    ledger_of_runs.queue_run(place.ledger, place.org, run_id, ask, this_holder())
    place.door.say(run_id=run_id, queued=True)
    _tell_end(place, run_id, error)


def _tell_end(place: Place, run_id: str, failure: BaseException | None) -> None:
    """Say how the run stands in the ledger; one that never began is closed first."""
    if failure is not None:
        facts = describe(failure)
        ledger_of_runs.close_queued(place.ledger, place.org, run_id, "failed", facts)
    row = ledger_of_runs.get_run(place.ledger, place.org, run_id)
    if row.status in ("queued", "running"):
        raise Unready(f"run '{run_id}' did not end", f"see 'roundsman show {run_id}'") from failure
    place.door.say(closed=row.status, run_id=run_id, verdict=row.verdict, error=row.error)


def _abandon(door: Door) -> None:
    """Ctrl-C before the run was opened: nobody will open it any more."""
    if door.run_id is None or door.is_over:
        return
    settings = get_settings()
    ledger = ledger_of(settings)
    with suppress(Mistake):
        ledger_of_runs.request_cancel(ledger, settings.org_id, door.run_id, "signal")
    row = ledger_of_runs.get_run(ledger, settings.org_id, door.run_id)
    door.say(closed=row.status, run_id=row.run_id, verdict=row.verdict, error=row.error)


async def _watch(place: Place, client: Client, run_id: str) -> None:
    """A cancel in Prefect's UI reaches nobody but a worker: so we ask."""
    await asyncio.sleep(PREFECT_POLL_SECONDS)
    while not await is_cancelling(client, run_id):
        await asyncio.sleep(PREFECT_POLL_SECONDS)
    with suppress(Mistake):
        await _in_thread(ledger_of_runs.request_cancel, place.ledger, place.org, run_id, "Prefect")


async def _tidy(place: Place, over: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(over.wait(), SETTLE_AFTER_SECONDS)
    await settle(place.ledger)
    await _in_thread(start_approved, place.ledger, get_settings())


async def _in_thread(act: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    return await asyncio.wrap_future(ledger_pool().submit(act, *args, **kwargs))


if __name__ == "__main__":
    main()
