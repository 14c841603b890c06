"""What Prefect is told about our runs, and what it knows about those that it started by itself."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, cast
from uuid import UUID, uuid4

import httpx
from prefect import Flow, get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import FlowRunCreate
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.sorting import FlowRunSort
from prefect.context import AsyncClientContext, FlowRunContext
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.flow_engine import run_flow_async
from prefect.states import (
    Cancelled,
    Completed,
    Crashed,
    Failed,
    Pending,
    Scheduled,
    to_state_create,
)
from pydantic import BaseModel

from roundsman.errors import Refused, Unready
from roundsman.log import get_logger
from roundsman.store import Ledger
from roundsman.store import runs as ledger_of_runs
from roundsman.store.holders import is_dead
from roundsman.store.records import AskedBy, ClosedStatus, Holder

TAG = "roundsman"
# A worker must not take a run before its row says "queued"; it may once so much time is past.
HOLD_BACK_SECONDS = 20
# The most that one process sets right in Prefect after the deaths of others.
SETTLE_RUNS_MAX = 50
SETTLE_SECONDS = 10.0

AnyFlow = Flow[..., Any]
Client = PrefectClient
_log = get_logger(__name__, component="prefect")


class Whereabouts(NamedTuple):
    """Under which id this code runs, who started it, and what the round gives it."""

    run_id: str
    is_tracked: bool
    asked_by: AskedBy
    round: str | None = None
    round_params: Mapping[str, Any] = {}
    told: Mapping[str, Any] = {}


def untracked(asked_by: AskedBy | None = None) -> Whereabouts:
    """A fresh id for a run that Prefect does not see."""
    by = asked_by or AskedBy(kind="worker", name="direct call")
    return Whereabouts(str(uuid4()), False, by)


async def whereabouts() -> Whereabouts:
    """What Prefect knows of the flow run around us; without one, a fresh id."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return untracked()
    flow_run = context.flow_run
    told = cast("dict[str, Any]", (flow_run.context or {}).get(TAG, {}))
    here = Whereabouts(str(flow_run.id), True, _asked_by(flow_run), told=told)
    if flow_run.deployment_id is None:
        return here
    return await _with_round(here, context, flow_run.deployment_id)


async def _with_round(
    here: Whereabouts, context: FlowRunContext, deployment_id: UUID
) -> Whereabouts:
    agent = context.flow.name if context.flow else ""
    try:
        deployment = await cast("PrefectClient", context.client).read_deployment(deployment_id)
    except (ObjectNotFound, httpx.HTTPError) as error:
        _log.warning("the round is not known", metadata={"run": here.run_id, "said": str(error)})
        return here
    params = cast("Mapping[str, Any]", (deployment.parameters or {}).get("params") or {})
    return here._replace(round=f"{agent}/{deployment.name}", round_params=params)


def _asked_by(flow_run: FlowRun) -> AskedBy:
    creator = flow_run.created_by
    if flow_run.auto_scheduled:
        return AskedBy(kind="schedule", name=flow_run.name)
    if creator and creator.type == "AUTOMATION":
        return AskedBy(kind="trigger", name=creator.display_value or "")
    if flow_run.deployment_id is not None:
        return AskedBy(kind="ui", name=(creator.display_value if creator else None) or "prefect")
    return AskedBy(kind="worker", name="direct call")


def state_of(status: ClosedStatus, said: str, data: Any = None) -> State[Any]:
    """The state in which Prefect shows a run that the ledger closed so."""
    if status == "success":
        return Completed(message=said, data=data)
    if status == "cancelled":
        return Cancelled(message=said)
    if status == "crashed":
        return Crashed(message=said)
    return Failed(message=said, data=data, name="TimedOut" if status == "timed_out" else "Failed")


class Making(NamedTuple):
    """A flow run about to be made: what it is told, who makes it, of which `agent/round`."""

    params: Mapping[str, Any]
    told: Mapping[str, Any]
    holder: Holder
    round: str | None = None
    key: str | None = None


def _context(making: Making) -> dict[str, Any]:
    return {TAG: dict(making.told) | {"holder": list(making.holder)}}


def _tags(making: Making) -> list[str]:
    return [TAG, *([f"round:{making.round}"] if making.round else [])]


@asynccontextmanager
async def connect() -> AsyncGenerator[PrefectClient]:
    """One client for all that this process says to Prefect; raises Unready where none answers."""
    with _translated():
        connected = AsyncClientContext.get_or_create()
        context = await connected.__aenter__()
    try:
        yield context.client
    finally:
        await connected.__aexit__(None, None, None)


async def make_here(client: PrefectClient, flow: AnyFlow, making: Making) -> FlowRun:
    """Make the flow run that this process is about to execute; raises Unready or Refused."""
    with _translated():
        answer = await client.request("POST", "/flows/", json={"name": flow.name})
        wanted = FlowRunCreate(
            flow_id=UUID(answer.json()["id"]),
            flow_version=flow.version,
            parameters={"params": dict(making.params)},
            context=_context(making),
            tags=_tags(making),
            state=to_state_create(Pending()),
            idempotency_key=making.key,
        )
        body = wanted.model_dump(mode="json", exclude_unset=True)
        answer = await client.request("POST", "/flow_runs/", json=body)
    return FlowRun.model_validate(answer.json())


