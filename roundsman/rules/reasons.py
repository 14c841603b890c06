"""Why a verdict is what it is: the signal, its value, the threshold it met, and a quotable line."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Reason(BaseModel):
    """One piece of evidence; reports, API and pages only print it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    signal: str
    value: int | float | str | None
    threshold: int | float | str | None = None
    quote: str
