"""Is the platform healthy: what the three checks and all findings come to, issue by issue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict

from roundsman.rules.freshness import FreshnessVerdict
from roundsman.rules.keys import KINDS, KeyDifferences, KeyKind
from roundsman.rules.parity import ParityVerdict
from roundsman.rules.pulse import PulseVerdict
from roundsman.rules.reasons import Reason
from roundsman.rules.recovery import Gap
from roundsman.rules.schema import FieldDrift
from roundsman.rules.volume import UnusualDay
from roundsman.rules.windows import Side

Verdict = Literal["healthy", "degraded", "failed", "unknown"]
Severity = Literal["high", "medium", "low", "info"]
SEVERITIES: tuple[Severity, ...] = ("high", "medium", "low", "info")
PASSED, BAD = {"ok"}, {"degraded", "failed", "stale"}
# Keys that one reason quotes; the report lists them all.
KEYS_QUOTED_MAX = 5
KEYS_SAID: dict[KeyKind, str] = {
    "missing": "missing in the warehouse",
    "extra": "in the warehouse only",
    "changed": "different on both sides",
    "duplicate": "there more than once",
}


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Issue(_Record):
    """One thing that somebody should know, with its evidence."""

    type: str
    severity: Severity
    message: str
    reasons: tuple[Reason, ...] = ()


class SideFindings(_Record):
    """What was found on one side by itself; None where it could not be told."""

    side: Side
    without_time: int | None = None
    duplicate_keys: int | None = None
    in_future: bool = False


class Findings(_Record):
    """Everything that a round of the platform found; `dbt` is None when no project is named."""

    parity: ParityVerdict
    freshness: FreshnessVerdict
    dbt: PulseVerdict | None
    keys: KeyDifferences | None = None
    sides: tuple[SideFindings, ...] = ()
    unusual_days: tuple[UnusualDay, ...] = ()
    drifts: tuple[FieldDrift, ...] = ()
    gaps: tuple[Gap, ...] = ()


class Summary(_Record):
    """The summary block of the report; `status` is the run's verdict."""

    status: Verdict
    checks_passed: int
    total_checks: int
    issues: tuple[Issue, ...]


def summarize_health(found: Findings) -> Summary:
    """healthy when every check passed, unknown when nothing is bad but something was not seen.

    A side that could not be read makes the whole unknown, whatever the rest says. Otherwise bad
    checks make it degraded, or failed when none passed. Findings beside the checks only inform,
    but a look that failed may have missed something: it is never healthy.
    """
    checks = [found.parity.status, found.freshness.status]
    checks += [found.dbt.status] if found.dbt else []
    passed = sum(status in PASSED for status in checks)
    verdict: Verdict = "healthy" if passed == len(checks) and not found.gaps else "unknown"
    if not _is_unread(found.parity) and BAD.intersection(checks):
        verdict = "degraded" if passed else "failed"
    issues = sorted(_issues(found), key=lambda issue: SEVERITIES.index(issue.severity))
    return Summary(
        status=verdict, checks_passed=passed, total_checks=len(checks), issues=tuple(issues)
    )


def _is_unread(parity: ParityVerdict) -> bool:
    return any(reason.signal == "side_unread" for reason in parity.reasons)


def _issues(found: Findings) -> Iterator[Issue]:
    yield from (_gap_issue(gap) for gap in found.gaps)
    yield from _parity_issues(found)
    yield from _freshness_issues(found.freshness)
    yield from _dbt_issues(found.dbt)
    yield from _key_issues(found)
    for side in found.sides:
        yield from _side_issues(side)
    yield from _informational("volume", "an unusual number of rows", _reasons(found.unusual_days))
    yield from _informational("schema", "the two sides differ in fields", _reasons(found.drifts))


def _reasons(items: Iterable[UnusualDay | FieldDrift]) -> tuple[Reason, ...]:
    return tuple(item.reason for item in items)


def _gap_issue(gap: Gap) -> Issue:
    said = f"{gap.said}; {gap.remedy}" if gap.remedy else gap.said
    severity: Severity = "high" if gap.step.startswith("query_") else "medium"
    reason = Reason(signal="gap", value=gap.error_type, quote=gap.said)
    return Issue(
        type="gap", severity=severity, message=f"not seen ({gap.step}): {said}", reasons=(reason,)
    )


