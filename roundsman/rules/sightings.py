"""Which problems a round of the platform saw, one for each thing, and what it was able to judge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict

from roundsman.rules.finding import Seen
from roundsman.rules.health import Findings, Issue, SideFindings, summarize_health
from roundsman.rules.parity import STATUS_OF
from roundsman.rules.pulse import NodeResult, PulseReading, PulseVerdict
from roundsman.rules.reasons import Reason
from roundsman.rules.windows import Side

# dbt nodes and sources that get a finding of their own; another one stands for the rest.
DBT_FINDINGS_MAX = 100
KEY_KINDS = ("rows_without_key", "unexplained", "cut")
# Both sides are asked first, so a round without such a gap did not meet it.
QUERY_STEPS: dict[Side, str] = {"search": "query_es_daily", "warehouse": "query_bq_daily"}
UNJUDGED = frozenset({"skipped"})


class Subjects(BaseModel):
    """How the things are called that a round is about; `transform` is None without dbt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    search: str
    warehouse: str
    transform: str | None = None

    @property
    def data(self) -> str:
        """The name of what is compared."""
        return f"{self.search} vs {self.warehouse}"

    def of(self, side: Side) -> str:
        """The name of one side's data."""
        return self.search if side == "search" else self.warehouse


def findings_of(
    found: Findings, subjects: Subjects, pulse: PulseReading | None = None
) -> tuple[tuple[Seen, ...], frozenset[str]]:
    """The problems of a round, and what it was able to judge, as a `Look` takes them.

    A check that came to no answer is a problem of its own kind (`parity_unknown`), so that it
    neither eases nor ends what is known. Without `pulse`, what dbt left behind, no finding about a
    node or a source can be found gone, for only there it says which of them were run.
    """
    seen = (
        *_seen_gaps(found),
        *_seen_as_whole(found, subjects),
        *_seen_sides(found, subjects),
        *_seen_dbt(found.dbt, subjects.transform or ""),
    )
    looked = (
        *_looked_gaps(found),
        *_looked_checks(found),
        *_looked_sides(found, subjects),
        *_looked_dbt(found.dbt, pulse),
    )
    return seen, frozenset(looked)


def _seen(kind: str, subject: str, issue: Issue) -> Seen:
    return Seen(
        kind=kind,
        subject=subject,
        severity=issue.severity,
        said=issue.message,
        reasons=issue.reasons,
    )


def _issues(found: Findings, only: dict[str, Any], kind: str = "") -> Iterator[Issue]:
    """The issues that the round would have with only these parts of what was found."""
    nothing = {"gaps": (), "sides": (), "dbt": None}
    for issue in summarize_health(found.model_copy(update=nothing | only)).issues:
        if kind in ("", issue.type):
            yield issue


def _seen_gaps(found: Findings) -> Iterator[Seen]:
    for gap in found.gaps:
        for issue in _issues(found, {"gaps": (gap,)}, "gap"):
            yield _seen("gap", gap.step, issue)


def _seen_as_whole(found: Findings, subjects: Subjects) -> Iterator[Seen]:
    status: dict[str, str] = {"parity": found.parity.status, "freshness": found.freshness.status}
    for issue in _issues(found, {}):
        unknown = "_unknown" if status.get(issue.type) == "unknown" else ""
        yield _seen(f"{issue.type}{unknown}", subjects.data, issue)


def _side_kinds(side: SideFindings) -> dict[str, int | bool | None]:
    """What one side may have, each None where it could not be told."""
    return {
        "rows_without_time": side.without_time,
        "duplicate_keys": side.duplicate_keys,
        "rows_in_future": side.in_future,
    }


def _seen_sides(found: Findings, subjects: Subjects) -> Iterator[Seen]:
    for side in found.sides:
        for kind in _side_kinds(side):
            for issue in _issues(found, {"sides": (side,)}, kind):
                yield _seen(kind, subjects.of(side.side), issue)


def _seen_dbt(dbt: PulseVerdict | None, transform: str) -> Iterator[Seen]:
    if dbt is None:
        return
    old = tuple(reason for reason in dbt.reasons if reason.signal == "dbt_run_old")
    if old:
        yield _dbt("dbt", transform, old[0].quote, old)
    if dbt.status == "unknown" and dbt.read:
        said = dbt.notes[0] if dbt.notes else "there are no results of a run"
        yield _dbt("dbt_unknown", transform, f"dbt unknown: {said}", ())
    yield from _bounded(transform, "dbt_nodes_more", map(_seen_node, dbt.failed))
    yield from _bounded(transform, "dbt_sources_more", _seen_sources(dbt))


