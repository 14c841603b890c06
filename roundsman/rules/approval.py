"""May an agent do this now: policy allows it, asks a person, or denies it, and says why."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    StringConstraints,
    model_validator,
)

from roundsman.errors import Mistake
from roundsman.rules.conditions import Condition, Look, look
from roundsman.rules.plain_text import clean_line
from roundsman.rules.reasons import Reason

Verdict = Literal["allow", "ask", "deny"]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
VERBS: dict[Verdict, str] = {"allow": "allows", "ask": "asks for", "deny": "denies"}

READ_VERBS = frozenset({"query", "fetch", "read", "get", "list", "search"})
DESTRUCTIVE = frozenset({"quarantine", "delete", "purge", "drop"})
# A name that joins two verbs does more than its first one says.
JOINING = frozenset({"and", "or", "then"})
# The floors that no file can loosen, by the names under which decisions give them.
READS, NEEDS_A_PERSON, UNNAMED = "built-in:reads", "built-in:needs-a-person", "built-in:unnamed"
NOBODY = "built-in:nobody"

EXPIRES_MINUTES_MAX = 60 * 24 * 30
RULES_MAX = 1_000
NAMES_MAX = 200
NAME_CHARACTERS_MAX = 200

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+")
_RUN = re.compile(r"[A-Z]+|[a-z]+")


def _seen_name(name: str) -> str:
    if not clean_line(name, NAME_CHARACTERS_MAX):
        raise ValueError("holds nothing that can be read")
    return name


def _whole_number(value: object) -> object:
    # True is 1 for Python, and 1.0 too: neither is a version.
    if type(value) is not int:
        raise ValueError("must be the number 1")
    return value


Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=NAME_CHARACTERS_MAX),
    AfterValidator(_seen_name),
]
Names = Annotated[tuple[Name, ...], Field(min_length=1, max_length=NAMES_MAX)]
Minutes = Annotated[StrictInt, Field(ge=1, le=EXPIRES_MINUTES_MAX)]
Hour = Annotated[StrictInt, Field(ge=0, le=24)]


class Frozen(BaseModel):
    """A frozen record that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Request(Frozen):
    """What an agent wants to do; the keys of `context` are free."""

    agent: str
    action: str
    target: str = ""
    mutates: bool = True
    context: dict[str, Any] = {}


class Decision(Frozen):
    """What policy says; `rule_id` names with a plus between them all rules that said so.

    An empty `approvers` means that anybody may answer.
    """

    verdict: Verdict
    rule_id: str
    reasons: tuple[Reason, ...]
    approvers: tuple[str, ...] = ()
    four_eyes: bool = False
    expires_minutes: int


class Defaults(Frozen):
    """How a request is answered where no rule that asks says otherwise."""

    expires_minutes: Minutes = 1440
    approvers: tuple[Name, ...] = Field(default=(), max_length=NAMES_MAX)
    four_eyes: bool = False


class Rule(Frozen):
    """One sentence of the policy: it matches where all that it names fits, globs included.

    `hours_utc` holds its first hour and ends before its second; from 22 to 6 goes over midnight.
    """

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    verdict: Verdict
    why: Annotated[str, StringConstraints(max_length=300)] = ""
    agents: Names = ("*",)
    actions: Names = ("*",)
    targets: Names = ("*",)
    when: tuple[Condition, ...] = Field(default=(), max_length=NAMES_MAX)
    hours_utc: tuple[Hour, Hour] | None = None
    weekdays: Annotated[tuple[Weekday, ...], Field(min_length=1)] | None = None
    approvers: Names | None = None
    four_eyes: bool | None = None
    expires_minutes: Minutes | None = None


