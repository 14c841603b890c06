"""One attempt at a run: checked, opened, worked on until it ends or is stopped, closed."""

from __future__ import annotations

import asyncio
import contextvars
import signal
import threading
import time
import traceback
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticSerializationError

from roundsman.catalog import Card, code_version
from roundsman.envelope import Identity, Lease, Run, current_or_none, enter, ledger_of, ledger_pool
from roundsman.errors import Cancelled, Fenced, Mistake, RoundsmanError, Unready
from roundsman.events import Whereabouts
from roundsman.log import get_logger, set_correlation_id
from roundsman.policy import load_policy
from roundsman.rules.budget import Budget
from roundsman.rules.parameters import given, read_params
from roundsman.rules.recovery import Gap, Retry, decide
from roundsman.rules.redaction import redact
from roundsman.settings import get_settings
from roundsman.steps import describe
from roundsman.store import Ledger
from roundsman.store import runs as ledger_of_runs
from roundsman.store.artifacts import ArtifactStore
from roundsman.store.holders import this_holder
from roundsman.store.records import Ask, ClosedStatus, Closing, Opening

TRACEBACK_CHARACTERS_MAX = 8_000
# Frames that every step passes through say nothing about what went wrong.
ENGINE_FILES = {
    str(Path(__file__).with_name(f"{name}.py")) for name in ("agent", "steps", "threads")
}
PERSONS_DOORS = ("cli", "api")
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

R = TypeVar("R")
_log = get_logger(__name__, component="attempt")


class AgentParams(BaseModel):
    """What every agent can be told; an agent adds fields of its own."""

    model_config = ConfigDict(extra="forbid")

    objective: str = Field(default="", description="Why it is run; unset: the agent's own words")
    dry_run: bool = Field(default=True, description="Look and tell, change nothing")
    allow_actions: bool = Field(default=False, description="May act, once dry_run is off too")
    budget_ms: int | None = Field(default=None, ge=1, description="Milliseconds of active time")
    budget_ops: int | None = Field(default=None, ge=0, description="Calls of outside systems")
    budget_mode: Literal["warn", "enforce"] = Field(
        default="warn", description="What a used-up budget does: say so, or stop"
    )


class Outcome(BaseModel):
    """What a flow gives back: its verdict, its artifacts, and what it could not see."""

    verdict: Literal["healthy", "degraded", "failed", "unknown"] | None = None
    artifacts: dict[str, Any] = {}
    gaps: list[Gap] = []


class Spec(NamedTuple):
    """What `@agent` knows of an agent."""

    card: Card
    body: Callable[[Any], Coroutine[Any, Any, Outcome]]
    params: type[AgentParams]
    systems: Callable[[Any], Mapping[str, str]] | None


class Launch(NamedTuple):
    """A run that was asked for, checked and queued before this process began to execute it."""

    run_id: str
    ask: Ask


class Ended(NamedTuple):
    """How an attempt ended; `fenced`: another one may be at work, nothing may be said."""

    status: ClosedStatus | Literal["refused", "fenced"]
    said: str
    outcome: Outcome | None = None
    error: BaseException | None = None


launch: ContextVar[Launch | None] = ContextVar("launch", default=None)


def ask_of(spec: Spec, params: AgentParams, base: Ask) -> Ask:
    """A complete ask: who and why from `base`, all else from the checked parameters."""
    facts = {
        "objective": params.objective or spec.card.description,
        "params": params.model_dump(mode="json"),
        "dry_run": params.dry_run,
        "budget_ms": params.budget_ms,
        "budget_ops": params.budget_ops,
        "budget_mode": params.budget_mode,
    }
    return base.model_copy(update=facts)


def base_ask(spec: Spec, **facts: Any) -> Ask:
    """Who asks for which version of an agent, before its parameters are known."""
    card = spec.card
    own = {"agent_type": card.name, "code_version": code_version(card.version)}
    return Ask.model_validate(facts | own | {"plan": list(card.plan)})


def check(
    spec: Spec, raw: object, round_params: Mapping[str, Any]
) -> tuple[AgentParams, dict[str, str]]:
    """The run's parameters and its systems' hashes; a Mistake says what is wrong with them."""
    params = read_params(spec.params, raw, round_params)
    _refuse_secrets(params)
    if params.allow_actions or not spec.card.operation:
        # Later the look would be in vain. `doctor`, an operation, must be able to tell of it.
        load_policy()
    return params, dict(spec.systems(params)) if spec.systems else {}


def _refuse_secrets(params: AgentParams) -> None:
    # The record keeps parameters redacted: a retry or a worker would run with other ones.
    told = params.model_dump(mode="json")
    kept = redact(told)
    changed = [name for name, value in told.items() if kept.get(name) != value]
    if changed:
        raise Mistake(
            f"parameter '{changed[0]}' looks like a secret, which no record may hold",
            "name secrets by reference in systems.yaml, and filter by another field",
        )


