"""What becomes of a problem from look to look, and what of it is news for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from roundsman.rules.finding import (
    Change,
    Finding,
    FindingRules,
    Look,
    News,
    Seen,
    Untold,
    What,
    fingerprint,
    is_worse,
)
from roundsman.rules.health import Severity
from roundsman.rules.maintenance import maintenance_at

REASONS_MAX = 20
SAID_CHARACTERS_MAX = 2_000
# A finding remembers so many kinds of runs that saw it, the latest.
SCOPES_MAX = 20
NOT_TOLD = "a dry run tells nobody"
OPENINGS = frozenset({"opened", "reopened"})
# What a merely repeated look does not hide.
WEIGHTY = OPENINGS | {"worsened", "eased"}
UNACKNOWLEDGED = {"state": "open", "acknowledged_by": None, "acknowledged_at": None, "note": None}


def judge_look(known: Sequence[Finding], look: Look, rules: FindingRules) -> list[Change]:
    """What a look makes of the findings that are known, and which ones it opens.

    A look that is no newer than one that counted changes nothing; the same one once more only gives
    again what is still to be told. What was seen twice counts as the worse.
    """
    ours = {item.fingerprint: item for item in known if _is_of(item, look)}
    seen = _by_fingerprint(look)
    changes = [_see(ours.get(key), (key, item), look, rules) for key, item in seen.items()]
    changes += [_miss(item, look, rules) for key, item in ours.items() if key not in seen]
    return [change for change in changes if change is not None]


def net_changes(changes: Iterable[Change]) -> list[Change]:
    """What several looks of one run come to, told once for each finding.

    What opened and was resolved between them is one `resolved`, whose `before` is the opening.
    """
    merged: dict[str, Change] = {}
    for change in changes:
        key = change.after.fingerprint
        merged[key] = _merge(merged[key], change) if key in merged else change
    return list(merged.values())


def _merge(first: Change, last: Change) -> Change:
    if last.change == "resolved":
        before = first.after if first.change in OPENINGS else first.before
        return last.model_copy(update={"before": before})
    hidden = WEIGHTY if last.change in ("seen", "good") else OPENINGS
    what = first.change if first.change in hidden else last.change
    return last.model_copy(update={"change": what, "before": first.before})


def _is_of(finding: Finding, look: Look) -> bool:
    return (finding.agent, finding.round) == (look.agent, look.round)


def _by_fingerprint(look: Look) -> dict[str, Seen]:
    found: dict[str, Seen] = {}
    for item in look.seen:
        key = fingerprint(look.agent, look.round, item.kind, item.subject)
        other = found.get(key)
        if other is not None:
            reasons = (*other.reasons, *item.reasons)
            worse = item if is_worse(item.severity, other.severity) else other
            item = worse.model_copy(update={"reasons": reasons})
        found[key] = item
    return found


def _see(
    finding: Finding | None, named: tuple[str, Seen], look: Look, rules: FindingRules
) -> Change | None:
    key, seen = named
    if finding is None:
        return _tell("opened", (None, _open(key, seen, look, rules)), look, rules)
    if look.at <= finding.looked_at:
        # What another run saw later is that run's to tell.
        last = (finding.last_run, finding.good_run, finding.resolved_run)
        return _still_untold(finding, look, rules) if look.run_id in last else None
    what = _compare(finding, seen)
    changes = _sighting(seen, look, rules)
    changes |= {
        "times_seen": finding.times_seen + (look.run_id != finding.last_run),
        "scopes": _scopes(finding.scopes, look.scope),
        "untold": _untold(what, finding, seen.severity),
    }
    if what == "worsened":
        changes |= UNACKNOWLEDGED
    if what == "reopened":
        changes |= _reopening(finding, look)
    return _tell(what, (finding, finding.model_copy(update=changes)), look, rules)


def _open(key: str, seen: Seen, look: Look, rules: FindingRules) -> Finding:
    return Finding(
        fingerprint=key,
        agent=look.agent,
        round=look.round,
        state="open",
        first_seen_at=look.at,
        opened_at=look.at,
        opened_run=look.run_id,
        scopes=(look.scope,),
        untold=None if seen.severity == "info" else "opened",
        **_sighting(seen, look, rules),
    )


def _sighting(seen: Seen, look: Look, rules: FindingRules) -> dict[str, Any]:
    return {
        "kind": seen.kind,
        "subject": seen.subject,
        "severity": seen.severity,
        "said": seen.said[:SAID_CHARACTERS_MAX],
        "reasons": seen.reasons[:REASONS_MAX],
        "last_seen_at": look.at,
        "last_run": look.run_id,
        "looked_at": look.at,
        "good_runs": 0,
        "good_run": None,
        "owner": rules.owner,
        "channel": rules.channel,
    }


def _reopening(finding: Finding, look: Look) -> dict[str, Any]:
    return UNACKNOWLEDGED | {
        "opened_at": look.at,
        "opened_run": look.run_id,
        "reopened": finding.reopened + 1,
        "scopes": (look.scope,),
        "resolved_at": None,
        "resolved_run": None,
    }


def _scopes(known: tuple[str, ...], scope: str) -> tuple[str, ...]:
    return (*(name for name in known if name != scope), scope)[-SCOPES_MAX:]


def _compare(finding: Finding, seen: Seen) -> What:
    if finding.state == "resolved":
        return "reopened"
    if is_worse(seen.severity, finding.severity):
        return "worsened"
    return "eased" if is_worse(finding.severity, seen.severity) else "seen"


def _untold(what: What, finding: Finding, severity: Severity) -> Untold | None:
    """What people have to hear after this sighting; of a merely informational one nothing."""
    if severity == "info":
        return None
    if what == "reopened":
        return "reopened"
    if what == "worsened":
        # Nobody can be told that it is worse than what they never heard of.
        first: Untold = "reopened" if finding.reopened else "opened"
        return "worsened" if finding.is_heard else finding.untold or first
    is_past = (
        finding.untold == "worsened"
        and finding.told_severity is not None
        and not is_worse(severity, finding.told_severity)
    )
    return None if is_past else finding.untold


def _miss(finding: Finding, look: Look, rules: FindingRules) -> Change | None:
    may_judge = finding.state != "resolved" and look.at > finding.looked_at
    if not may_judge or not look.covers(finding):
        return _still_untold(finding, look, rules) if finding.untold else None
    good = finding.good_runs + (look.run_id != finding.good_run)
    changes: dict[str, Any] = {
        "looked_at": look.at,
        "good_runs": good,
        "good_run": look.run_id,
        "owner": rules.owner,
        "channel": rules.channel,
    }
    if good < rules.good_runs:
        return _tell("good", (finding, finding.model_copy(update=changes)), look, rules)
    changes |= {"state": "resolved", "resolved_at": look.at, "resolved_run": look.run_id}
    changes["untold"] = _untold_end(finding, rules)
    return _tell("resolved", (finding, finding.model_copy(update=changes)), look, rules)


def _untold_end(finding: Finding, rules: FindingRules) -> Untold | None:
    """An end is news for those who heard of the beginning, or were about to."""
    was_coming = finding.untold is not None and finding.why_silent is None
    is_news = finding.is_heard or was_coming
    return "resolved" if is_news and rules.channel is not None else None


def _still_untold(finding: Finding, look: Look, rules: FindingRules) -> Change | None:
    """What is to be told of a finding that this look does not change."""
    what: What = finding.untold or "seen"
    told = _tell(what, (finding, finding), look, rules)
    return told.model_copy(update={"after": finding}) if told.tell else None


def _tell(
    what: What, pair: tuple[Finding | None, Finding], look: Look, rules: FindingRules
) -> Change:
    before, after = pair
    is_due = what == "seen" and _is_reminder_due(after, look.at, rules)
    event: News | None = after.untold or ("reminder" if is_due else None)
    silence = _silence(event, after, look.at, rules) if event else _no_news(what, after, rules)
    tell = event is not None and silence is None
    # What a dry run would tell is shown by it; people still know nothing of it.
    waiting = (silence or (None if look.tells else NOT_TOLD)) if after.untold else None
    return Change(
        change="reminder" if tell and event == "reminder" else what,
        before=before,
        after=after.model_copy(update={"why_silent": waiting}),
        tell=tell,
        event=event,
        why_silent=silence,
    )


def _is_reminder_due(finding: Finding, at: datetime, rules: FindingRules) -> bool:
    if rules.remind_hours is None or finding.told_at is None or finding.severity == "info":
        return False
    return finding.is_heard and at - finding.told_at >= timedelta(hours=rules.remind_hours)


def _silence(event: News, finding: Finding, at: datetime, rules: FindingRules) -> str | None:
    if event == "reminder" and finding.state == "acknowledged":
        return f"acknowledged by {finding.acknowledged_by}"
    if finding.muted_until is not None and finding.is_muted(at):
        return f"muted until {finding.muted_until:%Y-%m-%d %H:%M} UTC"
    if window := maintenance_at(rules.windows, at):
        return f"maintenance window: {window}"
    return "no channel" if rules.channel is None else None


def _no_news(what: What, finding: Finding, rules: FindingRules) -> str | None:
    if what in ("seen", "good", "eased"):
        return None
    if finding.severity == "info" and not finding.is_heard:
        return "informational"
    if rules.channel is None:
        return "no channel"
    return "nobody was told that it opened" if what == "resolved" else None
