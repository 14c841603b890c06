"""What is printed when a run has ended: the verdict with its reasons, and where to look next."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

from roundsman.cli.complaint import hint
from roundsman.cli.present import field, near, say, short, styled, table, text

if TYPE_CHECKING:
    from roundsman.settings import Settings
    from roundsman.store.records import AuditRow, StepRow

ISSUES_MAX = 20
FACTS_MAX = 20
FACT_LETTERS_MAX = 200
SHOWN = (
    "run_id",
    "agent_type",
    "round",
    "status",
    "verdict",
    "dry_run",
    "started_at",
    "completed_at",
    "duration_seconds",
    "artifacts",
    "error",
)


def run_document(row: AuditRow) -> dict[str, Any]:
    """What `--json` prints of a run: the API's words, and the ledger's."""
    told = row.model_dump(mode="json")
    return {name: told[name] for name in SHOWN} | {
        "ops_count": row.ops_count,
        "duration_ms": round((row.duration_seconds or 0) * 1000),
        "budget_status": _mapping(row.budget.get("status")),
    }


def print_run(row: AuditRow, steps: list[StepRow], files: list[Path]) -> None:
    """Everything a person wants to know of one run."""
    verdict = f"  {styled(row.verdict)}" if row.verdict else ""
    typer.echo(f"{styled(row.status)}{verdict}  {row.round or row.agent_type}  {row.run_id}")
    field("objective", row.objective)
    field("asked by", _who(row))
    field("began", row.started_at or row.queued_at)
    field("ended", row.completed_at)
    field("seconds", row.duration_seconds)
    field("attempt", row.attempt if row.attempt > 1 else None)
    field("dry run", "yes: nothing outside was changed" if row.dry_run else "no")
    field("operations", _operations(row))
    field("retry of", row.retry_of)
    _print_error(row)
    _print_steps(steps)
    print_findings(row, files)


def print_findings(row: AuditRow, files: list[Path]) -> None:
    """Verdict's checks, issues with their reasons, gaps and files."""
    found = row.artifacts
    summary = _mapping(found.get("summary"))
    if "checks_passed" in summary:
        passed, total = summary["checks_passed"], summary.get("total_checks", "?")
        typer.echo(f"\nChecks     {passed} of {total} passed")
    _print_facts(found)
    _print_issues(_list(summary.get("issues")))
    _print_acts(found)
    gaps = [_mapping(gap) for gap in _list(found.get("gaps"))]
    if gaps:
        typer.echo("\nNot seen")
    for gap in gaps:
        say(f"  {gap.get('step')}: {gap.get('said')}")
        if gap.get("remedy"):
            say(f"    {gap['remedy']}")
    if files:
        typer.echo("\nFiles")
    for path in files:
        typer.echo(f"  {near(path)}")


def _print_facts(found: Mapping[str, Any]) -> None:
    """The small results that an agent gave back; what is larger stands in its files."""
    small = {
        name: words
        for name, value in found.items()
        if isinstance(value, str | int | float) and len(words := str(value)) <= FACT_LETTERS_MAX
    }
    if small:
        typer.echo("\nResults")
    for name, words in list(small.items())[:FACTS_MAX]:
        say(f"  {name}: {words}")
    if len(small) > FACTS_MAX:
        typer.echo(f"  and {len(small) - FACTS_MAX} more, in --json")


def _print_acts(found: Mapping[str, Any]) -> None:
    """What was done outside, or why not; and what waits for a person."""
    remediation = _mapping(found.get("remediation"))
    if remediation:
        word = "triggered" if remediation.get("triggered") else str(remediation.get("reason", ""))
        say(f"\nRemediation {word}: {remediation.get('said', '')}")
    for action in map(_mapping, _list(found.get("pending_actions"))):
        key = str(action.get("action_id", ""))[:12]
        hint(f"  waits for an answer: roundsman approvals approve {key}, or deny {key}")
    for one in map(_mapping, _list(found.get("undo"))):
        what = f"{one.get('action')} {str(one.get('action_id', ''))[:12]}"
        hint(f"  {one.get('state')}: {what}: {one.get('said')}")
    sent = [_mapping(one) for one in _list(found.get("notifications"))]
    if sent:
        typer.echo("\nTold")
    for one in sent:
        say(f"  {one.get('state')}: {one.get('title')}  ({one.get('channel')})")
        if one.get("state") != "done":
            say(f"    {one.get('said')}")


def _print_issues(issues: list[Any]) -> None:
    if issues:
        typer.echo("\nIssues")
    for issue in map(_mapping, issues[:ISSUES_MAX]):
        said = f" {issue.get('type', '')}: {issue.get('message', '')}"
        say(said, mark=f"  {styled_severity(issue)}")
        for reason in map(_mapping, _list(issue.get("reasons"))):
            say(f"           {reason_words(reason)}")
    if len(issues) > ISSUES_MAX:
        typer.echo(f"  and {len(issues) - ISSUES_MAX} more, in the report")


def styled_severity(issue: Mapping[str, Any]) -> str:
    """The issue's severity, padded, in its colour."""
    severity = str(issue.get("severity", "info"))
    colours = {"high": "red", "critical": "red", "medium": "yellow"}
    return typer.style(f"{severity:<8}", fg=colours.get(severity))


