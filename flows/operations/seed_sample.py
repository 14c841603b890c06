"""Found the sample company: the demo's rows in a search and a warehouse that may be written."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from blocks.systems import configuration_hash
from roundsman.agent import AgentParams, Outcome, agent, current
from roundsman.demo.company import Company, found_company
from tasks.mail_files import open_dataset, open_sandbox
from tasks.sandbox import Sandbox, require_live
from tasks.seed import add_to_search, add_to_warehouse, seed_search, seed_warehouse


class Params(AgentParams):
    """Where the company is founded, how large, and since when."""

    search: str = Field(default="local", description="A search of systems.yaml")
    warehouse: str = Field(default="local", description="A warehouse of systems.yaml")
    index: str = Field(default="emails", description="Each month's index is <index>-YYYY.MM")
    table: str = Field(default="analytics.emails", description="The table of mails")
    customers: str = Field(default="crm.customers", description="The table that is out of date")
    seed: int = Field(default=20, description="Another seed is another company")
    days: int = Field(default=14, ge=2, le=366, description="How far back its mails go")
    mails_a_day: int = Field(default=280, ge=20, le=100_000, description="On a working day")
    now: datetime | None = Field(default=None, description="The moment of its newest mail")
    arrivals: Literal["all", "before_build", "after_build"] = Field(
        default="all",
        description="after_build adds to what before_build founded, so that marts built in "
        "between are stale",
    )


def _systems(params: Params) -> dict[str, str]:
    require_live(params)
    open_as = open_dataset if params.dry_run else open_sandbox
    search = open_as("search", params.search)
    warehouse = open_as("warehouse", params.warehouse)
    return {
        f"search/{params.search}": configuration_hash(search),
        f"warehouse/{params.warehouse}": configuration_hash(warehouse),
    }


@agent(operation=True, systems=_systems, plan=("seed_search", "seed_warehouse"))
async def seed_sample(params: Params) -> Outcome:
    """Make the company's rows and write them to both sides."""
    company = Company(
        now=(params.now or datetime.now(UTC)).astimezone(UTC),
        seed=params.seed,
        days=params.days,
        mails_a_day=params.mails_a_day,
    )
    sample = await asyncio.to_thread(found_company, company)
    if params.dry_run:
        current().skip("seed_search", "dry_run")
        current().skip("seed_warehouse", "dry_run")
        return Outcome(verdict="healthy", artifacts={"mails": len(sample.mails)}, gaps=[])
    search = Sandbox(f"search/{params.search}", open_dataset("search", params.search))
    warehouse = Sandbox(
        f"warehouse/{params.warehouse}", open_dataset("warehouse", params.warehouse)
    )
    if params.arrivals == "after_build":
        late = sample.after_build()
        indexed = await add_to_search.named("seed_search")(search, params.index, late)
        loaded = await add_to_warehouse.named("seed_warehouse")(warehouse, params.table, late)
    else:
        there = sample if params.arrivals == "all" else sample.before_build()
        indexed = await seed_search(search, params.index, there)
        loaded = await seed_warehouse(warehouse, params.table, params.customers, there)
    told = {
        "indexed": indexed,
        "loaded": loaded,
        "missing": len(sample.missing),
        "late": len(sample.late),
        "customers": len(sample.customers),
    }
    return Outcome(verdict="healthy", artifacts=told, gaps=[])
