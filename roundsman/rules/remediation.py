"""Would something have to be done, and why is it not done."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from roundsman.rules.freshness import FreshnessVerdict
from roundsman.rules.parity import ParityVerdict

Need = Literal["parity_bad", "freshness_bad"]
NOT_YET = "acting is not available yet"


class Remediation(BaseModel):
    """The remediation block of the report; `needed_for` says what asks for one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    triggered: bool = False
    reason: Literal["not_needed", "dry_run", "parity_bad", "freshness_bad"]
    needed_for: tuple[Need, ...] = ()
    said: str = ""


def judge_remediation(
    parity: ParityVerdict, freshness: FreshnessVerdict, dry_run: bool
) -> Remediation:
    """A rebuild is asked for by rows that differ and by stale data; nothing is triggered yet."""
    needs: list[Need] = []
    if parity.status in ("degraded", "failed"):
        needs.append("parity_bad")
    if freshness.status == "stale":
        needs.append("freshness_bad")
    if not needs:
        return Remediation(reason="not_needed", said="nothing that was seen asks for a rebuild")
    said = f"a dry run changes nothing, and {NOT_YET}" if dry_run else NOT_YET
    return Remediation(
        reason="dry_run" if dry_run else needs[0], needed_for=tuple(needs), said=said
    )
