"""`roundsman run`, `watch`, `cancel` and `retry`: starting runs, seeing them work, ending them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from roundsman.cli.complaint import Json, unknown
from roundsman.cli.completion import names_to_run
from roundsman.cli.record import RunId
from roundsman.errors import Mistake

# The verdicts that --fail-on may name, from the best to the worst.
FAIL_ON = ("degraded", "unknown", "failed")


def run(
    name: Annotated[
        str,
        typer.Argument(
            metavar="AGENT|ROUND", help="See `roundsman agents`.", autocompletion=names_to_run
        ),
    ],
    param: Annotated[
        list[str] | None,
        typer.Option(
            "--param",
            "-p",
            metavar="KEY=VALUE",
            help="YAML; a dotted key goes deeper. Unset: the round's, then the agent's own.",
        ),
    ] = None,
    params_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YAML or JSON; --param goes over it.")
    ] = None,
    fail_on: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(FAIL_ON),
            help="End with 3 at this verdict or one after it in this order.",
        ),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say what would be read, and read nothing.")
    ] = False,
    live: Annotated[
        bool,
        typer.Option(
            "--live", help="Do what the policy allows; unset, a run is dry and changes nothing."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Run an agent or a round, and show it work."""
    from roundsman.cli.start import Wish, explain_run, leave, run_to_end, turn_down
    from roundsman.cli.values import read_parameters

    try:
        params = read_parameters(param or [], params_file)
        if fail_on not in (None, *FAIL_ON):
            raise unknown("verdict of --fail-on", fail_on, FAIL_ON)
    except Mistake as mistake:
        if explain:
            raise
        leave(turn_down(name, mistake))
    if live:
        params |= {"dry_run": False, "allow_actions": True}
    if explain:
        explain_run(name, params, as_json)
        return
    run_to_end(Wish(name, params, fail_on, as_json))


def retry(run_id: RunId, as_json: Json = False) -> None:
    """Run again what failed, with the parameters it had."""
    from roundsman.cli.ledger import open_reads
    from roundsman.cli.record import require_closed
    from roundsman.cli.start import Wish, run_to_end

    row = open_reads().run(run_id)
    require_closed(row, "retry")
    if row.status == "success":
        raise Mistake(
            f"run '{row.run_id}' succeeded, there is nothing to retry",
            f"run it anew: roundsman run {row.round or row.agent_type}",
        )
    name = row.round or row.agent_type
    run_to_end(Wish(name, row.params, None, as_json, retry_of=row.run_id))


def watch(run_id: RunId, as_json: Json = False) -> None:
    """Show a run's events as they happen, until it ends; with --json what `run` prints then."""
    from roundsman.cli.ledger import open_reads
    from roundsman.cli.progress import watch_run
    from roundsman.cli.start import end_with, tell

    reads = open_reads()
    row = reads.run(run_id)
    status = watch_run(reads, row.run_id, quiet=as_json)
    if as_json:
        tell(reads, reads.run(row.run_id), as_json)
    end_with(status)


def cancel(run_id: RunId, as_json: Json = False) -> None:
    """Ask a run to stop; it does so at its next step or operation."""
    from roundsman.cli.complaint import hint, print_json
    from roundsman.cli.ledger import open_reads

    reads = open_reads()
    row = reads.run(run_id)
    if row.status not in ("queued", "running"):
        raise Mistake(f"run '{row.run_id}' has ended as {row.status}", "nothing is to be cancelled")
    reads.cancel(row.run_id)
    if as_json:
        print_json({"run_id": row.run_id, "cancel_requested": True})
        return
    hint(f"asked run {row.run_id} to stop; see it end: roundsman watch {row.run_id[:8]}")
