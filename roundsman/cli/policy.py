"""`roundsman policy`: what agents may do, why, and what another policy would have said."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from roundsman.cli.complaint import (
    BY_VERDICT,
    MISTAKEN,
    Doors,
    Json,
    Quick,
    hint,
    print_json,
    unknown,
)
from roundsman.cli.present import count
from roundsman.errors import Mistake

if TYPE_CHECKING:
    from roundsman.rules.approval import Decision, Policy, Seen
    from roundsman.rules.policy_lint import Complaint
    from roundsman.rules.simulation import Simulation

MARKS = {"problem": ("PROBLEM", "red"), "warning": ("warning", "yellow")}
FAIL_ON = ("flips",)
CONTEXT_MAX = 100

OwnFile = Annotated[
    Path | None, typer.Option("--file", metavar="FILE", help="Unset: the policy of this machine.")
]

policy = typer.Typer(
    cls=Doors,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="What agents may do by themselves, and what they ask for.",
)


@policy.command("explain", cls=Quick)
def explain(
    action: Annotated[str, typer.Argument(metavar="ACTION", help="As build or send.")],
    agent: Annotated[str, typer.Option(help="Who wants to do it.")] = "",
    target: Annotated[str, typer.Option(help="On what, as transform/prod.")] = "",
    context: Annotated[
        list[str] | None,
        typer.Option("--context", "-c", metavar="KEY=VALUE", help="As blast_radius=30; repeat it."),
    ] = None,
    read: Annotated[bool, typer.Option("--read", help="It changes nothing.")] = False,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="As 2026-01-31T12:00:00Z; unset: now.")
    ] = None,
    file: OwnFile = None,
    as_json: Json = False,
) -> None:
    """Say what policy says of an action, and why; nothing is stored."""
    from roundsman.policy import load_policy, policy_hash
    from roundsman.rules import approval

    wanted = approval.Request(
        agent=agent,
        action=action,
        target=target,
        mutates=not read,
        context=_read_context(context or []),
    )
    held = load_policy(file)
    seen = approval.explain(held, wanted, _read_time(at))
    decision = approval.judge(held, seen)
    if as_json:
        rules = [
            one._asdict() | {"reasons": [reason.quote for reason in one.reasons]} for one in seen
        ]
        print_json(decision.model_dump() | {"policy_hash": policy_hash(held), "rules": rules})
        return
    _print_decision(decision)
    _print_seen(seen)


def _read_context(pairs: list[str]) -> dict[str, Any]:
    if len(pairs) > CONTEXT_MAX:
        raise Mistake(f"--context is given {len(pairs)} times", f"give at most {CONTEXT_MAX}")
    given: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            example = f"write --context {key.strip() or 'items'}=7"
            raise Mistake(f"--context '{pair}' is not key=value", example)
        given[key.strip()] = _plain(value)
    return given


def _plain(text: str) -> Any:
    """Numbers, true, false and null as JSON has them; all else is text."""
    import json

    try:
        return json.loads(text)
    except ValueError:
        return text


def _read_time(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise Mistake(f"--at '{text}' is no time", "write it as 2026-01-31T12:00:00Z") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _print_decision(decision: Decision) -> None:
    from roundsman.cli.present import field

    typer.echo(f"{decision.verdict}  by {decision.rule_id}")
    for reason in decision.reasons:
        typer.echo(f"  {reason.quote}")
    if decision.verdict == "ask":
        field("approvers", ", ".join(decision.approvers) or "anybody")
        field("four eyes", "whoever asked may not approve" if decision.four_eyes else None)
        field("within", f"{decision.expires_minutes} minutes")


def _print_seen(seen: list[Seen]) -> None:
    from roundsman.cli.present import table

    typer.echo("")
    lines = ((one.rule_id, one.verdict, "yes" if one.matched else "no", _why(one)) for one in seen)
    table(("RULE", "VERDICT", "MATCHES", "WHY"), lines)


def _why(seen: Seen) -> str:
    own = f"rule '{seen.rule_id}': "
    return "; ".join(reason.quote.removeprefix(own) for reason in seen.reasons)


@policy.command("lint", cls=Quick)
def lint(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Unset: the policy of this machine.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Look for what is wrong or odd in a policy; ends with 2 where something is wrong."""
    from roundsman.policy import load_policy, origin
    from roundsman.rules.policy_lint import lint as look_for_complaints

    path = file or origin().path
    held = load_policy(path)
    found = look_for_complaints(held)
    problems = sum(one.level == "problem" for one in found)
    if as_json:
        print_json({"file": str(path), "ok": not problems, "complaints": found})
    else:
        _print_complaints(path, held, found)
    if problems:
        raise typer.Exit(MISTAKEN)


