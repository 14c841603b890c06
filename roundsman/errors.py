"""What can go wrong, sorted by what the caller should do about it.

RoundsmanError
├── Unready        try again: unreachable, throttled, timed out
├── Refused        do not try again, note the gap and go on: forbidden, missing
├── Misread        answered in another shape: keep what parses, say so
├── Denied         our own policy said no
│   ├── BudgetSpent    the run's operations or time are used up
│   ├── Cancelled      somebody asked the run to stop
│   └── Fenced         this attempt was declared dead; another one may be working
└── Mistake        the caller's input: exit code 2, or a 4xx
"""

from __future__ import annotations

from typing import ClassVar


class RoundsmanError(Exception):
    """A sentence that says what was attempted and what came back, and a remedy.

    `said` names the thing in quotes; `remedy` is what to do next and may be empty.
    `status` is the answer's HTTP status where there was one. `of_ledger` says that it is our own
    store that failed, without which no run goes on.
    """

    wire_type: ClassVar[str] = "RoundsmanError"

    def __init__(self, said: str, remedy: str = "", *, status: int | None = None) -> None:
        super().__init__(said, remedy)
        self.said = said
        self.remedy = remedy
        self.status = status
        self.of_ledger = False

    def __str__(self) -> str:
        return f"{self.said}; {self.remedy}" if self.remedy else self.said

    @property
    def kind(self) -> str:
        """The class's own name, as ledgers and reports store it."""
        return type(self).__name__


class Unready(RoundsmanError):
    """The system did not answer, or asked to come back later."""

    wire_type = "ProviderError"


class Refused(RoundsmanError):
    """The system answered no, and will say no again."""

    wire_type = "ProviderError"


class Misread(RoundsmanError):
    """The system answered in a shape that cannot be trusted as a number."""

    wire_type = "ProviderError"


class Denied(RoundsmanError):
    """Our own policy forbids it."""

    wire_type = "PolicyError"


class BudgetSpent(Denied):
    """The run's operations or its time are used up, and the budget is enforced."""

    wire_type = "BudgetExceeded"


class Cancelled(Denied):
    """A person asked the run to stop."""

    wire_type = "Cancelled"


class Fenced(Denied):
    """This attempt lost its lease; what it still does must not be written."""

    wire_type = "Fenced"


class Mistake(RoundsmanError):
    """The caller's input is wrong; the sentence names it and the remedy."""

    wire_type = "ValidationError"
