"""How records look on a terminal; Rich is imported only when something is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from roundsman.rules.plain_text import harmless

if TYPE_CHECKING:
    from rich.console import Console

SHORT_ID = 8
# Where nobody looks, a row is one line, which the next program reads.
PIPE_WIDTH = 10_000

STYLES = {
    "success": "green",
    "healthy": "green",
    "running": "cyan",
    "queued": "cyan",
    "degraded": "yellow",
    "unknown": "yellow",
    "skipped": "dim",
    "failed": "red",
    "crashed": "red",
    "timed_out": "red",
    "refused": "red",
    "cancelled": "magenta",
}


def console() -> Console:
    """The console on stdout; wide enough for tables when nobody looks."""
    import sys

    from rich.console import Console

    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return Console(file=sys.stdout, highlight=False, width=width, soft_wrap=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], cut: str = "") -> None:
    """Print rows under column titles, without a frame; words with a meaning get its colour.

    On a terminal what does not fit goes on in the next line; in the column `cut` it ends with an
    ellipsis. Elsewhere nothing is cut.
    """
    from rich.table import Table
    from rich.text import Text

    screen = console()
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        drawn.add_column(column, overflow="fold", no_wrap=column in ("RUN", "STATUS"))
    for row in rows:
        words = [Text(word, STYLES.get(word, "")) for word in map(text, row)]
        for column, word in zip(columns, words, strict=True):
            if column == cut and screen.is_terminal:
                word.no_wrap, word.overflow = True, "ellipsis"
        drawn.add_row(*words)
    with screen.capture() as captured:
        screen.print(drawn)
    for line in captured.get().splitlines():
        typer.echo(line.rstrip())


def text(value: Any) -> str:
    """A cell's words: times to the second in UTC, seconds with one digit, nothing as a dash.

    What others wrote cannot move the cursor, colour the screen or turn the letters round.
    """
    if value is None or value == "":
        return "-"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%SZ}"
    if isinstance(value, float):
        return f"{value:.1f}"
    return harmless(str(value))


def say(words: str, mark: str = "") -> None:
    """Print words that others may have written; only `mark`, before them, may have a colour."""
    typer.echo(f"{mark}{harmless(words)}")


def count(number: int, noun: str) -> str:
    """The number with its noun, in the plural unless it is one."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def styled(words: str) -> str:
    """The word in its colour; plain where stdout is no terminal (Typer strips it)."""
    colours = {"dim": None, "cyan": "cyan", "green": "green", "yellow": "yellow", "red": "red"}
    colour = colours.get(STYLES.get(words, ""))
    return typer.style(words, fg=colour) if colour else words


def field(name: str, value: Any) -> None:
    """Print one `name  value` line; nothing at all for an empty value."""
    if value not in (None, "", [], {}):
        typer.echo(f"{name:<10} {text(value)}")


def near(path: Path) -> str:
    """The path as one would type it from the working folder."""
    import os

    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def short(run_id: str) -> str:
    """As much of an id as a person needs to type."""
    return run_id[:SHORT_ID]
