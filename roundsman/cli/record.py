"""`roundsman history` and `show`: what was run, and everything the ledger knows of one run."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from roundsman.cli.complaint import Json, print_json, unknown
from roundsman.cli.completion import runs_to_name
from roundsman.errors import Mistake

if TYPE_CHECKING:
    from roundsman.store.records import AuditRow, EventRow, HistoryFilter, RunStatus

Day = Annotated[
    datetime | None, typer.Option(formats=["%Y-%m-%d"], metavar="DATE", help="A UTC day, included.")
]
RunId = Annotated[
    str,
    typer.Argument(
        metavar="RUN_ID",
        help="The run's id, or its first six or more characters.",
        autocompletion=runs_to_name,
    ),
]


def history(
    agent_type: Annotated[
        str | None, typer.Option("--agent", "--agent-type", help="Only this agent.")
    ] = None,
    status: Annotated[
        str | None, typer.Option(help="Only this status; several are parted by commas.")
    ] = None,
    user_email: Annotated[str | None, typer.Option(help="Only what this person asked for.")] = None,
    start_date: Day = None,
    end_date: Day = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many runs.")] = 50,
    offset: Annotated[int, typer.Option(min=0, help="Leave out so many of the newest.")] = 0,
    as_json: Json = False,
) -> None:
    """List runs, newest first."""
    from roundsman.cli.ledger import list_cards, open_reads
    from roundsman.store.records import HistoryFilter

    wanted = HistoryFilter(
        agent_type=agent_type,
        status=_statuses(status),
        user_email=user_email,
        start_date=start_date.date() if start_date else None,
        end_date=end_date.date() if end_date else None,
        limit=limit,
        offset=offset,
    )
    reads = open_reads()
    found, total = reads.history(wanted)
    if agent_type and not found:
        _require_agent(agent_type, [card.name for card in list_cards(operations=True)])
    if as_json:
        print_json({"runs": [_brief(row) for row in found], "total": total})
        return
    _print_history(found, total, wanted)


def _require_agent(name: str, known: list[str]) -> None:
    if name not in known:
        raise unknown("agent", name, known)


def _statuses(typed: str | None) -> tuple[RunStatus, ...] | None:
    from typing import get_args

    from roundsman.store.records import RunStatus

    known: tuple[RunStatus, ...] = get_args(RunStatus)
    names = [name.strip() for name in (typed or "").split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise unknown("status", name, known)
    return tuple(word for word in known if word in names) or None


def _brief(row: AuditRow) -> dict[str, object]:
    names = (
        "id agent_type objective status user_email started_at completed_at duration_seconds "
        "run_id round verdict dry_run created_at error_message asked_by"
    )
    told = row.model_dump(mode="json")
    return {name: told[name] for name in names.split()}


def _print_history(found: list[AuditRow], total: int, wanted: HistoryFilter) -> None:
    from roundsman.cli.present import short, table

    if not found:
        typer.echo("No runs." if total == 0 else f"No more runs: there are {total}.")
        return
    columns = ("RUN", "AGENT", "STATUS", "VERDICT", "BEGAN", "SECONDS", "ASKED BY", "SAID")
    table(
        columns,
        (
            (
                short(row.run_id),
                row.round or row.agent_type,
                row.status,
                row.verdict,
                row.started_at or row.created_at,
                row.duration_seconds,
                row.user_email or (row.asked_by.name or row.asked_by.kind if row.asked_by else ""),
                " ".join((row.error_message or row.objective).split()),
            )
            for row in found
        ),
        cut="SAID",
    )
    last = wanted.offset + len(found)
    if last < total:
        typer.echo(f"{last} of {total}; more: --offset {last}")


def show(
    run_id: RunId,
    as_json: Json = False,
    events: Annotated[bool, typer.Option(help="List every event too.")] = True,
) -> None:
    """Tell everything about one run: steps, times, verdict, gaps, artifacts, events."""
    from roundsman.cli.ledger import open_reads
    from roundsman.cli.summary import print_run

    reads = open_reads()
    row = reads.run(run_id)
    steps, told = reads.steps(row.run_id), reads.events(row.run_id)
    if as_json:
        document = row.model_dump(mode="json")
        document["steps"] = [step.model_dump(mode="json") for step in steps]
        document["events"] = [event._asdict() for event in told]
        print_json(document)
        return
    print_run(row, steps, reads.files(row.run_id))
    if events:
        _print_events(told)


def _print_events(told: list[EventRow]) -> None:
    from roundsman.cli.wording import Teller

    teller = Teller()
    typer.echo("\nEvents")
    for event in told:
        words = teller.words_of(event)
        typer.echo(f"  {event.seq:>6}  {event.at:%H:%M:%S.%f}  {event.kind:<17} {words}")


def require_closed(row: AuditRow, verb: str) -> None:
    """A Mistake unless the run has ended."""
    if row.completed_at is None and row.status in ("queued", "running"):
        raise Mistake(f"run '{row.run_id}' is still {row.status}", f"{verb} it when it has ended")
