"""Asking a configured system what it is and what these credentials may do."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from blocks.systems import Role, load_system
from roundsman.agent import step
from roundsman.errors import RoundsmanError


class Answer(BaseModel):
    """What a system answered, or why it did not."""

    model_config = ConfigDict(frozen=True)

    role: Role
    name: str
    kind: str
    reachable: bool
    version: str = ""
    can_write: bool | None = None
    may_write: bool = False
    notes: tuple[str, ...] = ()
    said: str = ""
    remedy: str = ""


@step
def probe_system(role: Role, name: str, kind: str) -> Answer:
    """Ask one system once; that it does not answer is an answer, not an error."""
    try:
        block = load_system(role, name)
        probe = block.probe()
    except RoundsmanError as error:
        return Answer(
            role=role,
            name=name,
            kind=kind,
            reachable=False,
            said=error.said,
            remedy=error.remedy,
        )
    return Answer(
        role=role,
        name=name,
        kind=kind,
        reachable=probe.reachable,
        version=probe.version,
        can_write=probe.can_write,
        may_write=bool(getattr(block, "twin", False) or getattr(block, "sandbox", False)),
        notes=probe.notes,
        said="" if probe.reachable else "; ".join(probe.notes) or "does not answer",
    )
