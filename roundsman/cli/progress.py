"""What is seen while a run works: its events, followed by their number."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

import typer

from roundsman.cli.present import STYLES

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

    from roundsman.cli.ledger import Memory
    from roundsman.store.records import EventRow

POLL_SECONDS = 0.1
SWEEP_SECONDS = 2.0
LAST_KINDS = frozenset({"run_finished", "run_failed", "run_refused"})

Seen = Callable[["EventRow"], None]


def follow(memory: Memory, run_id: str, after: int = 0) -> Iterator[EventRow]:
    """The run's events as they are written, until its last one; a dead run is closed meanwhile."""
    from roundsman.store.events import read_events
    from roundsman.store.sweep import sweep

    quiet_since = time.monotonic()
    while True:
        events = read_events(memory.ledger, memory.org, after=after, run_id=run_id)
        for event in events:
            after = event.seq
            yield event
            if event.kind in LAST_KINDS:
                return
        if events:
            quiet_since = time.monotonic()
        elif time.monotonic() - quiet_since > SWEEP_SECONDS:
            sweep(memory.ledger)
            quiet_since = time.monotonic()
        time.sleep(POLL_SECONDS)


class Teller:
    """Puts a run's events into words; only a step's first event has its name, so it remembers."""

    def __init__(self) -> None:
        self._names: dict[tuple[int, int], str] = {}
        self._begun: set[tuple[int, str]] = set()

    def words_of(self, event: EventRow) -> str:
        """What an event says, in a line."""
        if event.payload is None:
            return "(erased)"
        say = WORDS.get(event.kind, _rest)
        return say(self.complete(event))

    def complete(self, event: EventRow) -> dict[str, Any]:
        """The event's payload, with the step's name where that is known."""
        payload = event.payload or {}
        if "index" not in payload:
            return payload
        place = (event.attempt, int(payload["index"]))
        if payload.get("name"):
            self._names[place] = str(payload["name"])
        return {"name": self._names.get(place), **payload}

    def print(self, event: EventRow) -> None:
        """One plain line an event, for a log or a pipe."""
        words = self.words_of(event)
        # A step may be called many times: that it began is said once.
        again = event.kind == "step_started" and (event.attempt, words) in self._begun
        self._begun.add((event.attempt, words))
        if event.kind not in QUIET_KINDS and not again:
            kind = event.kind.replace("_", " ")
            typer.echo(f"{event.at:%H:%M:%S}  {kind:<17} {words}")


def _rest(payload: dict[str, Any]) -> str:
    return ", ".join(f"{name}={_brief(value)}" for name, value in payload.items())[:120]


def _brief(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _named(payload: dict[str, Any]) -> str:
    return str(payload.get("name") or payload.get("step") or f"step {payload.get('index', '?')}")


def _finished(payload: dict[str, Any]) -> str:
    return f"{_named(payload)}  {float(payload.get('seconds') or 0):.2f} s"


def _failure(payload: dict[str, Any]) -> str:
    error = payload.get("error")
    if isinstance(error, dict):
        return _said(cast("dict[str, Any]", error))
    return str(error or payload.get("status", ""))


def _said(error: dict[str, Any]) -> str:
    return f"{error.get('type', '')}: {error.get('message') or error.get('said') or ''}".strip(": ")


def _began(payload: dict[str, Any]) -> str:
    asked: dict[str, Any] = payload.get("asked_by") or {}
    steps = len(payload.get("plan") or ())
    dry = "dry run" if payload.get("dry_run") else "live"
    return f"{payload.get('agent_type', '')}, {steps} steps, {dry}, asked by {asked.get('name')}"


WORDS: dict[str, Callable[[dict[str, Any]], str]] = {
    "run_queued": _began,
    "run_started": _began,
    "step_started": _named,
    "step_finished": _finished,
    "step_failed": lambda p: f"{_named(p)}  {_failure(p)}",
    "step_retried": lambda p: f"{_named(p)}  {_failure(p) or p.get('reason', '')}",
    "step_skipped": lambda p: f"{_named(p)}  {_failure(p).removeprefix('Skipped: ')}",
    "gap": lambda p: f"{_named(p)}  {p.get('said', '')}",
    "artifact_written": lambda p: str(p.get("path", "")),
    "artifact_intended": lambda p: str(p.get("path", "")),
    "run_finished": lambda p: f"{p.get('status', '')}  {p.get('verdict') or ''}",
    "run_failed": lambda p: f"{p.get('status', '')}  {_failure(p)}",
    "run_refused": _failure,
}
QUIET_KINDS = frozenset({"artifact_intended", "run_queued"})


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
            self.marks[_named(payload)] = (marks[event.kind], words)
        elif event.kind in ("gap", "step_retried") and _named(payload) in self.marks:
            status = "unknown" if event.kind == "gap" else "running"
            words = self._teller.words_of(event).partition("  ")[2]
            self.marks[_named(payload)] = (status, words)

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


def watch_run(memory: Memory, run_id: str, quiet: bool = False) -> str:
    """Show the run until it ends; returns its status."""
    if quiet or not sys.stdout.isatty():
        return _watch(memory, run_id, None if quiet else Teller().print)
    from rich.live import Live

    steps = StepList()
    with Live(refresh_per_second=8, transient=False) as live:
        return _watch(memory, run_id, lambda event: _redraw(live, steps, event))


def _redraw(live: Live, steps: StepList, event: EventRow) -> None:
    steps.take(event)
    live.update(steps.draw())


def _watch(memory: Memory, run_id: str, show: Seen | None) -> str:
    last: EventRow | None = None
    for event in follow(memory, run_id):
        if show is not None:
            show(event)
        last = event
    if last is None:
        return "queued"
    fallback = {"run_refused": "refused", "run_finished": "success"}.get(last.kind, "failed")
    return str((last.payload or {}).get("status") or fallback)
