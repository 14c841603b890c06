"""What is odd about a policy: rules that never act, contradict each other, or open too much."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import combinations
from typing import Any, Literal

from roundsman.rules.approval import (
    Frozen,
    Policy,
    Rule,
    Weekday,
    common,
    holds_at,
    is_destructive,
    is_read,
)
from roundsman.rules.conditions import Condition, look
from roundsman.rules.similar import meant

# What agents give; other names are free, but mostly they are slips.
KNOWN_FIELDS = (
    "blast_radius",
    "changes",
    "email_count",
    "environment",
    "items",
    "over_budget",
    "person",
    "regex",
    "risk_score",
    "sandbox",
    "sender_known",
    "severity",
    "volume_per_week",
)
# What blocks declare, and what the policy that we ship names already; others are mostly slips, too.
KNOWN_ACTIONS = (
    "append",
    "apply_routing_rules",
    "apply_synonyms",
    "build",
    "remove",
    "replace",
    "send",
    "undo_build",
)
RANK = {"allow": 0, "ask": 1, "deny": 2}
# A Monday: the hours of its week stand for those of every week.
MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
WEEK = tuple(MONDAY + timedelta(hours=hour) for hour in range(7 * 24))
COMPLAINTS_MAX = 200


class Complaint(Frozen):
    """One sentence about some rules; a `problem` is certainly not what was meant."""

    level: Literal["problem", "warning"]
    rules: tuple[str, ...]
    said: str
    remedy: str = ""


def lint(policy: Policy) -> list[Complaint]:
    """The complaints about a policy, problems first, at most 200."""
    found = [one for rule in policy.rules for one in _about_one(rule)]
    for pair in combinations(policy.rules, 2):
        found.extend(_about_two(*pair))
    return sorted(found, key=lambda one: one.level)[:COMPLAINTS_MAX]


def _about_one(rule: Rule) -> Iterator[Complaint]:
    checks: tuple[Callable[[Rule], Iterator[Complaint]], ...] = (
        _hours_that_never_hold,
        _conditions_that_never_hold,
        _unknown_fields,
        _unknown_actions,
        _answers_to_no_question,
        _four_eyes_of_one,
        _floors,
        _too_much,
    )
    for check in checks:
        yield from check(rule)


def _hours_that_never_hold(rule: Rule) -> Iterator[Complaint]:
    if not _hours(rule):
        first, end = rule.hours_utc or (0, 0)
        said = f"'{rule.id}' never matches: no hour lies from {first:02} to {end:02}"
        yield _problem(said, "leave hours_utc out, or give two different hours", rule)


def _conditions_that_never_hold(rule: Rule) -> Iterator[Complaint]:
    for field in sorted({condition.field for condition in rule.when}):
        conditions = _on(field, rule)
        if not any(_all_hold(conditions, value) for value in _samples(conditions)):
            told = " and ".join(map(str, conditions))
            said = f"'{rule.id}' never matches: {told} cannot hold together"
            yield _problem(said, "write two rules, or mend the values", rule)


def _unknown_fields(rule: Rule) -> Iterator[Complaint]:
    for field in sorted({condition.field for condition in rule.when} - set(KNOWN_FIELDS)):
        said = f"'{rule.id}' looks at '{field}', which no agent of ours gives"
        remedy = f"{_meant(field, KNOWN_FIELDS)}ours give {', '.join(KNOWN_FIELDS)}"
        yield _warning(said, remedy, rule)


def _unknown_actions(rule: Rule) -> Iterator[Complaint]:
    # A glob may be for what is to come; what reads or destroys has its floor, whoever does it.
    named = (name for name in rule.actions if not _is_glob(name))
    for name in sorted(set(named) - set(KNOWN_ACTIONS)):
        if not is_read(name) and not is_destructive(name):
            said = f"'{rule.id}' is for '{name}', which no block of ours does"
            remedy = f"{_meant(name, KNOWN_ACTIONS)}ours do {', '.join(KNOWN_ACTIONS)}"
            yield _warning(said, remedy, rule)


def _meant(name: str, known: Sequence[str]) -> str:
    close = meant(name, known)
    return f"{close} " if close else ""


def _answers_to_no_question(rule: Rule) -> Iterator[Complaint]:
    named = [
        name
        for name in ("approvers", "four_eyes", "expires_minutes")
        if getattr(rule, name) is not None
    ]
    if named and rule.verdict != "ask":
        said = f"'{rule.id}' has {', '.join(named)}, but asks nobody"
        yield _warning(said, "set 'verdict: ask', or leave them out", rule)


def _four_eyes_of_one(rule: Rule) -> Iterator[Complaint]:
    is_asked = rule.verdict == "ask" and rule.four_eyes and rule.approvers is not None
    if is_asked and len(common([rule.approvers or ()])) == 1:
        said = f"'{rule.id}' wants four eyes and names one person: what they ask, nobody may answer"
        yield _warning(said, "name a second approver", rule)


def _floors(rule: Rule) -> Iterator[Complaint]:
    if rule.verdict == "allow" and all(map(is_destructive, rule.actions)):
        said = f"'{rule.id}' cannot allow {_names(rule.actions)}: that is always asked"
        yield _warning(said, "set 'verdict: ask', and say who may answer", rule)
    if rule.verdict != "allow" and all(map(is_read, rule.actions)):
        said = f"'{rule.id}' is for {_names(rule.actions)}: what only reads is always allowed"
        yield _warning(said, "leave the rule out", rule)


def _too_much(rule: Rule) -> Iterator[Complaint]:
    is_open = _is_everything(rule.actions) and not rule.when and rule.verdict != "ask"
    if not is_open or rule.hours_utc or rule.weekdays:
        return
    if rule.verdict == "allow":
        said = f"'{rule.id}' is too open: it allows every action that no other rule asks for"
        yield _warning(said, "name its actions", rule)
    elif _is_everything(rule.agents) and _is_everything(rule.targets):
        said = f"'{rule.id}' denies everything that is not a read"
        yield _warning(said, "name its actions, or halt all: roundsman actions stop", rule)


def _about_two(one: Rule, other: Rule) -> Iterator[Complaint]:
    weaker, stricter = sorted((one, other), key=lambda rule: RANK[rule.verdict])
    if weaker.verdict == stricter.verdict:
        yield from _about_equals(one, other)
    elif _covers(stricter, weaker):
        both = f"'{stricter.id}' ({stricter.verdict})"
        if _covers(weaker, stricter):
            said = f"'{weaker.id}' ({weaker.verdict}) and {both} contradict each other"
            yield _problem(said, "leave one of them out", weaker, stricter)
        else:
            said = f"'{weaker.id}' never decides: {both} matches whenever it does"
            yield _warning(said, f"narrow '{stricter.id}', or leave it out", weaker, stricter)


def _about_equals(one: Rule, other: Rule) -> Iterator[Complaint]:
    if one.verdict == "ask" and _may_meet(one, other) and not _have_answerer(one, other):
        said = f"'{one.id}' and '{other.id}' name approvers who have nobody in common"
        remedy = "name one person in both: where both match, it is denied now"
        yield _warning(said, remedy, one, other)
    elif _covers(one, other) and _covers(other, one):
        said = f"'{one.id}' and '{other.id}' match the same"
        yield _warning(said, "one of them is enough", one, other)


def _have_answerer(one: Rule, other: Rule) -> bool:
    if one.approvers is None or other.approvers is None:
        return True
    return bool(common([one.approvers, other.approvers]))


def _covers(wide: Rule, narrow: Rule) -> bool:
    """Whether `wide` matches whenever `narrow` does; False where that cannot be told."""
    named = ((getattr(wide, name), getattr(narrow, name)) for name in _SCOPE)
    if not all(all(_within(name, patterns) for name in names) for patterns, names in named):
        return False
    if not _hours(wide) >= _hours(narrow):
        return False
    return all(_implied(condition, narrow) for condition in wide.when)


def _may_meet(one: Rule, other: Rule) -> bool:
    """Whether the names of two rules overlap as far as globs tell."""
    named = ((getattr(one, name), getattr(other, name)) for name in _SCOPE)
    return all(
        any(_within(a, (b,)) or _within(b, (a,)) for a in names for b in others)
        for names, others in named
    )


_SCOPE = ("agents", "actions", "targets")


def _within(name: str, patterns: Iterable[str]) -> bool:
    """Whether all that a name or glob stands for is met by one of the patterns."""
    for pattern in patterns:
        if pattern == name or (not _is_glob(name) and fnmatchcase(name, pattern)):
            return True
        stem = pattern[:-1]
        if pattern.endswith("*") and not _is_glob(stem) and name.startswith(stem):
            return True
    return False


def _implied(condition: Condition, rule: Rule) -> bool:
    given = _on(condition.field, rule)
    samples = _samples([condition, *given])
    return bool(given) and all(
        _all_hold([condition], value) for value in samples if _all_hold(given, value)
    )


def _on(field: str, rule: Rule) -> list[Condition]:
    return [condition for condition in rule.when if condition.field == field]


def _all_hold(conditions: Iterable[Condition], value: Any) -> bool:
    return all(
        look(condition, {condition.field: value}, True).outcome == "holds"
        for condition in conditions
    )


def _samples(conditions: Iterable[Condition]) -> list[Any]:
    """Values among which each way is found to meet some of the conditions, and not the others."""
    operands: list[Any] = []
    for condition in conditions:
        more = condition.one_of if condition.one_of is not None else (condition.operand,)
        operands.extend(more)
    numbers = sorted(value for value in operands if type(value) in (int, float))
    between = [(low + high) / 2 for low, high in zip(numbers, numbers[1:], strict=False)]
    beyond = [numbers[0] - 1, numbers[-1] + 1] if numbers else [0]
    texts = [value for value in operands if isinstance(value, str)]
    return [True, False, *texts, "".join([*texts, "?"]), *numbers, *between, *beyond]


def _hours(rule: Rule) -> frozenset[datetime]:
    return _hours_of(rule.hours_utc, rule.weekdays)


@lru_cache(maxsize=1024)
def _hours_of(
    hours_utc: tuple[int, int] | None, weekdays: tuple[Weekday, ...] | None
) -> frozenset[datetime]:
    return frozenset(hour for hour in WEEK if holds_at(hours_utc, weekdays, hour))


def _is_everything(patterns: Iterable[str]) -> bool:
    return any(set(pattern) == {"*"} for pattern in patterns)


def _is_glob(name: str) -> bool:
    return any(mark in name for mark in "*?[")


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _problem(said: str, remedy: str, *rules: Rule) -> Complaint:
    ids = tuple(rule.id for rule in rules)
    return Complaint(level="problem", rules=ids, said=said, remedy=remedy)


def _warning(said: str, remedy: str, *rules: Rule) -> Complaint:
    ids = tuple(rule.id for rule in rules)
    return Complaint(level="warning", rules=ids, said=said, remedy=remedy)
