"""`roundsman actions` and `undo`: what was done outside, what is unsure, and taking it back."""

from __future__ import annotations

from typing import Annotated

import typer

from roundsman.cli.approvals import (
    ActionId,
    Note,
    check_states,
    named,
    print_actions,
    review_of,
    show_action,
)
from roundsman.cli.complaint import FAILED, Doors, Json, Quick, hint, print_json, unknown
from roundsman.cli.record import RunId

OUTCOMES = ("done", "not-done")

actions = typer.Typer(
    cls=Doors,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="What agents did outside, or were to do.",
)


@actions.command("list", cls=Quick)
def list_actions(
    state: Annotated[
        str | None, typer.Option(help="Only this state; several are parted by commas.")
    ] = None,
    agent: Annotated[str | None, typer.Option(help="Only this agent's.")] = None,
    run_id: Annotated[
        str | None, typer.Option("--run", help="Only what this run proposed or did.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 50,
    as_json: Json = False,
) -> None:
    """List actions, newest first."""
    from roundsman.cli.ledger import open_memory
    from roundsman.store import approvals

    states = check_states(state)
    memory = open_memory()
    whole = memory.run(run_id).run_id if run_id else None
    wanted = approvals.Wanted(states=states, agent=agent, run_id=whole, limit=limit)
    found = approvals.list_actions(memory.ledger, memory.org, wanted)
    switch = approvals.switch_of(memory.ledger, memory.org)
    if switch and switch.is_on and not as_json:
        typer.echo(f"ALL ACTIONS ARE STOPPED by {switch.who}: {switch.reason or 'no reason given'}")
    print_actions(memory, found, as_json, ("actions", "No actions."))


@actions.command("show", cls=Quick)
def show(action_id: ActionId, as_json: Json = False) -> None:
    """Tell everything about one action: why, by whose word, what became of it."""
    show_action(action_id, as_json)


@actions.command("settle", cls=Quick)
def settle(
    action_id: ActionId,
    outcome: Annotated[str, typer.Argument(metavar="done|not-done", help="What you found.")],
    note: Note = None,
    as_json: Json = False,
) -> None:
    """Say what became of an action whose answer was lost, after you looked outside."""
    from roundsman.store.approvals import settle_by_hand

    if outcome not in OUTCOMES:
        raise unknown("outcome", outcome, OUTCOMES)
    memory, key = named(action_id)
    review = review_of(memory, note)
    row = settle_by_hand(memory.ledger, memory.org, key, outcome == "done", review)
    if as_json:
        print_json(row)
    else:
        typer.echo(f"settled {key[:12]}: '{row.action}' on '{row.target}' is {row.state}")


@actions.command("stop", cls=Quick)
def stop(
    reason: Annotated[str, typer.Option(help="Why; whoever is refused is told.")] = "",
    as_json: Json = False,
) -> None:
    """Halt every effect of this org: nothing new begins until `resume`."""
    from roundsman.cli.ledger import open_memory
    from roundsman.store.approvals import halt

    memory = open_memory()
    switch = halt(memory.ledger, memory.org, review_of(memory, reason))
    if as_json:
        print_json(switch._asdict())
        return
    why = f" ({switch.reason})" if switch.reason else ""
    hint(
        f"all actions of '{memory.org}' are stopped by {switch.who}{why};"
        " again: roundsman actions resume"
    )


@actions.command("resume", cls=Quick)
def resume(reason: Annotated[str, typer.Option(help="Why.")] = "", as_json: Json = False) -> None:
    """Let effects begin again, and start the runs of what was approved and not done meanwhile."""
    from roundsman.approvals import resume
    from roundsman.cli.ledger import open_memory

    memory = open_memory()
    told = resume(memory.ledger, memory.settings, review_of(memory, reason))
    if as_json:
        print_json(told.switch._asdict() | {"was_on": told.was_on, "started": told.runs})
        return
    typer.echo(
        f"actions of '{memory.org}' may begin again"
        if told.was_on
        else f"actions of '{memory.org}' were not stopped: nothing to resume"
    )
    for key, run_id in told.runs.items():
        hint(f"started run {run_id} of the approved {key[:12]}: roundsman watch {run_id[:8]}")


def undo(
    run_id: RunId,
    action_id: Annotated[
        str | None, typer.Option("--action", metavar="ID", help="Only this one of its actions.")
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Only say what could be undone, and what not; unset: do it."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Take back what a run did, where that is possible, and say plainly where it is not."""
    from roundsman.cli.ledger import open_memory
    from roundsman.cli.start import Wish, run_to_end
    from roundsman.store.undone import done_by

    memory = open_memory()
    row = memory.run(run_id)
    # Seen here, so that nothing is started for what cannot be.
    done_by(memory.ledger, memory.org, row.run_id, action_id)
    params = {"run_id": row.run_id, "action_id": action_id}
    params |= {"dry_run": dry_run, "allow_actions": not dry_run}
    run_to_end(Wish("undo", params, "unknown", as_json, fail_code=FAILED))
