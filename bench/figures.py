"""What a bench program measured, how it is printed, and whether it is what was asked for."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Literal, NamedTuple


class Figure(NamedTuple):
    """One measured number.

    `floor` is what the machine needs for the same without us; `goal` None only tells.
    """

    figure: str
    value: float
    unit: str
    floor: float | None = None
    goal: float | None = None
    better: Literal["lower", "higher"] = "lower"

    @property
    def ratio(self) -> float | None:
        """The value in floors."""
        return self.value / self.floor if self.floor else None

    @property
    def holds(self) -> bool:
        """Whether the goal is met."""
        if self.goal is None:
            return True
        return self.value <= self.goal if self.better == "lower" else self.value >= self.goal

    def as_json(self) -> str:
        """Return the contract's one line."""
        fields = ("figure", "value", "unit", "floor", "ratio", "goal", "holds")
        return json.dumps({name: getattr(self, name) for name in fields})

    def as_text(self) -> str:
        """Return the same for a reader."""
        text = f"{self.figure} {_short(self.value)} {self.unit}"
        if self.floor:
            text += f", floor {_short(self.floor)}, ratio {_short(self.ratio or 0)}"
        if self.goal is not None:
            sign = "at most" if self.better == "lower" else "at least"
            text += f", goal {sign} {_short(self.goal)}: {'holds' if self.holds else 'MISSED'}"
        return text


def _short(value: float) -> str:
    return f"{value:.4g}"


class Emitter:
    """Prints each figure as soon as it is known, and remembers whether one fell short.

    `sizes` is how much the program shall measure.
    """

    def __init__(self, as_json: bool, sizes: dict[str, int]) -> None:
        self.as_json = as_json
        self.sizes = sizes
        self.missed = 0

    def emit(self, figure: Figure) -> None:
        """Print one figure."""
        self.missed += not figure.holds
        print(figure.as_json() if self.as_json else figure.as_text(), flush=True)

    def exit_code(self) -> int:
        """Return 1 where a figure fell short."""
        return 1 if self.missed else 0


def emitter(description: str, **sizes: int) -> Emitter:
    """Read the command line and return what prints the figures.

    Each of `sizes` is an option with this default: goals are meant for the default, less of it
    shows in seconds that the program still runs.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    for name, default in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default {default}")
    given = parser.parse_args()
    return Emitter(given.json, {name: getattr(given, name) for name in sizes})


def tell(line: str) -> None:
    """Say on standard error what is being done."""
    print(line, file=sys.stderr, flush=True)