def _print_complaints(path: Path, held: Policy, found: list[Complaint]) -> None:
    from roundsman.cli.present import near

    for one in found:
        word, colour = MARKS[one.level]
        typer.echo(f"{typer.style(f'{word:<8}', fg=colour)} {one.said}")
        typer.echo(f"{'':<8} -> {one.remedy}")
    problems = sum(one.level == "problem" for one in found)
    words = f"{count(problems, 'problem')}, {count(len(found) - problems, 'warning')}"
    typer.echo(f"{near(path)}: {count(len(held.rules), 'rule')}, {words}")


@policy.command("simulate", cls=Quick)
def simulate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The policy to try.")],
    days: Annotated[int, typer.Option(min=1, max=3660, help="How far to look back.")] = 30,
    limit: Annotated[
        int, typer.Option(min=0, max=10_000, help="Show at most so many flips; all are counted.")
    ] = 50,
    fail_on: Annotated[
        str | None, typer.Option(metavar="|".join(FAIL_ON), help="End with 3 if a decision flips.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Decide the stored actions of the last days anew, and show which decisions flip."""
    from datetime import timedelta

    from roundsman.cli.ledger import open_memory
    from roundsman.policy import load_policy, policy_hash
    from roundsman.rules.simulation import simulate as decide_anew
    from roundsman.store.decisions import stored_decisions

    if fail_on not in (None, *FAIL_ON):
        raise unknown("outcome of --fail-on", fail_on, FAIL_ON)
    held = load_policy(file)
    memory = open_memory()
    until = datetime.now(UTC)
    since = until - timedelta(days=days)
    # An event may bear the database's time, which may be ahead of ours.
    stored = stored_decisions(memory.ledger, memory.org, since, until + timedelta(days=1))
    found = decide_anew(held, stored, limit)
    if as_json:
        told = {"since": since, "until": until, "policy_hash": policy_hash(held)}
        print_json(told | found.model_dump(mode="json"))
    else:
        _print_simulation(found, days)
    if fail_on and found.flips_total:
        typer.echo(f"{count(found.flips_total, 'decision')} would flip", err=True)
        raise typer.Exit(BY_VERDICT)


def _print_simulation(found: Simulation, days: int) -> None:
    from roundsman.cli.present import short, table

    if not found.compared and not found.not_comparable:
        typer.echo(f"No action was considered in the last {count(days, 'day')}.")
        return
    typer.echo(
        f"{count(found.compared, 'decision')} of the last {count(days, 'day')}:"
        f" {found.flips_total} would flip"
    )
    for change, number in found.counts.items():
        typer.echo(f"  {change.replace('->', ' -> '):<16} {number}")
    if found.not_comparable:
        typer.echo(f"  {'not comparable':<16} {found.not_comparable}  (erased, or not told whole)")
    if found.flips:
        typer.echo("")
        columns = ("RUN", "WHEN", "AGENT", "ACTION", "TARGET", "OLD", "NEW", "RULE", "WHY")
        lines = (
            (
                short(one.run_id),
                one.at,
                one.agent,
                one.action,
                one.target,
                one.old,
                one.new,
                one.new_rule,
                "; ".join(one.reasons),
            )
            for one in found.flips
        )
        table(columns, lines, cut="WHY")
    if found.flips_total > len(found.flips):
        typer.echo(f"{len(found.flips)} of {found.flips_total}; more: --limit")


@policy.command("show", cls=Quick)
def show(file: OwnFile = None, as_json: Json = False) -> None:
    """Show the policy that holds, and where it is from."""
    from roundsman.cli.present import near, table
    from roundsman.policy import load_policy, origin, policy_hash
    from roundsman.rules.approval import hours_of

    path, is_default = (file, False) if file else origin()
    held = load_policy(path)
    if as_json:
        told = {"file": str(path), "is_default": is_default, "policy_hash": policy_hash(held)}
        print_json(told | {"policy": held.model_dump(mode="json", exclude_unset=True)})
        return
    told = "the default; a copy of your own: roundsman policy init" if is_default else near(path)
    typer.echo(f"{told}  ({policy_hash(held)})\n")
    lines = (
        (
            rule.id,
            rule.verdict,
            ", ".join(rule.actions),
            " and ".join(map(str, rule.when)),
            hours_of(rule),
            rule.why,
        )
        for rule in held.rules
    )
    table(("RULE", "VERDICT", "ACTIONS", "WHEN", "HOURS", "WHY"), lines)


@policy.command("init", cls=Quick)
def init(as_json: Json = False) -> None:
    """Write the default policy with its comments, to be changed; one that is there stays."""
    from roundsman.policy import DEFAULT
    from roundsman.settings import get_settings

    path = get_settings().policy
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(DEFAULT.read_text(encoding="utf-8"))
        wrote = True
    except FileExistsError:
        wrote = False
    if as_json:
        print_json({"policy": str(path), "written": wrote})
        return
    typer.echo(f"wrote {path}" if wrote else f"{path} is there already; it was left as it is")
    hint("next: change it, then  roundsman policy lint")