def refusal(raw: object, base: Ask) -> Ask:
    """The ask of a run that is refused, with what was given for its parameters."""
    try:
        params = given(raw)
    except Mistake:
        params = {"params": repr(raw)}
    return base.model_copy(update={"params": params})


async def attempt(spec: Spec, raw: object, where: Whereabouts) -> Ended:
    """Check, open, work and close; raises only where the ledger cannot be written."""
    org, base = get_settings().org_id, _base(spec, where)
    ledger = await _in_ledger(ledger_of, get_settings())
    try:
        params, systems = check(spec, raw, where.round_params)
    except RoundsmanError as error:
        ask, facts = refusal(raw, base), describe(error)
        await _in_ledger(
            ledger_of_runs.record_refused, ledger, org, ask, facts, run_id=where.run_id
        )
        return Ended("refused", str(error), error=error)
    ask = ask_of(spec, params, base)
    run = _make_run(spec.card, ask, where.run_id, ledger)
    # From before it is open: a signal between the two would tear it.
    with _stopped_by_signals(run):
        try:
            await _open(run, Opening(**ask.model_dump(), systems=systems))
        except Cancelled as error:
            return Ended("cancelled", str(error), error=error)
        except Mistake as error:
            # Prefect started a run again that the ledger has closed for good.
            return Ended("refused", str(error), error=error)
        return await _work(spec, run, params)


def _base(spec: Spec, where: Whereabouts) -> Ask:
    launched = launch.get()
    if launched and launched.run_id == where.run_id:
        return launched.ask
    outer = current_or_none()
    facts: dict[str, Any] = {
        "round": where.round,
        "asked_by": where.asked_by,
        "parent_run_id": outer.id if outer else None,
        "user_email": get_settings().user_email,
    }
    told = {name: where.told[name] for name in Ask.model_fields if name in where.told}
    return base_ask(spec, **(facts | told))


def _make_run(card: Card, ask: Ask, run_id: str, ledger: Ledger) -> Run:
    settings, by = get_settings(), ask.asked_by
    who = Identity(
        id=run_id,
        org=settings.org_id,
        agent=card.name,
        plan=card.plan,
        dry_run=ask.dry_run,
        may_act=ask.params.get("allow_actions") is True,
        round=ask.round,
        asked_by=ask.user_email or by.name or by.kind,
        is_persons=by.kind in PERSONS_DOORS,
        action_id=ask.action_id,
    )
    run = Run(who, ledger, ArtifactStore(settings.artifacts, settings.org_id))
    run.outer = current_or_none()
    return run


async def _open(run: Run, opening: Opening) -> None:
    where = (run.ledger, run.org, run.id)
    act = _in_ledger(ledger_of_runs.open_attempt, *where, opening, this_holder())
    # To the end: an attempt that is open and not known here would be closed by nobody.
    await _until_done(run, opened := asyncio.ensure_future(act))
    run.attempt = opened.result()
    earlier = await _in_ledger(ledger_of_runs.active_ms, *where) if run.attempt > 1 else 0
    run.give(Budget(opening.budget_ms, opening.budget_ops, opening.budget_mode), earlier)


async def _work(spec: Spec, run: Run, params: AgentParams) -> Ended:
    began = time.monotonic()
    lease = Lease(run)
    lease.start()
    # A context of its own, so that the run is current for its body and for nothing after it.
    inside = contextvars.copy_context()
    inside.run(enter, run)
    inside.run(set_correlation_id, run.id)
    body = asyncio.create_task(spec.body(params), name=run.agent, context=inside)
    loop = asyncio.get_running_loop()
    run.on_stop(lambda: loop.call_soon_threadsafe(body.cancel))
    try:
        await _until_done(run, body)
        run.on_stop(None)
        ended = await _judge_written(run, _judge(run, body))
        if ended.status != "fenced":
            ended = await _close(run, ended, time.monotonic() - began)
    finally:
        lease.end()
    return ended


async def _until_done(run: Run, work: asyncio.Future[Any]) -> None:
    """Wait to the end, whatever comes: a cancel of ours stops the run, which ends the work."""
    while not work.done():
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError:
            run.stop(Cancelled(f"run '{run.id}' was cancelled from outside"))
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()


def _judge(run: Run, body: asyncio.Task[Outcome]) -> Ended:
    error = asyncio.CancelledError() if body.cancelled() else body.exception()
    meter = run.purse.meter
    meter.check()
    if isinstance(run.stopped, Fenced) or isinstance(error, Fenced):
        return Ended("fenced", str(run.stopped or error), error=error)
    if error is None:
        return _judge_outcome(run, body.result())
    if run.stopped or not isinstance(error, Exception) or isinstance(error, Cancelled):
        why = run.stopped or Cancelled(str(error) or f"run '{run.id}' was cancelled")
        return Ended("cancelled", str(why), error=why)
    return Ended("timed_out" if meter.is_late else "failed", _said(error), error=error)


