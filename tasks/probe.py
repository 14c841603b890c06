"""Asking a configured system what it is and what these credentials may do."""

from __future__ import annotations

from typing import Protocol, cast

from pydantic import BaseModel, ConfigDict

from blocks.systems import Role, load_system
from roundsman.agent import step
from roundsman.errors import RoundsmanError
from roundsman.rules.windows import Probe


class _Probed(Protocol):
    # What every block of ours has beside Prefect's own methods.
    def probe(self) -> Probe: ...


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


def _is_open(block: object) -> bool:
    return bool(getattr(block, "twin", False) or getattr(block, "sandbox", False))


@step
def probe_system(role: Role, name: str, kind: str) -> Answer:
    """Ask one system once; that it does not answer is an answer, not an error."""
    try:
        block = cast(_Probed, load_system(role, name))
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
        # Building models is what a transform is for.
        may_write=role == "transform" or _is_open(block),
        notes=probe.notes,
        said="" if probe.reachable else "; ".join(probe.notes) or "does not answer",
    )