class Policy(Frozen):
    """All rules of a file; their order means nothing."""

    version: Annotated[Literal[1], BeforeValidator(_whole_number)]
    defaults: Defaults = Defaults()
    rules: tuple[Rule, ...] = Field(default=(), max_length=RULES_MAX)

    @model_validator(mode="after")
    def _has_no_id_twice(self) -> Policy:
        ids = [rule.id for rule in self.rules]
        twice = next((name for name in ids if ids.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"the rule id '{twice}' is used twice")
        return self


class Seen(NamedTuple):
    """One rule, or built-in floor, as a request met it: whether it matched, and why."""

    rule_id: str
    verdict: Verdict
    matched: bool
    reasons: tuple[Reason, ...]


def decide(policy: Policy, request: Request, at: datetime) -> Decision:
    """The strictest rule that matches wins; the floors stand above every file.

    Raises Mistake for a time without a zone.
    """
    return judge(policy, explain(policy, request, at))


def explain(policy: Policy, request: Request, at: datetime) -> list[Seen]:
    """How the floors and every rule met a request, in the order of the file."""
    if at.tzinfo is None:
        raise Mistake(f"time '{at.isoformat()}' has no zone", "end it with Z")
    if is_read(request.action) and not request.mutates:
        return [_floor(READS, "allow", request, "only reads, which is always allowed")]
    seen = [_meet(rule, request, at.astimezone(UTC)) for rule in policy.rules]
    if is_destructive(request.action):
        said = "is never done without a person"
        seen.insert(0, _floor(NEEDS_A_PERSON, "ask", request, said))
    if not any(one.matched for one in seen):
        seen.append(_floor(UNNAMED, "ask", request, "is allowed by no rule, so a person is asked"))
    return seen


def judge(policy: Policy, seen: Iterable[Seen]) -> Decision:
    """What the rules that matched come to, as `explain` gives them."""
    matched = [one for one in seen if one.matched]
    said = [one.verdict for one in matched]
    verdict: Verdict = "deny" if "deny" in said else "ask" if "ask" in said else "allow"
    deciding = [one for one in matched if one.verdict == verdict]
    deciding.sort(key=lambda one: one.rule_id)
    decision = Decision(
        verdict=verdict,
        rule_id="+".join(one.rule_id for one in deciding),
        reasons=tuple(reason for one in deciding for reason in one.reasons),
        expires_minutes=policy.defaults.expires_minutes,
    )
    ids = {one.rule_id for one in deciding}
    asking = [rule for rule in policy.rules if rule.id in ids]
    return decision if verdict != "ask" else _with_answerers(policy.defaults, decision, asking)


def is_read(action: str) -> bool:
    """Whether a name alone says that an action only reads: `list_runs` does, not `get_or_make`."""
    words = words_of(action)
    if not words or words[0] not in READ_VERBS:
        return False
    return JOINING.isdisjoint(words) and not is_destructive(action)


def is_destructive(action: str) -> bool:
    """Whether a name holds one of the words that always need a person."""
    # DELETErows and HTTPDelete want another cut each.
    words = {*words_of(action), *words_of(action, _RUN)}
    return not DESTRUCTIVE.isdisjoint(words)


def words_of(action: str, cut: re.Pattern[str] = _WORD) -> list[str]:
    """The words of a name in lower case, cut at every mark and in camelCase."""
    plain = unicodedata.normalize("NFKC", action)
    # What nobody sees inside a word does not part it.
    plain = "".join(letter for letter in plain if unicodedata.category(letter) != "Cf")
    return [word.lower() for word in cut.findall(plain)]


def holds_at(
    hours_utc: tuple[int, int] | None, weekdays: tuple[Weekday, ...] | None, at: datetime
) -> bool:
    """Whether a time lies in a rule's hours and on its days; `at` is in UTC."""
    if weekdays is not None and WEEKDAYS[at.weekday()] not in weekdays:
        return False
    if hours_utc is None:
        return True
    first, end = hours_utc
    if first <= end:
        return first <= at.hour < end
    return at.hour >= first or at.hour < end


def _floor(name: str, verdict: Verdict, request: Request, said: str) -> Seen:
    quote = f"'{request.action}' {said}"
    return Seen(name, verdict, True, (Reason(signal=name, value=request.action, quote=quote),))


def _meet(rule: Rule, request: Request, at: datetime) -> Seen:
    named = (
        ("agent", rule.agents, request.agent),
        ("action", rule.actions, request.action),
        ("target", rule.targets, request.target),
    )
    for what, patterns, name in named:
        if not any(fnmatchcase(name, pattern) for pattern in patterns):
            said = f"{what} '{name}' is none of {', '.join(patterns)}"
            return Seen(rule.id, rule.verdict, False, (_reason(rule, name, None, said),))
    if not holds_at(rule.hours_utc, rule.weekdays, at):
        said = f"it is {_moment(at)}, outside {hours_of(rule)}"
        return Seen(rule.id, rule.verdict, False, (_reason(rule, _moment(at), None, said),))
    return _weigh(rule, request, at)


def _weigh(rule: Rule, request: Request, at: datetime) -> Seen:
    is_lenient = rule.verdict == "allow"
    looks = [look(condition, request.context, is_lenient) for condition in rule.when]
    # A rule that guards is not to be got round by a value of the wrong kind.
    fitting = {"holds"} if is_lenient else {"holds", "incomparable"}
    missed = [_reason_of(rule, one) for one in looks if one.outcome not in fitting]
    if missed:
        return Seen(rule.id, rule.verdict, False, tuple(missed))
    reasons = [_reason_of(rule, one) for one in looks]
    if hours_of(rule):
        said = f"it is {_moment(at)}, within {hours_of(rule)}"
        reasons.append(_reason(rule, _moment(at), hours_of(rule), said))
    if not reasons:
        reasons.append(_reason(rule, request.action, None, _naming(rule, request)))
    if rule.why:
        told = f"{reasons[-1].quote} ({rule.why})"
        reasons[-1] = reasons[-1].model_copy(update={"quote": told})
    return Seen(rule.id, rule.verdict, True, tuple(reasons))


def _naming(rule: Rule, request: Request) -> str:
    on = f" on '{request.target}'" if request.target and rule.targets != ("*",) else ""
    by = f" by '{request.agent}'" if rule.agents != ("*",) else ""
    return f"it {VERBS[rule.verdict]} '{request.action}'{on}{by}"


def _reason_of(rule: Rule, seen: Look) -> Reason:
    return _reason(rule, seen.value, seen.condition.threshold, seen.quote)


def _reason(rule: Rule, value: Any, threshold: Any, said: str) -> Reason:
    quote = f"rule '{rule.id}': {said}"
    return Reason(signal=rule.id, value=value, threshold=threshold, quote=quote)


def _moment(at: datetime) -> str:
    return f"{WEEKDAYS[at.weekday()]} {at:%H:%M} UTC"


def hours_of(rule: Rule) -> str:
    """Days and hours of a rule in words; "" where it holds at all times."""
    days = [", ".join(rule.weekdays)] if rule.weekdays else []
    hours = [f"{rule.hours_utc[0]:02}-{rule.hours_utc[1]:02} UTC"] if rule.hours_utc else []
    return " ".join(days + hours)


def _with_answerers(defaults: Defaults, decision: Decision, asking: list[Rule]) -> Decision:
    """Who may answer and how long: what satisfies every rule that asks.

    A default counts only where no such rule says otherwise.
    """
    named = [rule.approvers for rule in asking if rule.approvers is not None]
    approvers = common(named or [defaults.approvers])
    if named and not approvers:
        return _deny(decision, asking)
    minutes = [rule.expires_minutes for rule in asking if rule.expires_minutes is not None]
    eyes = [rule.four_eyes for rule in asking if rule.four_eyes is not None]
    return decision.model_copy(
        update={
            "approvers": approvers,
            "four_eyes": any(eyes) if eyes else defaults.four_eyes,
            "expires_minutes": min(minutes, default=defaults.expires_minutes),
        }
    )


def common(lists: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """The names that stand in every list, however their letters are spelled, sorted."""
    first, *rest = [{name.strip().lower() for name in names} for names in lists]
    return tuple(sorted(first.intersection(*rest)))


def _deny(decision: Decision, asking: list[Rule]) -> Decision:
    ids = ", ".join(sorted(rule.id for rule in asking if rule.approvers is not None))
    said = f"nobody may answer for all of the rules that ask ({ids})"
    reason = Reason(signal=NOBODY, value=ids, quote=said)
    told = {"verdict": "deny", "rule_id": f"{NOBODY}+{decision.rule_id}"}
    return decision.model_copy(update={**told, "reasons": (reason, *decision.reasons)})