def reason_words(reason: Mapping[str, Any]) -> str:
    """Signal, value and threshold of a reason; its quote where it has one."""
    words = f"{reason.get('signal', '')} {text(reason.get('value'))}"
    if reason.get("threshold") is not None:
        words += f" (threshold {text(reason['threshold'])})"
    return f"{words}: {reason['quote']}" if reason.get("quote") else words


def print_ended(
    row: AuditRow, files: list[Path], settings: Settings, command: str | None = None
) -> None:
    """What a run that was just shown has found, and what to type next."""
    verdict = f"  {styled(row.verdict)}" if row.verdict else ""
    seconds = f"{row.duration_seconds:.1f} s" if row.duration_seconds is not None else ""
    typer.echo(f"\n{styled(row.status)}{verdict}  {row.round or row.agent_type}  {seconds}")
    _print_error(row)
    print_findings(row, files)
    _print_next(row, files, command or _command(settings))
    server = None if settings.remote else settings.prefect_url()
    # A run that never began has no page there: the server did not answer, or said no.
    if server and row.started_at:
        typer.echo(f"  {server.removesuffix('/api')}/runs/flow-run/{row.run_id}")


def _command(settings: Settings) -> str:
    if settings.remote:
        return f"roundsman --remote {settings.remote}"
    usual = settings.home == Path("~/.roundsman").expanduser()
    return "roundsman" if usual else f"roundsman --home {near(settings.home)}"


def print_explained(told: Mapping[str, Any]) -> None:
    """What a run would do and read; nothing has been read."""
    say(f"{told.get('name')} would take these steps: {', '.join(_list(told.get('plan')))}")
    readings = [_mapping(reading) for reading in _list(told.get("readings"))]
    if readings:
        columns = ("SYSTEM", "WHAT", "WHY", "ROWS", "OF", "BYTES")
        told_of = ({**reading, "of": _rows_of(reading)} for reading in readings)
        table(columns, ([reading.get(c.lower()) for c in columns] for reading in told_of))
    else:
        typer.echo("It does not say what it would read.")
    known = [reading["bytes"] for reading in readings if reading.get("bytes") is not None]
    if known:
        typer.echo(f"about {sum(known) / 1e6:,.2f} MB in all, as far as the systems say")


def _rows_of(reading: Mapping[str, Any]) -> str | None:
    """A search counts what lies in the window; a warehouse only knows how large its parts are."""
    if reading.get("rows") is None:
        return None
    is_search = str(reading.get("system", "")).startswith("search/")
    return "the window" if is_search else "the whole table or its partitions"


def _print_next(row: AuditRow, files: list[Path], command: str) -> None:
    run_id = short(row.run_id)
    typer.echo("\nNext")
    typer.echo(f"  {command} show {run_id}")
    report = next((path.name for path in files if path.suffix == ".md"), None)
    if report:
        typer.echo(f"  {command} artifacts show {row.agent_type} {report}")
    if row.status in ("failed", "crashed", "timed_out", "cancelled"):
        typer.echo(f"  {command} doctor")
        typer.echo(f"  {command} retry {run_id}")


def _print_error(row: AuditRow) -> None:
    error = row.error or {}
    if not error and row.error_message:
        error = {"message": row.error_message}
    if error:
        where = f" in step {error['step']}" if error.get("step") else ""
        kind = f"{error['type']}{where}: " if error.get("type") else ""
        say(f"error      {kind}{error.get('message', '')}")


def _print_steps(steps: list[StepRow]) -> None:
    if not steps:
        return
    typer.echo("")
    alike: dict[tuple[int, str, str], list[StepRow]] = {}
    for step in steps:
        alike.setdefault((step.attempt, step.name, step.status), []).append(step)
    columns = ("STEP", "STATUS", "CALLS", "SECONDS", "RETRIES", "SAID")
    many = len({step.attempt for step in steps}) > 1
    table(columns, (_step_line(calls, many) for calls in alike.values()))


def _step_line(calls: list[StepRow], many: bool) -> tuple[object, ...]:
    first = calls[0]
    worked = first.status != "skipped"
    seconds = [step.seconds for step in calls if step.seconds is not None]
    return (
        f"{first.attempt}. {first.name}" if many else first.name,
        first.status,
        len(calls) if worked else None,
        f"{sum(seconds):.2f}" if seconds and worked else None,
        sum(max(step.tries - 1, 0) for step in calls) if worked else None,
        next((said for said in map(_step_said, calls) if said), None),
    )


def _step_said(step: StepRow) -> str:
    error = step.error or {}
    return str(error.get("message") or error.get("said") or error.get("reason") or "")[:100]


def _operations(row: AuditRow) -> str | None:
    if row.ops_count is None:
        return None
    budget = _mapping(row.budget.get("status"))
    limit = budget.get("ops_limit")
    exceeded = ", budget exceeded" if budget.get("exceeded") else ""
    return f"{row.ops_count}{f' of {limit}' if limit else ''}{exceeded}"


def _who(row: AuditRow) -> str:
    if row.asked_by is None:
        return row.user_email or ""
    name = row.user_email or row.asked_by.name
    return f"{name} ({row.asked_by.kind})" if name else row.asked_by.kind


def _mapping(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []
