"""What is seen while a run works: its events, followed by their number."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import typer

from roundsman.cli.present import STYLES
from roundsman.cli.wording import Teller, named

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

    from roundsman.cli.ledger import Reads
    from roundsman.store.records import EventRow

POLL_SECONDS = 0.1
REMOTE_POLL_SECONDS = 0.5
SWEEP_SECONDS = 2.0
LAST_KINDS = frozenset({"run_finished", "run_failed", "run_refused"})

Seen = Callable[["EventRow"], None]


def follow(reads: Reads, run_id: str, after: int = 0) -> Iterator[EventRow]:
    """The run's events as they are written, until its last one; a dead run is closed meanwhile."""
    pause = POLL_SECONDS if reads.settings.remote is None else REMOTE_POLL_SECONDS
    quiet_since = time.monotonic()
    while True:
        events = reads.events(run_id, after)
        for event in events:
            after = event.seq
            yield event
            if event.kind in LAST_KINDS:
                return
        if events:
            quiet_since = time.monotonic()
        elif time.monotonic() - quiet_since > SWEEP_SECONDS:
            reads.sweep()
            quiet_since = time.monotonic()
        time.sleep(pause)


QUIET_KINDS = frozenset({"artifact_intended", "run_queued"})


class Lines:
    """Plain lines, for a log or a pipe; a step that is called many times is told in two."""

    def __init__(self) -> None:
        self._teller = Teller()
        self._begun: set[tuple[int, str]] = set()
        self._ended: dict[str, list[float]] = {}

    def take(self, event: EventRow) -> None:
        """Print the event; ends of steps wait until something else happens."""
        words = self._teller.words_of(event)
        if event.kind == "step_finished":
            payload = self._teller.complete(event)
            self._ended.setdefault(named(payload), []).append(float(payload.get("seconds") or 0))
            return
        again = event.kind == "step_started" and (event.attempt, words) in self._begun
        if event.kind == "step_started":
            self._begun.add((event.attempt, words))
        if event.kind in QUIET_KINDS or again:
            return
        for name, seconds in self._ended.items():
            calls = f"{len(seconds)} calls  " if len(seconds) > 1 else ""
            self._print(event, "step finished", f"{name}  {calls}{sum(seconds):.2f} s")
        self._ended.clear()
        self._print(event, event.kind.replace("_", " "), words)

    def _print(self, event: EventRow, kind: str, words: str) -> None:
        typer.echo(f"{event.at:%H:%M:%S}  {kind:<17} {words}")


class StepList:
    """The run's steps, redrawn in place on a terminal as their events come in."""

    def __init__(self) -> None:
        self.marks: dict[str, tuple[str, str]] = {}
        self._teller = Teller()

    def take(self, event: EventRow) -> None:
        """Note what the event says about a step."""
        payload = self._teller.complete(event)
        for name in payload.get("plan") or ():
            self.marks.setdefault(str(name), ("waiting", ""))
        marks = {
            "step_started": "running",
            "step_finished": "success",
            "step_failed": "failed",
            "step_skipped": "skipped",
        }
        if event.kind in marks:
            words = self._teller.words_of(event).partition("  ")[2]
            self.marks[named(payload)] = (marks[event.kind], words)
        elif event.kind in ("gap", "step_retried") and named(payload) in self.marks:
            status = "unknown" if event.kind == "gap" else "running"
            words = self._teller.words_of(event).partition("  ")[2]
            self.marks[named(payload)] = (status, words)

    def draw(self) -> Table:
        """The list as it stands."""
        from rich.table import Table
        from rich.text import Text

        drawn = Table(box=None, show_header=False, pad_edge=False)
        signs = {"waiting": "·", "running": "›", "success": "✓", "skipped": "-", "unknown": "?"}
        for name, (status, words) in self.marks.items():
            style = STYLES.get(status, "dim")
            drawn.add_row(Text(signs.get(status, "✗"), style), name, Text(words, "dim"))
        return drawn


def watch_run(reads: Reads, run_id: str, quiet: bool = False) -> str:
    """Show the run until it ends; returns its status."""
    if quiet or not sys.stdout.isatty():
        return _watch(reads, run_id, None if quiet else Lines().take)
    from rich.live import Live

    steps = StepList()
    with Live(refresh_per_second=8, transient=False) as live:
        return _watch(reads, run_id, lambda event: _redraw(live, steps, event))


def _redraw(live: Live, steps: StepList, event: EventRow) -> None:
    steps.take(event)
    live.update(steps.draw())


def _watch(reads: Reads, run_id: str, show: Seen | None) -> str:
    last: EventRow | None = None
    for event in follow(reads, run_id):
        if show is not None:
            show(event)
        last = event
    if last is None:
        return "queued"
    fallback = {"run_refused": "refused", "run_finished": "success"}.get(last.kind, "failed")
    return str((last.payload or {}).get("status") or fallback)