def _parity_issues(found: Findings) -> Iterator[Issue]:
    parity = found.parity
    # An unread side is told by its gap.
    if parity.status == "ok" or _is_unread(parity):
        return
    severity: Severity = "medium" if parity.status == "unknown" else "high"
    message = f"parity {parity.status}: {parity.reasons[0].quote}"
    if parity.bad_days:
        dates = ", ".join(str(day.date) for day in parity.bad_days)
        message = f"search and warehouse differ by {parity.difference_percent} %; bad: {dates}"
    reasons = (*parity.reasons, *_key_reasons(found.keys))
    yield Issue(type="parity", severity=severity, message=message, reasons=reasons)


def _freshness_issues(freshness: FreshnessVerdict) -> Iterator[Issue]:
    unread = {side.side for side in freshness.sides if not side.read}
    if freshness.status == "ok" or (freshness.status == "unknown" and unread):
        return
    severity: Severity = "high" if freshness.status == "stale" else "medium"
    message = f"freshness {freshness.status}: {freshness.reasons[0].quote}"
    yield Issue(type="freshness", severity=severity, message=message, reasons=freshness.reasons)


def _dbt_issues(dbt: PulseVerdict | None) -> Iterator[Issue]:
    if dbt is None:
        return
    if dbt.status == "degraded":
        message = f"dbt degraded: {dbt.reasons[0].quote}"
        yield Issue(type="dbt", severity="medium", message=message, reasons=dbt.reasons)
    # A project that could not be read is told by its gap.
    if dbt.status == "unknown" and dbt.read:
        said = dbt.notes[0] if dbt.notes else "there are no results of a run"
        yield Issue(type="dbt", severity="medium", message=f"dbt unknown: {said}")
    for source in dbt.late_sources:
        message = f"dbt source '{source.name}' is late by its own warning limit"
        yield Issue(type="dbt", severity="low", message=message)


def _key_issues(found: Findings) -> Iterator[Issue]:
    keys = found.keys
    if keys is None:
        return
    differing = keys.total - keys.found["duplicate"]
    if differing and found.parity.status in ("ok", "unknown"):
        message = f"{differing:,} rows differ, within what is tolerated"
        reasons = tuple(_key_reasons(keys))
        yield Issue(type="differing_keys", severity="low", message=message, reasons=reasons)
    if keys.rows_without_key:
        message = f"{keys.rows_without_key:,} of the rows that were listed have no key"
        yield Issue(type="rows_without_key", severity="medium", message=message)
    if keys.buckets_unexplained:
        message = (
            f"{keys.buckets_unexplained:,} buckets differ, but none of the keys listed there does"
        )
        yield Issue(type="unexplained", severity="medium", message=message)
    if keys.cut or keys.buckets_left_out or keys.total > len(keys.listed):
        message = f"{len(keys.listed):,} differing keys are named; a limit cut off the others"
        yield Issue(type="cut", severity="low", message=message)


def _key_reasons(keys: KeyDifferences | None) -> Iterator[Reason]:
    if keys is None:
        return
    for kind in KINDS:
        number, named = keys.found[kind], keys.of(kind)
        if number:
            first = ", ".join(item.key for item in named[:KEYS_QUOTED_MAX])
            more = " ..." if number > KEYS_QUOTED_MAX else ""
            quote = f"{number:,} {KEYS_SAID[kind]}: {first}{more}"
            yield Reason(signal=f"keys_{kind}", value=number, quote=quote)


def _side_issues(side: SideFindings) -> Iterator[Issue]:
    if side.without_time:
        message = (
            f"{side.without_time:,} rows of the {side.side} have no time: no window holds them"
        )
        yield Issue(type="rows_without_time", severity="medium", message=message)
    if side.duplicate_keys:
        message = f"{side.duplicate_keys:,} rows of the {side.side} repeat a key"
        yield Issue(type="duplicate_keys", severity="medium", message=message)
    if side.in_future:
        message = f"the {side.side} has rows dated in the future; they were left out"
        yield Issue(type="rows_in_future", severity="medium", message=message)


def _informational(kind: str, what: str, reasons: tuple[Reason, ...]) -> Iterator[Issue]:
    if reasons:
        message = f"{what}: {reasons[0].quote}"
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        yield Issue(type=kind, severity="info", message=message + more, reasons=reasons)
