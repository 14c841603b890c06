"""`roundsman agents`: who makes rounds, and which rounds there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from roundsman.cli.complaint import Json, hint, print_json


def list_agents(
    rounds: Annotated[bool, typer.Option("--rounds", help="List the rounds of prefect.yaml.")] = (
        False
    ),
    as_json: Json = False,
) -> None:
    """List the agents and what each does; or the rounds made of them."""
    from roundsman.cli.ledger import list_cards

    if rounds:
        _list_rounds(as_json)
        return
    cards = list_cards()
    if as_json:
        print_json([card._asdict() for card in cards])
        return
    for card in cards:
        typer.secho(f"{card.name} {card.version}", bold=True)
        typer.echo(f"  {card.description}")
        typer.echo(f"  can     {', '.join(card.capabilities)}")
        typer.echo(f"  steps   {', '.join(card.plan)}")
        hint(f"  start   roundsman run {card.name}")
    hint("rounds: roundsman agents --rounds")


def _list_rounds(as_json: bool) -> None:
    from roundsman.cli.ledger import list_rounds
    from roundsman.cli.present import table

    found = list_rounds()
    if as_json:
        print_json([known._asdict() | {"full_name": known.full_name} for known in found])
        return
    rows = ((known.full_name, _when(known.schedules), known.description) for known in found)
    table(("ROUND", "WHEN", "WHAT"), rows)


def _when(schedules: Sequence[Mapping[str, Any]]) -> str:
    words = (str(s.get("cron") or s.get("interval") or s.get("rrule") or "") for s in schedules)
    return ", ".join(word for word in words if word) or "when asked"