async def _judge_written(run: Run, ended: Ended) -> Ended:
    """A run whose last steps the ledger could not hear of has not succeeded."""
    await _until_done(run, asyncio.wrap_future(ledger_pool().submit(lambda: None)))
    try:
        run.check_told()
    except Fenced as error:
        return Ended("fenced", str(error), error=error)
    except (Unready, Mistake) as error:
        return Ended("failed", str(error), error=error) if ended.status == "success" else ended
    return ended


def _judge_outcome(run: Run, outcome: Outcome) -> Ended:
    if not isinstance(outcome, Outcome):  # pyright: ignore[reportUnnecessaryIsInstance] flows are checked by nobody else
        return _ill_formed(f"agent '{run.agent}' gave back no Outcome")
    try:
        outcome.model_dump(mode="json")
    except PydanticSerializationError as error:
        return _ill_formed(f"agent '{run.agent}' gave back what JSON cannot hold: {error}")
    if run.purse.meter.is_over:
        late = run.purse.meter.late("the run ended with a partial report")
        return Ended("timed_out", str(late), outcome, late)
    said = f"{outcome.verdict or 'done'}, {len(outcome.gaps)} gaps"
    return Ended("success", said, outcome)


def _ill_formed(said: str) -> Ended:
    error = Mistake(said, "correct the agent's code")
    return Ended("failed", str(error), error=error)


def _said(error: BaseException) -> str:
    text = str(error) if isinstance(error, RoundsmanError) else f"{type(error).__name__}: {error}"
    return str(redact(text))


async def _close(run: Run, ended: Ended, seconds: float) -> Ended:
    closing = _closing(run, ended, seconds)
    tried = 0
    while True:
        tried += 1
        told = asyncio.wrap_future(run.tell(ledger_of_runs.close_run, closing))
        await _until_done(run, told)
        error = told.exception()
        if error is None:
            return ended
        if isinstance(error, Fenced):
            return Ended("fenced", str(error), error=error)
        again = decide(type(error).__name__, tried)
        if not isinstance(error, Unready) or not isinstance(again, Retry):
            raise error
        await asyncio.sleep(again.seconds)


def _closing(run: Run, ended: Ended, seconds: float) -> Closing:
    outcome = (ended.outcome or Outcome()).model_dump(mode="json")
    gaps = {"gaps": outcome["gaps"]} if outcome["gaps"] else {}
    assert ended.status not in ("refused", "fenced")
    return Closing(
        status=ended.status,
        verdict=outcome["verdict"],
        artifacts=outcome["artifacts"] | gaps,
        error=None if ended.error is None else _error(ended),
        # A run inside another one has a count of its own; the root's stands in its lease.
        ops=run.purse.ops if run.outer else None,
        budget_status=run.purse.meter.status(),
        duration_seconds=round(seconds, 6),
        counted=run.counts.told(),
    )


def _error(ended: Ended) -> dict[str, Any]:
    """The error as A-024 has it."""
    assert ended.error is not None
    facts = describe(ended.error) | {"message": str(redact(ended.said))}
    if ended.status != "failed":
        return facts
    told = traceback.TracebackException.from_exception(ended.error)
    told.stack = traceback.StackSummary.from_list(
        [frame for frame in told.stack if frame.filename not in ENGINE_FILES]
    )
    return facts | {"traceback": str(redact("".join(told.format())))[-TRACEBACK_CHARACTERS_MAX:]}


async def _in_ledger(act: Callable[..., R], *args: Any, **kwargs: Any) -> R:
    return await asyncio.shield(asyncio.wrap_future(ledger_pool().submit(act, *args, **kwargs)))


_signalled: set[Run] = set()


@contextmanager
def _stopped_by_signals(run: Run) -> Generator[None]:
    """Ctrl-C and SIGTERM cancel the outermost runs of this process instead of tearing them."""
    if run.outer or threading.current_thread() is not threading.main_thread():
        yield
        return
    _signalled.add(run)
    restore = _listen() if len(_signalled) == 1 else None
    try:
        yield
    finally:
        _signalled.discard(run)
        if restore is not None:
            _restores.append(restore)
        if not _signalled:
            while _restores:
                _restores.pop()()


_restores: list[Callable[[], None]] = []


def _listen() -> Callable[[], None]:
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}

    def stop(number: signal.Signals) -> None:
        for run in list(_signalled):
            run.stop(Cancelled(f"run '{run.id}' was stopped by {number.name}"))

    def restore() -> None:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop, number)
    return restore
