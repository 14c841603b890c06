"""`roundsman import mail`: real mails into a search and a warehouse that may be written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from roundsman.cli.complaint import Json
from roundsman.errors import Mistake

HOURS = {"d": 24, "h": 1, "w": 168}


def import_mail(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="mbox, Maildir, a folder of .eml, .jsonl or .jsonl.gz.", metavar="PATH"
        ),
    ],
    arrive_over: Annotated[
        str | None,
        typer.Option(metavar="14d", help="Spread the arrival evenly up to now; 12h, 14d, 2w."),
    ] = None,
    search: Annotated[str, typer.Option(help="A search of systems.yaml.")] = "local",
    warehouse: Annotated[str, typer.Option(help="A warehouse of systems.yaml.")] = "local",
    index: Annotated[str, typer.Option(help="Each month's index is INDEX-YYYY.MM.")] = "emails",
    table: Annotated[str, typer.Option(help="The warehouse's table.")] = "analytics.emails",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count the mails; unset: write them.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Import mails into both sides; only into twins and systems marked `sandbox: true`."""
    from roundsman.cli.complaint import print_json
    from roundsman.cli.present import count
    from roundsman.cli.start import finish_operation

    params = {
        "paths": [str(path.expanduser().absolute()) for path in paths],
        "search": search,
        "warehouse": warehouse,
        "index": index,
        "table": table,
        "dry_run": dry_run,
        "allow_actions": not dry_run,
        "arrive_over_hours": read_hours(arrive_over) if arrive_over else None,
    }
    if not as_json:
        typer.echo("importing ...")
    row = finish_operation("import_mail", params)
    told = row.artifacts.get("import", {})
    if as_json:
        print_json({"run_id": row.run_id, **told})
        return
    left_out = count(told["duplicates"], "repetition")
    typer.echo(
        f"{count(told['mails'], 'mail')} ({told['broken']} broken, kept as far as they could "
        f"be read; {left_out} left out)"
    )
    if not dry_run:
        typer.echo(f"{told['indexed']} into '{index}-*' of search '{search}'")
        typer.echo(f"{told['loaded']} into '{table}' of warehouse '{warehouse}'")


def read_hours(typed: str) -> float:
    """A stretch of time such as 14d, 12h or 2w, in hours; a Mistake for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([dhw])", typed.strip())
    if not match or float(match[1]) <= 0:
        raise Mistake(f"--arrive-over '{typed}' is no stretch of time", "write 14d, 12h or 2w")
    return float(match[1]) * HOURS[match[2]]
