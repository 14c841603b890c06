"""How a run is started through the catalog and followed to its end and exit code."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import typer

from roundsman.cli.complaint import (
    BY_VERDICT,
    FAILED,
    MISTAKEN,
    STOPPED,
    complain,
    print_json,
    remote_url,
)
from roundsman.cli.ledger import open_memory, open_reads, who
from roundsman.errors import Cancelled, Mistake, RoundsmanError

if TYPE_CHECKING:
    from roundsman.cli.ledger import Begun, Reads
    from roundsman.store.records import AuditRow

# What is refused is refused sooner than that.
PATIENCE_SECONDS = 2.0
EXIT_CODES = {"success": 0, "cancelled": STOPPED, "refused": MISTAKEN}
# From the best to the worst; --fail-on means this one and those after it.
VERDICTS = ("healthy", "degraded", "unknown", "failed")


class Wish(NamedTuple):
    """What was typed: which run, with what, and what is to be done with its verdict."""

    name: str
    params: Mapping[str, Any]
    fail_on: str | None = None
    as_json: bool = False
    retry_of: str | None = None
    fail_code: int = BY_VERDICT


def begin(name: str, params: Mapping[str, Any], retry_of: str | None = None) -> Begun:
    """Ring at the catalog: a child process starts on it at once; or have the API do so."""
    url = remote_url()
    if url is not None:
        from roundsman.cli.remote import Remote

        return Remote(url).begin(name, params, retry_of)
    from roundsman import catalog
    from roundsman.settings import get_settings

    settings = get_settings()
    # The child loads the engine while we are still getting ready.
    child = catalog.prepare(settings)
    from roundsman.store.records import AskedBy

    order = catalog.Order(
        agent_or_round=name,
        params=dict(params),
        asked_by=AskedBy(kind="cli", name=who(settings)),
        user_email=settings.user_email,
        retry_of=retry_of,
    )
    return catalog.start(order, settings, child)


def accepted(started: Begun) -> str:
    """The run's id once it stands in the ledger; raises what the run was refused for."""
    with _told_of_waiting():
        message = started.queued()
    if "refused" in message:
        raise _refusal(message["refused"])
    return str(message["run_id"])


@contextmanager
def _told_of_waiting() -> Generator[None]:
    """Say why nothing happens while a Prefect server of the run's own comes up."""
    from roundsman.settings import get_settings

    if remote_url() is not None or get_settings().prefect_url() is not None:
        yield
        return
    from roundsman.threads import unless_within

    words = "a Prefect server for this run alone is coming up (10 to 15 s) ..."
    with unless_within(PATIENCE_SECONDS, partial(typer.echo, words, err=True)):
        yield


class TurnedDown(Mistake):
    """A run that was refused; its audit row has this id."""

    def __init__(self, said: str, run_id: str | None) -> None:
        super().__init__(said)
        self.run_id = run_id


def turn_down(name: str, mistake: Mistake) -> TurnedDown:
    """Write down that what was typed could not even be asked for, in the ledger of this machine."""
    from roundsman.store import runs
    from roundsman.store.records import Ask, AskedBy

    if remote_url() is not None:
        return TurnedDown(str(mistake), None)
    memory = open_memory()
    ask = Ask(
        agent_type=name.partition("/")[0],
        asked_by=AskedBy(kind="cli", name=who(memory.settings)),
        user_email=memory.settings.user_email,
    )
    error = {"type": mistake.wire_type, "message": str(mistake)}
    run_id = runs.record_refused(memory.ledger, memory.org, ask, error)
    return TurnedDown(str(mistake), run_id)


def _refusal(told: Mapping[str, Any]) -> RoundsmanError:
    return TurnedDown(str(told.get("message", "refused")), told.get("run_id"))


