"""Which routes there are, and what holds for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.openapi.utils import get_openapi

from roundsman.api import (
    access,
    actions,
    agents,
    approvals,
    artifacts,
    execute,
    findings,
    health,
    history,
    metrics,
    page,
    problems,
    rounds,
    runs,
    session,
    stream,
    undo,
)
from roundsman.api.guard import HEADER, Guard
from roundsman.api.room import Room
from roundsman.approvals import start_approved
from roundsman.errors import RoundsmanError
from roundsman.log import get_logger
from roundsman.settings import Settings
from roundsman.store import Ledger, open_ledger
from roundsman.store.approvals import expire_due
from roundsman.store.keys import orgs_with_keys
from roundsman.store.sweep import sweep
from roundsman.store.tail import Tail

# Commands do it when they open the ledger; a server has opened it long ago.
SWEEP_SECONDS = 10.0

# A fixed word is looked for before a name: /agents/history is no agent.
ROUTERS: tuple[APIRouter, ...] = (
    page.router,
    health.router,
    session.opening,
    session.router,
    rounds.router,
    metrics.router,
    execute.router,
    history.router,
    stream.router,
    runs.router,
    undo.router,
    artifacts.router,
    agents.router,
    approvals.router,
    actions.router,
    findings.router,
)
# What these answer is nobody's secret: balancers ask them, and the page's own files hold no facts.
OPEN = (page.router, health.router, session.opening)

_log = get_logger(__name__, component="api")


def make_app(settings: Settings) -> FastAPI:
    """The API of one machine's settings; the ledger is opened when it starts to serve."""
    app = FastAPI(
        title="Roundsman",
        version=version("roundsman"),
        description="Agents that make the rounds of a data platform.",
        lifespan=_living(settings),
        # Swagger's page would be loaded from another host.
        docs_url=None,
        redoc_url=None,
    )
    app.state.settings = settings
    problems.install(app)
    for router in ROUTERS:
        needs = [] if router in OPEN else [Depends(access.identify)]
        app.include_router(router, dependencies=needs)
    app.dependency_overrides |= {
        stream.listener_of: access.listener,
        metrics.scraped_org: access.org_of_reader,
        metrics.scraped_ledger: access.ledger_of_house,
    }
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", HEADER],
            expose_headers=["Location", "Retry-After", HEADER],
        )
    # The last one added stands outermost.
    app.add_middleware(Guard, settings=settings)
    app.openapi = _documented(app)
    return app


def _living(settings: Settings) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        where = (settings.ledger_url, settings.chain_key, settings.anchor)
        ledger = await to_thread.run_sync(open_ledger, *where)
        app.state.house = access.House(
            settings,
            ledger,
            access.Rates(settings.api_requests_per_minute),
            CapacityLimiter(access.STARTS_AT_ONCE_MAX),
            Room(settings),
            access.Welcomes(),
        )
        app.state.tail = Tail(ledger, settings.streams_max)
        sweeping = asyncio.create_task(_keep_sweeping(ledger, settings))
        try:
            yield
        finally:
            sweeping.cancel()
            await to_thread.run_sync(app.state.tail.close)
            await to_thread.run_sync(ledger.close)

    return lifespan


async def _keep_sweeping(ledger: Ledger, settings: Settings) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            await to_thread.run_sync(sweep_once, ledger, settings)
        except (RoundsmanError, OSError) as error:
            _log.warning(f"the ledger was not swept: {error}")


def sweep_once(ledger: Ledger, settings: Settings) -> None:
    """Close runs that died and requests nobody answered; start what was approved and is not run."""
    sweep(ledger)
    expire_due(ledger)
    for org in {settings.org_id, *orgs_with_keys(ledger)}:
        start_approved(ledger, settings.model_copy(update={"org_id": org}))


def _documented(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """The app's document with the one shape of all problems in it."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
            )
            schema = problems.Problem.model_json_schema()
            document.setdefault("components", {}).setdefault("schemas", {})["Problem"] = schema
            app.openapi_schema = document
        return app.openapi_schema

    return openapi