async def make_there(client: PrefectClient, making: Making) -> FlowRun:
    """Make a run of a deployed round, held back a moment, for a worker; see `release`."""
    with _translated():
        deployment = await client.read_deployment_by_name(making.round or "")
        return await client.create_flow_run_from_deployment(
            deployment.id,
            parameters={"params": dict(making.params)},
            context=_context(making),
            tags=_tags(making),
            state=Scheduled(
                scheduled_time=datetime.now(UTC) + timedelta(seconds=HOLD_BACK_SECONDS)
            ),
            idempotency_key=making.key,
        )


async def release(client: PrefectClient, flow_run: FlowRun) -> None:
    """Let a worker take the run now; should this fail it does so a moment later."""
    with _translated():
        await client.set_flow_run_state(flow_run.id, Scheduled(), force=True)


async def execute(flow: AnyFlow, flow_run: FlowRun, params: BaseModel) -> None:
    """Execute a flow run that was made before, in this process, under its id."""
    await run_flow_async(
        flow, flow_run=flow_run, parameters={"params": params}, return_type="state"
    )


async def is_cancelling(client: PrefectClient, run_id: str) -> bool:
    """Whether somebody cancelled the run in Prefect; False where that cannot be told."""
    try:
        flow_run = await client.read_flow_run(UUID(run_id))
    except (ObjectNotFound, httpx.HTTPError):
        return False
    return flow_run.state is not None and (
        flow_run.state.is_cancelling() or flow_run.state.is_cancelled()
    )


class _translated:  # noqa: N801 reads as a statement
    """Turns what Prefect's client raises into our errors."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, ObjectNotFound):
            raise Refused(
                "Prefect does not know this round", "run `prefect deploy --all`, or execute here"
            ) from error
        if isinstance(error, PrefectHTTPStatusError) and error.response.status_code < 500:
            code = error.response.status_code
            raise Refused(f"Prefect refused ({code}): {error.response.text[:500]}") from error
        if isinstance(error, httpx.HTTPError | RuntimeError):
            raise Unready(
                f"Prefect did not answer: {error or type(error).__name__}",
                "start it (`make up`) or correct ROUNDSMAN_PREFECT_API_URL",
            ) from error


async def settle(ledger: Ledger) -> None:
    """Make Prefect show what the ledger knows of runs that others left behind; best effort."""
    try:
        async with asyncio.timeout(SETTLE_SECONDS), get_client() as client:
            await _settle_closed(client, ledger)
            await _settle_queued(client, ledger)
            await _settle_unknown(client, ledger)
    except (TimeoutError, httpx.HTTPError, Unready) as error:
        _log.warning("Prefect's states were not set right", metadata={"said": repr(error)})


async def _settle_closed(client: PrefectClient, ledger: Ledger) -> None:
    for run in await asyncio.to_thread(ledger_of_runs.unsettled, ledger, SETTLE_RUNS_MAX):
        said = run.error_message or "as the ledger has it"
        await _show(client, run.run_id, state_of(run.status, said))
        await asyncio.to_thread(ledger_of_runs.mark_settled, ledger, run.org_id, run.run_id)


async def _show(client: PrefectClient, run_id: str, state: State[Any]) -> None:
    try:
        flow_run = await client.read_flow_run(UUID(run_id))
        if flow_run.state is None or flow_run.state.type != state.type:
            await client.set_flow_run_state(flow_run.id, state, force=True)
    except ObjectNotFound:
        _log.debug("Prefect has forgotten the run", metadata={"run": run_id})


async def _settle_queued(client: PrefectClient, ledger: Ledger) -> None:
    """Close runs that wait for a worker but that Prefect has ended or forgotten."""
    waiting = await asyncio.to_thread(ledger_of_runs.queued_without_holder, ledger)
    for org, run_id in random.sample(waiting, min(len(waiting), SETTLE_RUNS_MAX)):
        try:
            state = (await client.read_flow_run(UUID(run_id))).state
        except ObjectNotFound:
            state = Crashed(message="Prefect has forgotten the run")
        if state is None or not state.is_final():
            continue
        status: ClosedStatus = "cancelled" if state.is_cancelled() else "crashed"
        said = state.message or f"Prefect ended the run as {state.name} before it began"
        error = {"type": state.name or "Crashed", "message": said, "step": None}
        await asyncio.to_thread(ledger_of_runs.close_queued, ledger, org, run_id, status, error)


async def _settle_unknown(client: PrefectClient, ledger: Ledger) -> None:
    """End flow runs whose maker died before it could write their row."""
    of_ours = FlowRunFilter.model_validate(
        {"tags": {"all_": [TAG]}, "state": {"type": {"any_": ["PENDING"]}}}
    )
    found = await client.read_flow_runs(
        flow_run_filter=of_ours, sort=FlowRunSort.START_TIME_DESC, limit=SETTLE_RUNS_MAX
    )
    for flow_run in found:
        told = (flow_run.context or {}).get(TAG, {})
        if "holder" in told and is_dead(Holder(*told["holder"])):
            state = Crashed(message="its maker died before it began")
            await client.set_flow_run_state(flow_run.id, state, force=True)
