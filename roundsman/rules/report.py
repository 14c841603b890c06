"""What a person reads of a round of the platform: verdict first, then why, then the rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from roundsman.rules.health import Findings, Issue, Summary
from roundsman.rules.help import Outcome
from roundsman.rules.keys import KINDS, KeyDifference, KeyDifferences, KeyKind
from roundsman.rules.narrowing import Difference
from roundsman.rules.parity import DayParity, Strength
from roundsman.rules.remediation import Remediation
from roundsman.rules.windows import Estimate, Level, Window

# Rows of a table that are printed; the JSON beside the report holds all.
BUCKETS_PRINTED_MAX = 50
TITLES: dict[KeyKind, str] = {
    "missing": "Missing in the warehouse",
    "extra": "In the warehouse only",
    "changed": "Different on both sides",
    "duplicate": "There more than once",
}
STRENGTHS: dict[Strength, str] = {
    "count": "rows are counted; differences that balance out within an hour are not seen",
    "keys": "every key of the window is compared; changed rows are seen where times differ",
    "fingerprint": "sums of fingerprints are compared; changed rows are seen too, unless they "
    "cancel out, so that both count and sum of a bucket agree",
}
HELP: dict[Outcome, str] = {
    "helped": "helped",
    "partly": "helped in part",
    "not": "did not help",
    "unknown": "could not be judged",
}
NO_ANSWER = "–"  # an en dash: a table cell without a number


class Report(BaseModel):
    """Everything that the report says, as data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str
    objective: str
    made_at: datetime
    systems: dict[str, str]
    window: Window
    strength: Strength
    level: Level = "day"
    buckets: tuple[Difference, ...] = ()
    estimate: Estimate | None = None
    found: Findings
    remediation: Remediation
    summary: Summary

    def artifacts(self) -> dict[str, Any]:
        """The run's artifacts: the blocks of A-040 to A-044, and what was found beside them."""
        found = self.found
        told: dict[str, Any] = {
            "parity": found.parity.model_dump(mode="json") | self._comparison(),
            "freshness": found.freshness.model_dump(mode="json"),
            "dbt": found.dbt.model_dump(mode="json") if found.dbt else None,
            "remediation": self.remediation.model_dump(mode="json"),
            "summary": self.summary.model_dump(mode="json"),
            "sides": [side.model_dump(mode="json") for side in found.sides],
            "systems": self.systems,
        }
        return told

    def _comparison(self) -> dict[str, Any]:
        keys = self.found.keys
        return {
            "strength": self.strength,
            "window": self.window.model_dump(mode="json"),
            "level": self.level,
            "buckets": [_bucket_json(bucket) for bucket in self.buckets],
            "keys": _keys_json(keys) if keys else None,
            "estimate": self.estimate._asdict() if self.estimate else None,
        }


