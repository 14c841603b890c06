"""The two decorators: `@agent` makes a flow of a runbook, `@step` a task of a plain function."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, Generic, ParamSpec, TypeVar, cast

from prefect import Flow, Task, flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.exceptions import Abort
from pydantic import ValidationError

from roundsman import events
from roundsman.attempt import AgentParams, Outcome, Spec, attempt
from roundsman.catalog import Card
from roundsman.envelope import Run, current, current_or_none
from roundsman.errors import Cancelled, Fenced, Mistake, RoundsmanError
from roundsman.rules.recovery import Gap
from roundsman.rules.redaction import redact
from roundsman.steps import Call

__all__ = ["AgentParams", "Gap", "Outcome", "Run", "Step", "agent", "current", "spec_of", "step"]

P = ParamSpec("P")
R = TypeVar("R")
M = TypeVar("M", bound=AgentParams)
AgentFlow = Flow[..., Coroutine[Any, Any, Outcome]]
_SPEC = "roundsman_spec"


class Step(Generic[P, R]):
    """A plain function as a step: retried where that may heal, told to ledger and Prefect."""

    def __init__(self, body: Callable[P, R], name: str) -> None:
        self.body = body
        self.name = name
        self._task: Task[[Call], Coroutine[Any, Any, Any]] = task(
            name=name, retries=0, persist_result=False, cache_policy=NO_CACHE, log_prints=False
        )(_as_task)
        self._named: dict[str, Step[P, R]] = {name: self}

    def named(self, name: str) -> Step[P, R]:
        """The same step under a name of the agent's plan."""
        if name not in self._named:
            self._named[name] = Step(self.body, name)
        return self._named[name]

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the body in a thread; raises what it raises, after as many tries as may heal it."""
        return await self._run(Call(self.name, self.body, args, kwargs))

    async def or_gap(self, *args: P.args, **kwargs: P.kwargs) -> R | Gap:
        """Like a call, but what the flow can go on without is a Gap instead of an error."""
        call = Call(self.name, self.body, args, kwargs)
        try:
            return await self._run(call)
        except RoundsmanError as error:
            gap = call.gap(error)
            if gap is None:
                raise
            return gap

    async def _run(self, call: Call) -> Any:
        run = current_or_none()
        if run is not None:
            call.begin(run)
        if run is None or FlowRunContext.get() is None:
            await _carry_out(call)
        else:
            await self._task(call)
        return call.finish()


async def _carry_out(call: Call) -> None:
    try:
        await call.carry_out()
    except Exception as error:  # noqa: BLE001 a bug in a body is told like any failure, then raised
        call.failed(error)


async def _as_task(call: Call) -> State[Any] | None:
    # Prefect learns how it went, but neither arguments nor results nor raw error texts.
    call.say = get_run_logger().warning
    await _carry_out(call)
    if call.error is None:
        return None
    said = f"{type(call.error).__name__}: {redact(str(call.error))}"
    stopped = isinstance(call.error, asyncio.CancelledError | Cancelled | Fenced)
    return events.state_of("cancelled" if stopped else "failed", said)


def step(body: Callable[P, R]) -> Step[P, R]:
    """Make a step of a plain function; `.named(...)` binds the name that the plan has for it."""
    if inspect.iscoroutinefunction(body):
        raise Mistake(
            f"step '{body.__name__}' is async", "write a plain function: it gets a thread"
        )
    return Step(body, body.__name__)


def agent(  # noqa: PLR0913 what a card says, by name
    *,
    version: str = "1.0.0",
    capabilities: Sequence[str] = (),
    plan: Sequence[str] = (),
    operation: bool = False,
    systems: Callable[[Any], Mapping[str, str]] | None = None,
    **refused: object,
) -> Callable[[Callable[[M], Coroutine[Any, Any, Outcome]]], AgentFlow]:
    """Make an agent of `async def name(params: Params) -> Outcome`.

    `plan` names its steps in order; `systems` gives, for its params, the configuration hash of each
    system that it will use. Flow options are refused: only steps retry.
    """
    if refused:
        names = ", ".join(f"'{name}'" for name in refused)
        raise Mistake(f"@agent does not take {names}", "a run is never retried: only steps are")

    def decorate(body: Callable[[M], Coroutine[Any, Any, Outcome]]) -> AgentFlow:
        model = _params_of(body)
        card = Card(
            name=body.__name__,
            version=version,
            description=" ".join((inspect.getdoc(body) or "").split("\n\n")[0].split()),
            capabilities=tuple(capabilities),
            plan=tuple(plan),
            params_schema=model.model_json_schema(),
            entrypoint=f"{body.__module__}:{body.__name__}",
            operation=operation,
        )
        return _as_flow(Spec(card, body, model, systems))

    return decorate


def _params_of(body: Callable[..., Any]) -> type[AgentParams]:
    parameters = inspect.signature(body, eval_str=True).parameters
    model = parameters["params"].annotation if list(parameters) == ["params"] else None
    if not (isinstance(model, type) and issubclass(model, AgentParams)):
        raise Mistake(
            f"agent '{body.__name__}' takes something else than params, a model of AgentParams"
        )
    return model


def _as_flow(spec: Spec) -> AgentFlow:
    async def envelope(params: Any = None) -> Any:
        return await _answer(spec, params)

    signature = inspect.signature(spec.body, eval_str=True)
    form = signature.parameters["params"]
    # With a default Prefect may start the agent with nothing given; its form shows the fields.
    with suppress(ValidationError):
        form = form.replace(default=spec.params())
    setattr(envelope, "__signature__", signature.replace(parameters=[form]))  # noqa: B010
    envelope.__name__ = envelope.__qualname__ = spec.card.name
    envelope.__module__ = spec.body.__module__
    envelope.__doc__ = spec.body.__doc__
    made = flow(
        name=spec.card.name,
        version=spec.card.version,
        retries=0,
        validate_parameters=False,
        persist_result=False,
    )(envelope)
    setattr(made, _SPEC, spec)
    return cast("AgentFlow", made)


async def _answer(spec: Spec, params: object) -> Any:
    """Run one attempt and say to Prefect, or to a direct caller, how it ended."""
    where = await events.whereabouts()
    around = current_or_none()
    if around and around.id == where.run_id:
        # Called as a plain function inside another agent: a run of its own without a flow run.
        where = events.untracked(where.asked_by)
    ended = await attempt(spec, params, where)
    if ended.status == "fenced":
        # Prefect's state belongs to whoever declared this attempt dead.
        raise Abort(ended.said)
    if not where.is_tracked:
        return _plain(ended.outcome, ended.error)
    data = ended.outcome if ended.status == "success" else ended.error
    status = "failed" if ended.status == "refused" else ended.status
    return events.state_of(status, ended.said, data)


def _plain(outcome: Outcome | None, error: BaseException | None) -> Outcome:
    if error is not None:
        raise error
    assert outcome is not None
    return outcome


def spec_of(made: object) -> Spec:
    """What `@agent` knows of a flow; a Mistake where it was not made with it."""
    spec = getattr(made, _SPEC, None)
    if not isinstance(spec, Spec):
        raise Mistake(f"{made!r} is not an agent", "decorate it with @agent")
    return spec