def run_to_end(wish: Wish) -> None:
    """Start the run, show it work, print what it found, and end with its exit code."""
    started = begin(wish.name, wish.params, wish.retry_of)
    if not wish.as_json:
        typer.echo(f"starting {wish.name} ...")
    try:
        run_id = accepted(started)
    except TurnedDown as error:
        leave(error)
    except KeyboardInterrupt:
        started.interrupt()
        raise typer.Exit(STOPPED) from None
    reads = follow_to_end(open_reads, started, run_id, quiet=wish.as_json)
    row = reads.run(run_id)
    tell(reads, row, wish.as_json)
    if row.status == "success" and _is_bad(row.verdict, wish.fail_on):
        raise typer.Exit(wish.fail_code)
    end_with(row.status)


def leave(refused: TurnedDown) -> NoReturn:
    """Say why the run was refused, and under which id that is kept."""
    complain(refused, run_id=refused.run_id, status="refused")
    raise typer.Exit(MISTAKEN) from refused


def follow_to_end(opened: Callable[[], Reads], started: Begun, run_id: str, quiet: bool) -> Reads:
    """Show the run until it ends; Ctrl-C asks it to stop, a second one leaves it alone."""
    try:
        return _watch(opened, run_id, quiet)
    except KeyboardInterrupt:
        typer.echo("stopping the run ... (again: leave it)", err=True)
        started.interrupt()
    try:
        return _watch(opened, run_id, quiet=True)
    except KeyboardInterrupt:
        raise typer.Exit(STOPPED) from None


def _watch(opened: Callable[[], Reads], run_id: str, quiet: bool) -> Reads:
    # The import and the opening take long enough to be interrupted themselves.
    from roundsman.cli.progress import watch_run

    reads = opened()
    watch_run(reads, run_id, quiet)
    return reads


def tell(reads: Reads, row: AuditRow, as_json: bool) -> None:
    """Print the run that has ended, as a document or for a person."""
    from roundsman.cli.summary import print_ended, run_document

    files = reads.files(row.run_id)
    if as_json:
        print_json(run_document(row) | {"files": [str(path) for path in files]})
    else:
        print_ended(row, files, reads.settings)
    if row.status not in ("success", "cancelled"):
        complain_of(row, as_json)


def complain_of(row: AuditRow, as_json: bool) -> None:
    """One sentence on stderr for a run that did not end well."""
    if as_json:
        return
    error = row.error or {}
    said = error.get("message") or row.error_message or f"the run {row.status}"
    typer.echo(f"{row.agent_type} {row.status}: {said}", err=True)


def end_with(status: str) -> None:
    """Leave with the exit code of a run's status."""
    code = EXIT_CODES.get(status, FAILED)
    if code:
        raise typer.Exit(code)


def _is_bad(verdict: str | None, fail_on: str | None) -> bool:
    if verdict is None or fail_on is None:
        return False
    return VERDICTS.index(verdict) >= VERDICTS.index(fail_on)


def explain_run(name: str, params: Mapping[str, Any], as_json: bool) -> None:
    """Say what a run would read and about how much of it; the run itself does not happen."""
    from roundsman import catalog
    from roundsman.cli.summary import print_explained

    if remote_url() is None:
        # A wrong name is known here; the engine need not be loaded for it.
        catalog.resolve(name)
    row = finish_operation("explain", {"name": name, "given": dict(params)})
    if as_json:
        print_json(row.artifacts)
    else:
        print_explained(row.artifacts)


def finish_operation(name: str, params: Mapping[str, Any]) -> AuditRow:
    """Run an operation to its end without showing it; raises what it failed of."""
    started = begin(name, params)
    run_id = accepted(started)
    reads = follow_to_end(open_reads, started, run_id, quiet=True)
    row = reads.run(run_id)
    if row.status == "success":
        return row
    error = row.error or {}
    said = str(error.get("message") or row.error_message or f"'{name}' {row.status}")
    if row.status == "cancelled":
        raise Cancelled(said)
    # It failed, and that is its exit code too; a mistake that is seen in time is refused.
    raise RoundsmanError(
        str(error.get("said") or said), error.get("remedy") or f"roundsman show {run_id[:8]}"
    )