def render_markdown(report: Report) -> str:
    """The whole report; headings, tables and lists only, so that any viewer shows it."""
    parts = [
        _head(report),
        _issues(report.summary.issues),
        _checks(report),
        _remediation(report.remediation),
        _days(report),
        _buckets(report),
        _keys(report.found.keys),
        _foot(report),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(report: Report) -> str:
    summary = report.summary
    passed = f"{summary.checks_passed} of {summary.total_checks} checks passed"
    window = report.window
    settled = f"settled {window.settle_minutes} minutes before the newest of {window.ends_by}"
    if window.ends_by == "now":
        settled = f"settled {window.settle_minutes} minutes before now"
    return "\n".join(
        [
            f"# warehouse_health: {summary.status}",
            "",
            f"**{passed}.** {report.objective}".rstrip(),
            "",
            f"- Window: {_clock(window.start)} to {_clock(window.end)} ({settled}), "
            f"days of {window.zone}",
            f"- Strength `{report.strength}`: {STRENGTHS[report.strength]}",
            *_unsought(report),
            *(f"- {role.capitalize()}: {name}" for role, name in report.systems.items()),
            f"- Run `{report.run_id}`, {_clock(report.made_at)}",
        ]
    )


def _unsought(report: Report) -> Iterator[str]:
    sides = [side.side for side in report.found.sides if side.duplicate_keys is None]
    if sides:
        where = " and ".join(f"the {side}" for side in sides)
        yield (
            f"- Duplicate keys: not looked for in {where} as a whole, only among rows that were "
            "listed"
        )


def _issues(issues: Sequence[Issue]) -> str:
    if not issues:
        return "## Issues\n\nNone."
    lines = ["## Issues", ""]
    for issue in issues:
        lines.append(f"- **{issue.severity}** `{issue.type}`: {_cell(issue.message)}")
        told = [reason.quote for reason in issue.reasons if reason.quote not in issue.message]
        lines += [f"  - {_cell(quote)}" for quote in told]
    return "\n".join(lines)


def _checks(report: Report) -> str:
    parity, freshness, dbt = report.found.parity, report.found.freshness, report.found.dbt
    minutes = "" if freshness.age_minutes is None else f"{freshness.age_minutes} minutes old, "
    rows = [
        ("parity", parity.status, f"{_percent(parity.difference_percent)} apart"),
        ("freshness", freshness.status, f"{minutes}{freshness.slo_minutes} allowed"),
        ("dbt", dbt.status, f"{dbt.models_run} models, {dbt.tests_run} tests")
        if dbt
        else ("dbt", NO_ANSWER, "no project is named"),
        ("remediation", report.remediation.reason, report.remediation.said),
    ]
    return "## Checks\n\n" + _table(("check", "status", "seen"), rows)


def _remediation(told: Remediation) -> str:
    """What was done, or why not; nothing where nothing asked for it."""
    if told.reason == "not_needed":
        return ""
    lines = [f"**{'triggered' if told.triggered else told.reason}**: {told.said}", ""]
    lines += [f"- {reason.quote}" for reason in told.reasons]
    if told.blast_radius:
        reach = told.blast_radius
        downstream = f", {len(reach.downstream)} downstream" if reach.downstream else ""
        lines.append(f"- it reaches {', '.join(reach.selected)}{downstream}")
    if told.build:
        lines.append(f"- {told.build.said} in {told.build.duration_sec:g} s")
    if told.help:
        lines.append(f"- looked at again, it **{HELP[told.help.outcome]}**")
        lines += [f"  - {reason.quote}" for reason in told.help.reasons]
    return "## Remediation\n\n" + "\n".join(lines)


def _days(report: Report) -> str:
    parity = report.found.parity
    rows = [_day_row(day) for day in parity.daily_breakdown]
    total = (parity.es_count, parity.bq_count, parity.difference)
    rows.append(("**total**", *map(_number, total), _percent(parity.difference_percent), ""))
    heads = ("day", "search", "warehouse", "difference", "%", "")
    return "## Days\n\n" + _table(heads, rows)


def _day_row(day: DayParity) -> tuple[str, ...]:
    name = str(day.date) if day.whole else f"{day.date} (part)"
    mark = "**bad**" if day.status == "bad" else ""
    counts = (day.es_count, day.bq_count, day.difference)
    return (name, *map(_number, counts), _percent(day.difference_percent), mark)


def _buckets(report: Report) -> str:
    if not report.buckets:
        return ""
    shown = report.buckets[:BUCKETS_PRINTED_MAX]
    rows = [(_clock(b.start), f"{b.search:,}", f"{b.warehouse:,}") for b in shown]
    more = len(report.buckets) - len(shown)
    title = f"## Differing {report.level}s ({len(report.buckets):,})"
    table = _table((report.level, "search", "warehouse"), rows)
    return f"{title}\n\n{table}" + (f"\n\n{more:,} more are in the JSON." if more else "")


def _keys(keys: KeyDifferences | None) -> str:
    if keys is None or not keys.total:
        return ""
    parts = [f"## Rows that differ ({keys.total:,})"]
    for kind in KINDS:
        if keys.found[kind]:
            parts.append(_kind(TITLES[kind], keys.found[kind], keys.of(kind)))
    return "\n\n".join(parts)


def _kind(title: str, number: int, named: Sequence[KeyDifference]) -> str:
    cut = f", {len(named):,} named" if number > len(named) else ""
    lines = (f"- `{_code(item.key)}` {_clock(item.at)} {item.detail}".rstrip() for item in named)
    return f"### {title} ({number:,}{cut})\n\n" + "\n".join(lines)


def _foot(report: Report) -> str:
    estimate = report.estimate
    if estimate is None:
        return ""
    size = "" if estimate.bytes is None else f", {estimate.bytes:,} bytes"
    rows = NO_ANSWER if estimate.rows is None else f"{estimate.rows:,}"
    return f"Listing the window was estimated at {rows} rows{size} before it was read."


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(_cell(cell) for cell in cells) + " |"

    return "\n".join([line(heads), "|" + " --- |" * len(heads), *map(line, rows)])


def _cell(text: str) -> str:
    """One line in which a stranger's text (keys, error messages) is no markup."""
    line = " ".join(text.split()).replace("<", "&lt;").replace("`", "'")
    return line.replace("[", "\\[").replace("|", "\\|")


def _code(text: str) -> str:
    return " ".join(text.split()).replace("`", "'")


def _number(value: int | None) -> str:
    return NO_ANSWER if value is None else f"{value:,}"


def _percent(value: float | None) -> str:
    return NO_ANSWER if value is None else f"{value:.2f} %"


def _clock(at: datetime) -> str:
    return at.isoformat(sep=" ", timespec="seconds").replace("+00:00", "Z")


def _bucket_json(bucket: Difference) -> dict[str, Any]:
    return {
        "start": bucket.start.isoformat().replace("+00:00", "Z"),
        "es_count": bucket.search,
        "bq_count": bucket.warehouse,
        "balanced": bucket.balanced,
    }


def _keys_json(keys: KeyDifferences) -> dict[str, Any]:
    def named() -> Iterator[tuple[str, list[dict[str, Any]]]]:
        for kind in KINDS:
            items = keys.of(kind)
            yield kind, [item.model_dump(mode="json", exclude={"kind"}) for item in items]

    limits = keys.model_dump(mode="json", exclude={"listed"})
    return dict(named()) | limits
