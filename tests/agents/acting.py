"""A block whose effects are lines in a file, and an agent that has them done by permits."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from blocks.acting import ActingBlock
from roundsman.agent import AgentParams, Outcome, agent, step
from roundsman.errors import Denied, Misread, Refused, RoundsmanError, Unready
from roundsman.permits import NotSent, Wish, ask_for, effect

TROUBLES: dict[str, type[RoundsmanError]] = {
    "not_sent": NotSent,
    "refused": Refused,
    "unready": Unready,
    "misread": Misread,
}


class Lines(ActingBlock):
    """Appends lines; `trouble` says what the answer to the next one is."""

    NO_UNDO: ClassVar[dict[str, str]] = {"shout": "what was heard was heard"}

    path: Path
    # trouble: before the line is there, or after it.
    trouble: str = ""
    is_late: bool = False

    @effect("once")
    def shout(self, line: str, *, permit: Any) -> dict[str, Any]:
        """Leave a line that cannot be told apart from another."""
        return self._leave(line, permit.key)

    @effect("repeatable")
    def set_line(self, line: str, *, permit: Any) -> dict[str, Any]:
        """Leave the line unless it is there."""
        return self._leave(line, permit.key, once=True)

    @effect("askable")
    def note(self, line: str, *, permit: Any) -> dict[str, Any]:
        """Leave a line that can be found again."""
        return self._leave(line, permit.key)

    @effect("once")
    def undo_note(self, kept: dict[str, Any], *, permit: Any) -> str:
        """Take the file back to what it was."""
        self.path.write_text(kept["text"])
        return "the file is as it was"

    def current_facts(self, names: tuple[str, ...]) -> dict[str, Any]:
        """How many lines there are."""
        return {name: len(self.lines()) for name in names}

    def confirm(self, key: str) -> dict[str, Any] | None:
        """The line that bears the key; one that says "bad" was left, and is none."""
        found = [line for line in self.lines() if line.endswith(key)]
        if found and found[0].startswith("bad"):
            raise Refused(f"'{self.path}' holds a bad line", "mend it")
        return {"line": found[0].split(" ")[0]} if found else None

    def keep_for_undo(self, action: str, payload: dict[str, Any], key: str) -> Any:
        """The text as it is; only notes can be undone."""
        return {"text": "\n".join(self.lines())} if action == "note" else None

    def lines(self) -> list[str]:
        """What is there."""
        return self.path.read_text().splitlines() if self.path.exists() else []

    def _leave(self, line: str, key: str, once: bool = False) -> dict[str, Any]:
        trouble = TROUBLES.get(self.trouble)
        if trouble and not self.is_late:
            raise trouble(f"'{self.path}' said {self.trouble}")
        if not (once and any(found.split(" ")[0] == line for found in self.lines())):
            with self.path.open("a") as file:
                file.write(f"{line} {key}\n")
        if trouble:
            raise trouble(f"'{self.path}' said {self.trouble}, late")
        return {"line": line}


class Params(AgentParams):
    """Which effect is wanted, and what the outside answers."""

    path: str
    verb: Literal["shout", "set_line", "note"] = "note"
    line: str = "hello"
    occasion: int = 0
    trouble: str = ""
    is_late: bool = False
    expected_lines: int | None = None
    context: dict[str, Any] = Field(default={})
    other_line: str | None = Field(default=None, description="Do this one with the permit")


@step
def leave_line(params: Params) -> dict[str, Any]:
    """Ask for the effect, and have it done if that is allowed."""
    block = Lines(path=Path(params.path), trouble=params.trouble, is_late=params.is_late)
    method = getattr(block, params.verb)
    facts = {} if params.expected_lines is None else {"lines": params.expected_lines}
    wish = Wish(
        target=f"lines/{Path(params.path).name}",
        occasion={"n": params.occasion},
        precondition=facts,
        context=params.context,
    )
    permit = ask_for(method, wish, params.line)
    told: dict[str, Any] = {"state": permit.state, "said": permit.said, "key": permit.key}
    if permit.may_act:
        try:
            told["answer"] = method(params.other_line or params.line, permit=permit)
        except (Denied, Refused, Misread) as error:
            told["error"] = str(error)
        told |= {"state": permit.state}
    return told


@agent(plan=("leave_line",))
async def lining(params: Params) -> Outcome:
    """Leave one line, if that is allowed."""
    told = await leave_line(params)
    return Outcome(verdict="healthy", artifacts=told)
