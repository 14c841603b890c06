"""Which of the known names may be meant by one that is not known."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches


def meant(name: str, known: Sequence[str]) -> str:
    """`did you mean 'build'?`, or "" where no known name is like it."""
    close = get_close_matches(name, known, 1)
    return f"did you mean '{close[0]}'?" if close else ""
