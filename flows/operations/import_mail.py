"""Bring mails from files into a search and a warehouse, so that agents have something real."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from blocks.systems import configuration_hash
from roundsman.agent import AgentParams, Outcome, agent, current
from roundsman.errors import Mistake
from tasks.mail_files import (
    MailSource,
    count_mails,
    kind_of,
    open_dataset,
    open_sandbox,
    write_search,
    write_warehouse,
)
from tasks.sandbox import Sandbox, require_live


def _readable(path: str) -> str:
    try:
        kind_of(Path(path))
    except Mistake as mistake:
        raise PydanticCustomError("mail_path", "{said}", {"said": str(mistake)}) from mistake
    return path


class Params(AgentParams):
    """What is imported and where to."""

    paths: list[Annotated[str, AfterValidator(_readable)]] = Field(
        min_length=1, description="mbox, Maildir, folder of .eml, .jsonl or .jsonl.gz"
    )
    search: str = Field(default="local", description="A search of systems.yaml")
    warehouse: str = Field(default="local", description="A warehouse of systems.yaml")
    index: str = Field(
        default="emails",
        pattern=r"^[a-z0-9][a-z0-9_-]*$",
        description="Each month's index is <index>-YYYY.MM",
    )
    table: str = Field(default="analytics.emails", description="The warehouse's table")
    arrive_over_hours: float | None = Field(
        default=None, gt=0, le=24 * 3660, description="Spread the arrival evenly up to now"
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


@agent(operation=True, systems=_systems, plan=("count_mails", "write_search", "write_warehouse"))
async def import_mail(params: Params) -> Outcome:
    """Count the mails, write them to both sides, and say what was broken."""
    hours = params.arrive_over_hours
    source = MailSource(
        paths=tuple(params.paths),
        now=datetime.now(UTC),
        arrive_over=timedelta(hours=hours) if hours else None,
    )
    counted = await count_mails(source)
    source = source.model_copy(update={"total": counted.mails})
    told = {"indexed": 0, "loaded": 0, **counted.model_dump()}
    if params.dry_run:
        current().skip("write_search", "dry_run")
        current().skip("write_warehouse", "dry_run")
    else:
        search = Sandbox(f"search/{params.search}", open_dataset("search", params.search))
        warehouse = Sandbox(
            f"warehouse/{params.warehouse}", open_dataset("warehouse", params.warehouse)
        )
        told["indexed"] = await write_search(search, params.index, source)
        told["loaded"] = await write_warehouse(warehouse, params.table, source)
    return Outcome(verdict="healthy", artifacts={"import": told}, gaps=[])
