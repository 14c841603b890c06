"""`roundsman findings`: the problems that rounds found, and what people say about them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from roundsman.cli.approvals import Note
from roundsman.cli.complaint import Doors, Json, Quick, print_json, unknown
from roundsman.errors import Mistake

if TYPE_CHECKING:
    from roundsman.cli.ledger import Reads
    from roundsman.rules.finding import Finding

STATES = ("open", "acknowledged", "resolved")
SEVERITIES = ("high", "medium", "low", "info")
UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
DIGITS_MAX = 4

FindingId = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="The finding's fingerprint, or its first six or more characters."
    ),
]

findings = typer.Typer(
    cls=Doors,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Problems that rounds found, from their opening to their end.",
)


@findings.command("list", cls=Quick)
def list_findings(
    state: Annotated[
        str | None, typer.Option(help="Only this state; several are parted by commas.")
    ] = None,
    severity: Annotated[
        str | None, typer.Option(help="Only this severity; several are parted by commas.")
    ] = None,
    agent: Annotated[str | None, typer.Option(help="Only this agent's.")] = None,
    round_name: Annotated[str | None, typer.Option("--round", help="Only this round's.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Those that are resolved too.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 50,
    as_json: Json = False,
) -> None:
    """List what is open or acknowledged, the latest seen first."""
    from roundsman.cli.ledger import open_reads
    from roundsman.store.findings import Wanted

    states = _names("state", state, STATES)
    if not states and not everything:
        states = ("open", "acknowledged")
    severities = _names("severity", severity, SEVERITIES)
    wanted = Wanted(states, severities, agent, round_name, limit)
    found = open_reads().findings(wanted)
    if as_json:
        print_json({"findings": [item.model_dump(mode="json") for item in found]})
    elif found:
        _print_table(found)
    else:
        typer.echo("No findings.")


@findings.command("show", cls=Quick)
def show_finding(finding_id: FindingId, as_json: Json = False) -> None:
    """Tell everything about one finding: what, since when, who knows, what is untold."""
    from roundsman.cli.present import field, say
    from roundsman.cli.summary import reason_words, styled_severity

    _, finding = _find(finding_id)
    document = finding.model_dump(mode="json")
    if as_json:
        print_json(document)
        return
    said = f" {finding.kind} of {finding.subject}: {finding.state}"
    say(said, mark=styled_severity(document))
    say(f"  {finding.said}")
    for reason in document["reasons"]:
        say(f"  - {reason_words(reason)}")
    for name, value in _facts(finding):
        field(name, value)
    if finding.state == "open":
        typer.echo(f"\ntake it on: roundsman findings ack {finding.fingerprint}")


@findings.command("ack", cls=Quick)
def acknowledge_finding(finding_id: FindingId, note: Note = None, as_json: Json = False) -> None:
    """Take a finding on: no reminders any more, unless it worsens."""
    reads, finding = _find(finding_id)
    after = reads.acknowledge(finding.fingerprint, note)
    _tell(after, f"acknowledged by {after.acknowledged_by}", as_json)


@findings.command("mute", cls=Quick)
def mute_finding(
    finding_id: FindingId,
    length: Annotated[
        str | None, typer.Option("--for", metavar="4h|2d", help="For so long: m, h, d or w.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Until then, such as 2026-12-01T08:00 (UTC).")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why; it stays in the ledger.")] = None,
    as_json: Json = False,
) -> None:
    """Let nobody hear of a finding for a time; it is still recorded."""
    end = _end(length, until, datetime.now(UTC))
    reads, finding = _find(finding_id)
    after = reads.mute(finding.fingerprint, end, reason)
    _tell(after, f"muted until {end:%Y-%m-%d %H:%M} UTC", as_json)


@findings.command("unmute", cls=Quick)
def unmute_finding(finding_id: FindingId, as_json: Json = False) -> None:
    """Let people hear of a finding again, at its round's next look."""
    reads, finding = _find(finding_id)
    after = reads.unmute(finding.fingerprint)
    _tell(after, "muted no more", as_json)


def _find(finding_id: str) -> tuple[Reads, Finding]:
    from roundsman.cli.ledger import open_reads

    reads = open_reads()
    return reads, reads.finding(finding_id)


def _tell(finding: Finding, became: str, as_json: bool) -> None:
    from roundsman.cli.present import say

    if as_json:
        print_json(finding)
    else:
        say(f"{finding.fingerprint} ({finding.kind} of {finding.subject}): {became}")


def _names(what: str, typed: str | None, known: tuple[str, ...]) -> tuple[str, ...]:
    names = [name.strip() for name in (typed or "").split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise unknown(what, name, known)
    return tuple(names)


def _end(length: str | None, until: str | None, now: datetime) -> datetime:
    """When a mute ends; a time without a zone is UTC."""
    if length is not None and until is None:
        parts = re.fullmatch(rf"(\d{{1,{DIGITS_MAX}}})([mhdw])", length.strip())
        if parts is None:
            raise Mistake(f"--for '{length}' is no length of time", "write 30m, 4h, 2d or 1w")
        return now + timedelta(**{UNITS[parts[2]]: int(parts[1])})
    if until is not None and length is None:
        try:
            end = datetime.fromisoformat(until)
            return (end if end.tzinfo else end.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError) as error:
            remedy = "write it as 2026-12-01 or 2026-12-01T08:00"
            raise Mistake(f"--until '{until}' is no time", remedy) from error
    raise Mistake("mute needs to know for how long", "give either --for 4h or --until TIME")


def _print_table(found: list[Finding]) -> None:
    from roundsman.cli.present import table

    columns = ("ID", "SEVERITY", "STATE", "KIND", "SUBJECT", "ROUND", "SINCE", "SEEN", "SAID")
    table(
        columns,
        (
            (
                item.fingerprint,
                item.severity,
                f"{item.state}, muted" if item.is_muted(datetime.now(UTC)) else item.state,
                item.kind,
                item.subject,
                item.source,
                item.opened_at,
                item.times_seen,
                item.said,
            )
            for item in found
        ),
        cut="SAID",
    )


def _facts(finding: Finding) -> list[tuple[str, object]]:
    """The rest of a finding in the order of its life."""
    muted = finding.muted_until if finding.is_muted(datetime.now(UTC)) else None
    known = _by(finding.acknowledged_at, finding.acknowledged_by, finding.note)
    told = _by(finding.told_at, finding.told_event, finding.channel)
    silent = f"{finding.untold}: {finding.why_silent or 'at the next look'}"
    return [
        ("id", finding.fingerprint),
        ("round", finding.source),
        ("owner", finding.owner),
        ("opened", _by(finding.opened_at, f"run {finding.opened_run[:8]}")),
        ("seen", _by(finding.last_seen_at, f"{finding.times_seen} times in all")),
        ("reopened", finding.reopened or None),
        ("good runs", finding.good_runs or None),
        ("resolved", finding.resolved_at),
        ("known", known),
        ("muted", _by(muted, finding.muted_by, finding.mute_reason)),
        ("told", told),
        ("untold", silent if finding.untold else None),
    ]


def _by(at: datetime | None, *words: str | None) -> str | None:
    if at is None:
        return None
    return "  ".join([f"{at:%Y-%m-%d %H:%M:%SZ}", *(word for word in words if word)])
