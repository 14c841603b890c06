"""What became of a `dbt build`: done, done in part, not begun, or broken off."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from blocks.transform.child import Finished, meaning
from blocks.transform.contract import BuildFailed
from roundsman.errors import BudgetSpent, Cancelled, Misread, Refused, Unready
from roundsman.permits import NotSent
from roundsman.rules.build import BuildResult

# A project's own flags may not hide what it began, nor leave its results unwritten.
PLAIN = ("--no-quiet", "--log-level", "info", "--write-json")


@contextmanager
def not_begun() -> Generator[None]:
    """What hinders a build before dbt is told to begin leaves the right to it unused."""
    try:
        yield
    except (Unready, BudgetSpent, Cancelled) as error:
        raise NotSent(error.said, error.remedy) from error


def what_became(what: str, done: Finished, built: BuildResult | None) -> BuildResult:
    """The result of a build that ended well; every other end is an error.

    `built` is what its results say, None where it left none.
    """
    said = done.error or "failed without a word"
    if built is None:
        raise _without_results(what, done, said)
    if not built.success:
        raise BuildFailed(what, built)
    if done.code:
        raise Refused(f"{what} built everything, and then failed: {said}", "mend what failed")
    return built


def _without_results(what: str, done: Finished, said: str) -> Exception:
    if done.code < 0 or done.begun:
        return Unready(f"{what} was broken off: {said}", "look at what it built")
    if not done.code:
        return Misread(f"{what} left no results of its own", "look at what it built")
    error = meaning(what, said)
    return NotSent(error.said, error.remedy) if isinstance(error, Unready) else error