def _dbt(kind: str, subject: str, said: str, reasons: tuple[Reason, ...]) -> Seen:
    return Seen(kind=kind, subject=subject, severity="medium", said=said, reasons=reasons)


def _seen_node(node: NodeResult) -> Seen:
    said = f": {node.message}" if node.message else ""
    quote = f"dbt {node.kind} '{node.name}' ended as {node.status}{said}"
    reason = Reason(signal=f"dbt_{node.kind}_failed", value=node.name, quote=quote)
    return _dbt("dbt_node", node.name, quote, (reason,))


def _seen_sources(dbt: PulseVerdict) -> Iterator[Seen]:
    for source in dbt.stale_sources:
        hours = None if source.age_seconds is None else round(source.age_seconds / 3600, 1)
        told = source.message or ("no rows" if hours is None else f"newest row {hours} hours old")
        quote = f"dbt source '{source.name}' is stale: {told}"
        reason = Reason(signal="dbt_source_stale", value=hours, quote=quote)
        yield _dbt("dbt_source", source.name, quote, (reason,))
    for source in dbt.late_sources:
        said = f"dbt source '{source.name}' is late by its own warning limit"
        yield Seen(kind="dbt_source", subject=source.name, severity="low", said=said)


def _bounded(subject: str, kind: str, seen: Iterable[Seen]) -> Iterator[Seen]:
    items = list(seen)
    yield from items[:DBT_FINDINGS_MAX]
    more = len(items) - DBT_FINDINGS_MAX
    if more > 0:
        yield _dbt(kind, subject, f"{more:,} more have such trouble", ())


def _looked_gaps(found: Findings) -> Iterator[str]:
    steps = {gap.step for gap in found.gaps}
    if not steps:
        yield "gap"
    for step in QUERY_STEPS.values():
        if step not in steps:
            yield f"gap:{step}"


def _looked_checks(found: Findings) -> Iterator[str]:
    parity, freshness = found.parity, found.freshness
    signals = {reason.signal for reason in parity.reasons}
    is_read = "side_unread" not in signals
    # A bad parity may hide that part of the look came to no answer.
    is_hidden = any(STATUS_OF.get(signal) == "unknown" for signal in signals)
    if is_read:
        yield "volume"
    if is_read and (parity.status == "unknown" or not is_hidden):
        yield "parity_unknown"
    if parity.status != "unknown":
        yield "parity"
    sides_known = all(side.status != "unknown" for side in freshness.sides)
    if all(side.read for side in freshness.sides) and (
        freshness.status == "unknown" or sides_known
    ):
        yield "freshness_unknown"
    if freshness.status != "unknown":
        yield "freshness"
    if found.keys is not None and "look_incomplete" not in signals:
        yield from KEY_KINDS
        # Where parity is bad the keys are its evidence, not a problem of their own.
        if parity.status in ("ok", "unknown"):
            yield "differing_keys"
    if found.sides and all(side.without_time is not None for side in found.sides):
        yield "schema"


def _looked_sides(found: Findings, subjects: Subjects) -> Iterator[str]:
    read = {side.side for side in found.freshness.sides if side.read}
    for side in found.sides:
        for kind, value in _side_kinds(side).items():
            if value is not None and (kind != "rows_in_future" or side.side in read):
                yield f"{kind}:{subjects.of(side.side)}"


def _looked_dbt(dbt: PulseVerdict | None, pulse: PulseReading | None) -> Iterator[str]:
    if dbt is None or not dbt.read:
        return
    if dbt.ran_at is not None:
        yield "dbt"
    if dbt.ran_at is not None or dbt.status == "unknown":
        yield "dbt_unknown"
    if pulse is None:
        return
    failed = {node.name for node in dbt.failed}
    late = {source.name for source in (*dbt.stale_sources, *dbt.late_sources)}
    nodes = {node.name for node in pulse.nodes if node.status not in UNJUDGED}
    sources = {source.name for source in pulse.sources or ()}
    # Those that a limit cut off are as bad as the others.
    yield from (f"dbt_node:{name}" for name in nodes - failed)
    yield from (f"dbt_source:{name}" for name in sources - late)
    yield from ("dbt_nodes_more", "dbt_sources_more")
