"""A round's findings from look to look, lived in memory: as the store keeps them and flows tell."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from roundsman.rules.finding import Change, Finding, FindingRules, Look, Seen
from roundsman.rules.findings import judge_look

NOW = datetime(2026, 11, 21, tzinfo=UTC)
TOLD = FindingRules(channel="ops", owner="data team")


def stale(severity: Any = "high", kind: str = "freshness", subject: str = "emails") -> Seen:
    """A problem as one look sees it."""
    return Seen(kind=kind, subject=subject, severity=severity, said=f"{subject} is {severity}")


class Life:
    """A round's findings from look to look, as the store keeps them and a flow tells them."""

    def __init__(self, **rules: Any) -> None:
        self.rules = TOLD.model_copy(update=rules)
        self.known: dict[str, Finding] = {}
        self.runs = 0
        self.at = NOW

    def look(self, *seen: Seen, hours: float = 1, run: str | None = None, **more: Any) -> Look:
        self.at += timedelta(hours=hours)
        self.runs += run is None
        looked = more.pop("looked", frozenset({"freshness"}))
        return Look(
            agent="warehouse_health",
            round="emails",
            run_id=run or f"run-{self.runs}",
            at=self.at,
            seen=seen,
            looked=looked,
            **more,
        )

    def judge(self, look: Look) -> list[Change]:
        changes = judge_look(list(self.known.values()), look, self.rules)
        self.known |= {change.after.fingerprint: change.after for change in changes}
        return changes

    def see(self, *seen: Seen, **more: Any) -> list[Change]:
        """One run that looks, remembers and tells."""
        return self.tell(self.judge(self.look(*seen, **more)))

    def tell(self, changes: list[Change]) -> list[Change]:
        for change in changes:
            if change.tell:
                finding = self.known[change.after.fingerprint]
                told = {
                    "told_event": change.event,
                    "told_severity": change.after.severity,
                    "told_at": self.at,
                    "untold": None if finding.untold == change.event else finding.untold,
                }
                self.known[finding.fingerprint] = finding.model_copy(update=told)
        return changes

    @property
    def one(self) -> Finding:
        [finding] = self.known.values()
        return finding

    def edit(self, finding: Finding) -> None:
        self.known[finding.fingerprint] = finding


def told(changes: Sequence[Change]) -> list[tuple[str, bool, str | None]]:
    """What became of findings, whether people hear of it, and if not, why."""
    return [(change.change, change.tell, change.why_silent) for change in changes]
