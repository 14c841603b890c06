"""`roundsman run`, `watch`, `cancel` and `retry`: starting runs, seeing them work, ending them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from roundsman.cli.complaint import Json
from roundsman.cli.record import RunId
from roundsman.errors import Mistake

FailOn = Literal["degraded", "unknown", "failed"]


def run(
    name: Annotated[str, typer.Argument(metavar="AGENT|ROUND", help="See `roundsman agents`.")],
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", metavar="KEY=VALUE", help="YAML; a dotted key goes deeper."),
    ] = None,
    params_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YAML or JSON; --param goes over it.")
    ] = None,
    fail_on: Annotated[
        FailOn | None,
        typer.Option(help="End with 3 at this verdict or one after it in this order."),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say what would be read, and read nothing.")
    ] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Not a dry run: allow what the policy allows.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run an agent or a round, and show it work."""
    from roundsman.cli.start import Wish, explain_run, run_to_end
    from roundsman.cli.values import read_parameters

    params = read_parameters(param or [], params_file)
    if live:
        params |= {"dry_run": False, "allow_actions": True}
    if explain:
        explain_run(name, params, as_json)
        return
    run_to_end(Wish(name, params, fail_on, as_json))


def retry(run_id: RunId, as_json: Json = False) -> None:
    """Run again what failed, with the parameters it had."""
    from roundsman.cli.ledger import open_memory
    from roundsman.cli.record import require_closed
    from roundsman.cli.start import Wish, run_to_end

    row = open_memory().run(run_id)
    require_closed(row, "retry")
    if row.status == "success":
        raise Mistake(
            f"run '{row.run_id}' succeeded, there is nothing to retry",
            f"run it anew: roundsman run {row.round or row.agent_type}",
        )
    name = row.round or row.agent_type
    run_to_end(Wish(name, row.params, None, as_json, retry_of=row.run_id))


def watch(run_id: RunId) -> None:
    """Show a run's events as they happen, until it ends."""
    from roundsman.cli.ledger import open_memory
    from roundsman.cli.progress import watch_run
    from roundsman.cli.start import end_with

    memory = open_memory()
    row = memory.run(run_id)
    end_with(watch_run(memory, row.run_id))


def cancel(run_id: RunId, as_json: Json = False) -> None:
    """Ask a run to stop; it does so at its next step or operation."""
    from roundsman.cli.complaint import print_json
    from roundsman.cli.ledger import open_memory
    from roundsman.cli.start import who
    from roundsman.store import runs

    memory = open_memory()
    row = memory.run(run_id)
    if row.status not in ("queued", "running"):
        raise Mistake(f"run '{row.run_id}' has ended as {row.status}", "nothing is to be cancelled")
    runs.request_cancel(memory.ledger, memory.org, row.run_id, who(memory.settings))
    if as_json:
        print_json({"run_id": row.run_id, "cancel_requested": True})
        return
    typer.echo(f"asked run {row.run_id} to stop; see it end: roundsman watch {row.run_id[:8]}")
