"""`artifacts`, `verify-audit`, `erase`, `migrate`: what is kept, and whether it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from roundsman.cli.complaint import FAILED, Doors, Json, Quick, print_json, remote_url, unknown
from roundsman.cli.present import count

if TYPE_CHECKING:
    from roundsman.cli.ledger import Memory
    from roundsman.cli.remote import Shelf
    from roundsman.store.artifacts import ArtifactStore

AgentName = Annotated[str, typer.Argument(metavar="AGENT", help="Whose files are meant.")]
FileName = Annotated[str, typer.Argument(metavar="FILE", help="A name that `list` shows.")]

FILES_STAY = "the artifact files are yours to delete"

artifacts = typer.Typer(
    cls=Doors,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="The reports that runs have left behind.",
)


def _shelf() -> ArtifactStore | Shelf:
    """The artifacts of this machine, or those of the API that `--remote` names."""
    remote = remote_url()
    if remote is None:
        return _own_shelf()
    from roundsman.cli.remote import Shelf
    from roundsman.client import Client

    return Shelf(Client(remote))


def _own_shelf() -> ArtifactStore:
    from roundsman.settings import get_settings
    from roundsman.store.artifacts import ArtifactStore

    settings = get_settings()
    return ArtifactStore(settings.artifacts, settings.org_id)


@artifacts.command("list", cls=Quick)
def list_artifacts(
    agent: Annotated[
        str | None, typer.Argument(metavar="AGENT", help="Only this agent's files.")
    ] = None,
    pattern: Annotated[str, typer.Option(help="A glob, as *.json.")] = "*",
    as_json: Json = False,
) -> None:
    """List the files, by agent."""
    shelf = _shelf()
    names = [agent] if agent else shelf.agents()
    if agent and agent not in shelf.agents():
        _require_agent(agent, shelf.agents())
    found = {name: shelf.list_files(name, pattern) for name in names}
    if as_json:
        print_json({name: files for name, files in found.items() if files or agent})
        return
    if not any(found.values()):
        typer.echo("No artifacts yet.")
    for name, files in found.items():
        for file in files:
            typer.echo(f"{name}/{file}" if agent is None else file)


def _require_agent(name: str, with_files: list[str]) -> None:
    from roundsman.cli.ledger import list_cards

    known = [card.name for card in list_cards()]
    if name not in known:
        raise unknown("agent", name, sorted({*known, *with_files}))


@artifacts.command("show", cls=Quick)
def show_artifact(agent: AgentName, file: FileName) -> None:
    """Print a file's text."""
    shelf = _shelf()
    _require(shelf, agent, file)
    typer.echo(shelf.read(file, agent))


@artifacts.command("path", cls=Quick)
def path_artifact(
    agent: AgentName,
    file: Annotated[str | None, typer.Argument(metavar="FILE", help="Unset: the folder.")] = None,
) -> None:
    """Print where a file or an agent's folder is."""
    shelf = _own_shelf()
    if file is not None:
        _require(shelf, agent, file)
    path = shelf.locate(file or "any", agent)
    typer.echo(str(path if file else path.parent))


def _require(shelf: ArtifactStore | Shelf, agent: str, file: str) -> None:
    known = shelf.list_files(agent, "*")
    if file not in known:
        raise unknown(f"artifact of {agent}", file, known[:20])


def verify_audit(
    anchor: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Anchors kept elsewhere (default: ours).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check that nobody edited, removed, inserted or re-ordered what the ledger says."""
    from roundsman.cli.ledger import open_memory
    from roundsman.errors import Mistake
    from roundsman.store.verify import verify

    if anchor is not None and not anchor.is_file():
        raise Mistake(f"--anchor '{anchor}' does not exist", "name a file of anchors")
    memory = open_memory()
    found = verify(memory.ledger, memory.org, anchor)
    if as_json:
        print_json(found)
    else:
        told = f"{count(found.events, 'event')} of '{found.org}'"
        typer.echo(f"whole: {told}" if found.ok else f"NOT WHOLE: {told}")
        for problem in found.problems:
            typer.echo(f"  {problem}")
        for blind in found.cannot_see:
            typer.echo(f"  not seen by this check: {blind}")
    if not found.ok:
        typer.echo(f"the ledger was changed: {found.first_bad}", err=True)
        raise typer.Exit(FAILED)


def erase(
    reason: Annotated[str, typer.Option(help="Why; it stays in the ledger.")],
    run_id: Annotated[
        str | None, typer.Argument(metavar="RUN_ID", help="A closed run's id.")
    ] = None,
    expired: Annotated[
        bool,
        typer.Option("--expired", help="All that ended before ROUNDSMAN_RETENTION_DAYS ago."),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="With --expired: erase, and not only count.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Erase for good what runs carried; that they took place, and the chain, stay."""
    from roundsman.cli.ledger import open_memory
    from roundsman.errors import Mistake

    if (run_id is None) != expired:
        raise Mistake("erase takes a run's id or --expired", "name one of them")
    memory = open_memory()
    if run_id is not None:
        _erase_one(memory, memory.run(run_id).run_id, reason, as_json)
        return
    found = _expired(memory)
    _tell_expired(found, _erase_all(memory, found, reason) if yes else None, as_json)


def _erase_one(memory: Memory, run_id: str, reason: str, as_json: bool) -> None:
    erased = _erase_all(memory, [run_id], reason)
    if as_json:
        print_json({"run_id": run_id, "payloads_erased": erased})
        return
    typer.echo(f"erased {count(erased, 'payload')} of run {run_id}; {FILES_STAY}")


def _expired(memory: Memory) -> list[str]:
    from roundsman.errors import Mistake
    from roundsman.store.erasure import expired_runs

    days = memory.settings.retention_days
    if days is None:
        raise Mistake("everything is kept for ever", "set ROUNDSMAN_RETENTION_DAYS")
    return expired_runs(memory.ledger, memory.org, days)


def _erase_all(memory: Memory, run_ids: list[str], reason: str) -> int:
    from roundsman.cli.start import who
    from roundsman.store.erasure import erase_run

    asked_by = who(memory.settings)
    return sum(erase_run(memory.ledger, memory.org, run_id, asked_by, reason) for run_id in run_ids)


def _tell_expired(run_ids: list[str], erased: int | None, as_json: bool) -> None:
    """`erased` is None where the runs were only counted."""
    runs = count(len(run_ids), "run")
    if as_json:
        print_json({"run_ids": run_ids, "payloads_erased": erased})
    elif erased is None:
        typer.echo(f"{runs} would be erased; add --yes to do it")
    else:
        typer.echo(f"erased {count(erased, 'payload')} of {runs}; {FILES_STAY}")


def migrate(
    status: Annotated[bool, typer.Option("--status", help="Only say which schema it has.")] = False,
    as_json: Json = False,
) -> None:
    """Bring the ledger's tables to this version; also done by itself when the ledger is opened."""
    from roundsman.cli.ledger import open_memory
    from roundsman.settings import get_settings
    from roundsman.store.engine import schema_status

    if not status:
        open_memory()
    found = schema_status(get_settings().ledger_url)
    if as_json:
        print_json(found._asdict() | {"is_current": found.is_current})
        return
    state = "current" if found.is_current else f"this code wants {found.head}"
    typer.echo(f"{found.place}: schema {found.current or 'none yet'} ({state})")
