"""`roundsman approvals`: what waits for a person's answer, and the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from roundsman.cli.complaint import Doors, Json, Quick, hint, print_json, unknown
from roundsman.cli.present import count

if TYPE_CHECKING:
    from roundsman.cli.ledger import Reads
    from roundsman.store.records import ActionRow
    from roundsman.store.undone import Undoing

STATES = ("waiting", "allowed", "attempting", "done", "failed", "unknown", "denied", "expired")
ActionId = Annotated[
    str, typer.Argument(metavar="ID", help="The action's id, or its first six or more characters.")
]
Note = Annotated[str | None, typer.Option("--note", help="Why; it stays in the ledger.")]

approvals = typer.Typer(
    cls=Doors,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Actions that wait for a person's answer.",
)


@approvals.command("list", cls=Quick)
def list_approvals(
    everything: Annotated[
        bool, typer.Option("--all", help="Those that were answered too.")
    ] = False,
    agent: Annotated[str | None, typer.Option(help="Only this agent's.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 50,
    as_json: Json = False,
) -> None:
    """List what waits for an answer, newest first."""
    from roundsman.approvals import start_approved
    from roundsman.cli.ledger import Memory, open_reads
    from roundsman.store.approvals import Wanted

    reads = open_reads()
    # An API does so by itself.
    begun = start_approved(reads.ledger, reads.settings) if isinstance(reads, Memory) else ()
    for key in begun:
        typer.echo(f"starting the approved run of {key[:12]}, which nobody had started", err=True)
    states = () if everything else ("waiting",)
    wanted = Wanted(states=states, agent=agent, was_asked=True, limit=limit)
    print_actions(
        reads, reads.actions(wanted), as_json, ("approvals", "Nothing waits for an answer.")
    )


@approvals.command("show", cls=Quick)
def show_approval(action_id: ActionId, as_json: Json = False) -> None:
    """Tell what exactly is asked for, why, and who may answer."""
    show_action(action_id, as_json)


@approvals.command("approve", cls=Quick)
def approve_action(
    action_id: ActionId,
    note: Note = None,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Show the run that acts, to its end.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Say yes: a new run looks again, acts if it is still needed, and reports."""
    from roundsman.cli.ledger import open_reads
    from roundsman.cli.start import accepted, end_with, follow_to_end, tell

    reads = open_reads()
    key = reads.action(action_id).action_id
    started = reads.approve(key, note)
    if not as_json:
        typer.echo(f"approved {key[:12]}; starting the run that acts ...")
    run_id = accepted(started)
    if not follow:
        shown = {"action_id": key, "state": "allowed", "run_id": run_id}
        if as_json:
            print_json(shown)
        else:
            hint(f"run {run_id}; watch it: roundsman watch {run_id[:8]}")
        return
    follow_to_end(lambda: reads, started, run_id, quiet=as_json)
    row = reads.run(run_id)
    tell(reads, row, as_json)
    end_with(row.status)


@approvals.command("deny", cls=Quick)
def deny_action(action_id: ActionId, note: Note = None, as_json: Json = False) -> None:
    """Say no, or take back a yes that no run has used yet.

    The same action on the same occasion is not asked for again, until somebody reopens it.
    """
    from roundsman.cli.ledger import open_reads

    reads = open_reads()
    key = reads.action(action_id).action_id
    row = reads.deny(key, note)
    if as_json:
        print_json(document_of(row, {}))
    else:
        typer.echo(f"denied {key[:12]}: '{row.action}' on '{row.target}' will not be done")


@approvals.command("reopen", cls=Quick)
def reopen_action(
    action_id: ActionId,
    reason: Annotated[str, typer.Option(help="Why; it stays in the ledger.")],
    as_json: Json = False,
) -> None:
    """Let a request that was denied, or that nobody answered in time, wait for an answer again."""
    from roundsman.cli.ledger import open_reads

    reads = open_reads()
    key = reads.action(action_id).action_id
    row = reads.reopen(key, reason)
    if as_json:
        print_json(document_of(row, {}))
    else:
        typer.echo(f"reopened {key[:12]}: '{row.action}' on '{row.target}' waits again")
        hint(_next(row).strip())


def check_states(typed: str | None) -> tuple[str, ...]:
    """The states of a comma-separated list; a wrong one lists the known ones."""
    names = [name.strip() for name in (typed or "").split(",") if name.strip()]
    for name in names:
        if name not in STATES:
            raise unknown("state", name, STATES)
    return tuple(names)


def print_actions(
    reads: Reads, found: list[ActionRow], as_json: bool, words: tuple[str, str]
) -> None:
    """Print permits as a table, or as a document of this name; the other word: there are none."""
    from roundsman.cli.present import table

    name, nothing = words
    taken_back = reads.undone(found)
    if as_json:
        print_json({name: [document_of(row, taken_back) for row in found]})
        return
    if not found:
        typer.echo(nothing)
        return
    columns = ("ID", "STATE", "ACTION", "TARGET", "ROUND", "ASKED", "UNTIL", "BY", "WHY")
    table(
        columns,
        (
            (
                row.action_id[:12],
                "undone" if row.action_id in taken_back else row.state,
                row.action,
                row.target,
                row.round or row.agent,
                row.proposed_at,
                row.expires_at,
                row.reviewed_by or row.settled_by or row.policy_rule_id,
                _why(row, taken_back),
            )
            for row in found
        ),
        cut="WHY",
    )


def document_of(row: ActionRow, taken_back: Mapping[str, Undoing]) -> dict[str, Any]:
    """A permit as a document, as the API gives it."""
    from roundsman.store.undone import action_document

    return action_document(row, taken_back)


def _why(row: ActionRow, taken_back: Mapping[str, Undoing]) -> str:
    undoing = taken_back.get(row.action_id)
    return f"by {undoing.said}" if undoing else row.said or row.review_note or row.reason


def show_action(action_id: str, as_json: bool) -> None:
    """Print one permit with all that is known of it."""
    from roundsman.cli.action_page import print_action
    from roundsman.cli.ledger import open_reads

    reads = open_reads()
    row = reads.action(action_id)
    taken_back = reads.undone([row])
    if as_json:
        print_json(document_of(row, taken_back))
        return
    undoing = taken_back.get(row.action_id)
    print_action(row, reads.run(row.run_id), was_undone=undoing is not None)
    if undoing:
        hint(f"\nit was undone by {undoing.said}: roundsman actions show {undoing.action_id[:12]}")
    else:
        hint(_next(row))


def _next(row: ActionRow) -> str:
    key = row.action_id[:12]
    if row.state == "waiting":
        who = f" ({', '.join(row.approvers)} may answer)" if row.approvers else ""
        return f"\nanswer it: roundsman approvals approve {key}, or deny {key}{who}"
    if row.state == "unknown":
        return f"\nlook outside, then: roundsman actions settle {key} done, or not-done"
    if row.state in ("denied", "expired") and row.nonce is not None:
        return f"\nlet it wait again: roundsman approvals reopen {key} --reason ..."
    if row.state == "allowed" and row.reviewed_by:
        return f"\ntake the yes back: roundsman approvals deny {key}"
    if row.state in ("done", "failed") and row.undo is not None:
        return f"\nundo it: roundsman undo {row.acting_run or row.run_id}"
    return f"\n{count(1, 'permit')}, proposed by run {row.run_id[:8]}"
