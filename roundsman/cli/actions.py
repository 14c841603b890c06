"""`roundsman actions` and `undo`: what was done outside, what is unsure, and taking it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from roundsman.cli.approvals import (
    ActionId,
    Note,
    check_states,
    document_of,
    print_actions,
    show_action,
)
from roundsman.cli.complaint import (
    FAILED,
    Doors,
    Json,
    Quick,
    hint,
    print_json,
    remote_url,
    unknown,
)
from roundsman.cli.record import RunId

if TYPE_CHECKING:
    from roundsman.cli.ledger import Reads

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
    from roundsman.cli.ledger import open_reads
    from roundsman.store.approvals import Wanted

    states = check_states(state)
    reads = open_reads()
    whole = reads.run(run_id).run_id if run_id else None
    found = reads.actions(Wanted(states=states, agent=agent, run_id=whole, limit=limit))
    switch = reads.switch()
    if switch and switch.is_on and not as_json:
        typer.echo(f"ALL ACTIONS ARE STOPPED by {switch.who}: {switch.reason or 'no reason given'}")
    print_actions(reads, found, as_json, ("actions", "No actions."))


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
    from roundsman.cli.ledger import open_reads

    if outcome not in OUTCOMES:
        raise unknown("outcome", outcome, OUTCOMES)
    reads = open_reads()
    key = reads.action(action_id).action_id
    row = reads.settle(key, outcome == "done", note)
    if as_json:
        print_json(document_of(row, reads.undone([row])))
    else:
        typer.echo(f"settled {key[:12]}: '{row.action}' on '{row.target}' is {row.state}")


@actions.command("stop", cls=Quick)
def stop(
    reason: Annotated[str, typer.Option(help="Why; whoever is refused is told.")] = "",
    as_json: Json = False,
) -> None:
    """Halt every effect of this org: nothing new begins until `resume`."""
    from roundsman.cli.ledger import open_reads

    reads = open_reads()
    switch = reads.halt(reason)
    if as_json:
        print_json(switch._asdict())
        return
    why = f" ({switch.reason})" if switch.reason else ""
    hint(
        f"all actions{_of_org(reads)} are stopped by {switch.who}{why};"
        " again: roundsman actions resume"
    )


@actions.command("resume", cls=Quick)
def resume(reason: Annotated[str, typer.Option(help="Why.")] = "", as_json: Json = False) -> None:
    """Let effects begin again, and start the runs of what was approved and not done meanwhile."""
    from roundsman.cli.ledger import open_reads

    reads = open_reads()
    told = reads.resume(reason)
    if as_json:
        print_json(told.switch._asdict() | {"was_on": told.was_on, "started": told.runs})
        return
    typer.echo(
        f"actions{_of_org(reads)} may begin again"
        if told.was_on
        else f"actions{_of_org(reads)} were not stopped: nothing to resume"
    )
    for key, run_id in told.runs.items():
        hint(f"started run {run_id} of the approved {key[:12]}: roundsman watch {run_id[:8]}")


def _of_org(reads: Reads) -> str:
    """Whose actions; elsewhere that is the key's to know."""
    return f" of '{reads.settings.org_id}'" if remote_url() is None else ""


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
    from roundsman.cli.ledger import open_reads
    from roundsman.cli.start import Wish, run_to_end

    reads = open_reads()
    row = reads.run(run_id)
    # Seen here, so that nothing is started for what cannot be.
    reads.check_undo(row.run_id, action_id)
    params = {"run_id": row.run_id, "action_id": action_id}
    params |= {"dry_run": dry_run, "allow_actions": not dry_run}
    run_to_end(Wish("undo", params, "unknown", as_json, fail_code=FAILED))
