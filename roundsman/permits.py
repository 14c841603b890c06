"""How a block gets the one right to change something outside, and says what became of it."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import wraps
from typing import Any, Concatenate, NamedTuple, ParamSpec, Protocol, TypeVar, cast

from pydantic import BaseModel, ConfigDict

from roundsman.envelope import Run, current
from roundsman.errors import Denied, Mistake, Refused, RoundsmanError, Unready
from roundsman.metrics import AGENT_ACTIONS_TOTAL
from roundsman.policy import load_policy, policy_hash
from roundsman.rules.approval import Decision, Request, decide
from roundsman.rules.permit import LostAnswer, may_claim, refusal_of
from roundsman.rules.reasons import Reason
from roundsman.store import actions
from roundsman.store.records import ActionRow, Claim, Json, Kept, Proposal, Settlement

P = ParamSpec("P")
R = TypeVar("R")
_DECLARED = "roundsman_effect"
# How decisions name the limits that a round sets for itself.
ROUND = "round"
# Settlements after which something may have happened outside.
COUNTED = frozenset({"done", "failed", "unknown"})
# How long a ledger that is away is waited for, once an effect has taken place.
SETTLE_WAITS_SECONDS = (0.5, 1.0, 2.0, 4.0)


class NotSent(Unready):
    """Nothing left this machine: the right to the effect was not used up."""

    @property
    def kind(self) -> str:
        """For steps and reports it is what it is elsewhere: try again."""
        return Unready.__name__


class Acting(Protocol):
    """What a block that changes the outside owes its permits; see blocks/acting.py."""

    def current_facts(self, names: tuple[str, ...]) -> Json:
        """What a permit's precondition is compared with, right before the effect."""
        ...

    def confirm(self, key: str) -> Any:
        """The effect's answer where the outside shows that it took place, else None.

        Refused, perhaps with a `result`, where it took place and failed.
        """
        ...

    def keep_for_undo(self, action: str, payload: Json, key: str) -> Json | None:
        """What would undo the effect, taken right before it; None where nothing could."""
        ...


class Declared(NamedTuple):
    """What a mutating method says of itself: its verb, and what a lost answer means."""

    action: str
    lost_answer: LostAnswer
    payload: Callable[[Mapping[str, Any]], Json]


class Wish(BaseModel):
    """Why an effect is wanted: on what, on which occasion, and under which conditions.

    The occasion names what makes this wish another one than yesterday's. `precondition` holds
    facts as the block's `current_facts` gives them. `limits`: `per_window`, `window_seconds`.
    `ask_because` is the round's own reason to ask a person where policy would allow it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: str
    occasion: Json
    precondition: Json = {}
    context: Json = {}
    limits: Json = {}
    undoes: str | None = None
    ask_because: Reason | None = None


class Permit:
    """The right to one effect, or the reason why there is none."""

    def __init__(self, run: Run, action: str, decision: Decision, row: ActionRow | None) -> None:
        self._run = run
        self.action = action
        self.decision = decision
        self.row = row

    @property
    def key(self) -> str:
        """The id of the permit, by which the outside can be asked for its effect."""
        return self.row.action_id if self.row else ""

    @property
    def state(self) -> str:
        """The permit's state, or `considered` where a dry run made none."""
        return self.row.state if self.row else "considered"

    @property
    def may_act(self) -> bool:
        """Whether the effect may be tried now."""
        return self.row is not None and may_claim(self.row.state, self.row.lost_answer)

    @property
    def judged(self) -> str:
        """What policy says of the effect, in one sentence."""
        why = "; ".join(reason.quote for reason in self.decision.reasons)
        return f"policy ({self.decision.rule_id}) says {self.decision.verdict}: {why}"

    @property
    def said(self) -> str:
        """Why the effect is allowed, asked for, denied, or past, in one sentence."""
        if self.row is None:
            manner = "a dry run" if self._run.dry_run else "a run that may not act"
            return f"{manner} changes nothing; {self.judged}"
        if self.may_act or self.row.state in ("waiting", "denied"):
            return self.judged if self.row.reviewed_by is None else _reviewed(self.row)
        return refusal_of(self.row.state, self.row.model_dump())

    def perform(self, block: Acting, declared: Declared, payload: Json, act: Callable[[], R]) -> R:
        """Claim, check the precondition, act, settle. Raises Denied where the permit is no use."""
        row = self.row
        if row is None:
            raise Denied(f"'{declared.action}' was not done: {self.said}")
        self._refuse_misuse(row, declared)
        answer = self._found(block, row)
        if answer is not None:
            return cast("R", answer)
        claim = Claim(action_id=row.action_id, payload_sha256=actions.payload_hash(payload))
        self.row = self._run.fenced(actions.claim, claim)
        self._prepare(block, row)
        try:
            answer = act()
        except RoundsmanError as error:
            self._settle(_after(error), str(error), getattr(error, "result", None))
            raise
        except BaseException as error:
            self._settle("unknown", f"{type(error).__name__}: {error}")
            raise
        self._settle("done", "", _told(answer))
        return answer

    def _refuse_misuse(self, row: ActionRow, declared: Declared) -> None:
        if (row.action, row.lost_answer) != (declared.action, declared.lost_answer):
            raise Denied(
                f"the permit for '{row.action}' is not one for '{declared.action}'",
                "propose what is to be done",
            )

    def _found(self, block: Acting, row: ActionRow) -> Any:
        """The answer of an effect that took place although its answer was lost."""
        if row.state != "unknown" or row.lost_answer != "askable":
            return None
        try:
            answer = block.confirm(row.action_id)
        except Refused as error:
            # It took place, and the answer was no.
            self._find("failed", str(error), getattr(error, "result", None))
            raise
        if answer is not None:
            self._find("done", "found outside after its answer was lost", _told(answer))
        return answer

    def _find(self, state: Any, said: str, result: Json | None) -> None:
        told = Settlement(action_id=self.key, state=state, said=said, result=result)
        self._run.fenced(actions.find_lost, told)
        self._count(state)
        self._refresh(state, said)

    def _prepare(self, block: Acting, row: ActionRow) -> None:
        """Look at the world once more, and keep what would undo the effect."""
        try:
            moved = _moved(row.precondition, block.current_facts(tuple(row.precondition)))
            kept = None if moved else block.keep_for_undo(row.action, row.payload, row.action_id)
        except BaseException as error:
            self._settle("allowed", f"not begun: {error}")
            raise
        if moved:
            self._settle("expired", moved)
            raise Denied(f"'{row.action}' on '{row.target}' was not done: {moved}")
        if kept is not None:
            told = Kept(action_id=row.action_id, undo=kept)
            self._run.fenced(actions.keep_undo, told)

    def _settle(self, state: Any, said: str, result: Json | None = None) -> None:
        told = Settlement(action_id=self.key, state=state, said=said, result=result)
        for wait in (*SETTLE_WAITS_SECONDS, None):
            try:
                self._run.fenced(actions.settle, told)
                break
            except Unready:
                # The effect is past, and what became of it is known here and nowhere else.
                if wait is None:
                    raise
                time.sleep(wait)
        self._count(state)
        self._refresh(state, said)

    def _count(self, state: str) -> None:
        # For the run and not for the try: a step that is tried again has acted all the same.
        if self.row is not None and state in COUNTED:
            self._run.counts.add(AGENT_ACTIONS_TOTAL, (self.row.action, state), (1.0,))

    def _refresh(self, state: Any, said: str) -> None:
        assert self.row is not None
        self.row = self.row.model_copy(update={"state": state, "said": said})


def effect(
    lost_answer: LostAnswer, payload: Callable[[Mapping[str, Any]], Json] | None = None
) -> Callable[[Callable[Concatenate[Any, P], R]], Callable[Concatenate[Any, P], R]]:
    """Declare that a block's method changes the outside, and what a lost answer means.

    `repeatable`: doing it again does no harm. `askable`: `confirm(key)` finds it outside. `once`:
    never again by itself. The method takes `permit` by keyword; its name is the action's verb.
    `payload` makes of the call's arguments the JSON that a permit is bound to; unset: all of them.
    """

    def decorate(method: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
        declared = Declared(method.__name__, lost_answer, payload or dict)

        @wraps(method)
        def acted(self: Any, *args: P.args, **kwargs: P.kwargs) -> R:
            permit = kwargs.get("permit")
            if not isinstance(permit, Permit):
                raise Denied(
                    f"'{declared.action}' changes the outside and was given no permit",
                    "propose it with roundsman.permits.ask_for",
                )
            told = _payload(declared, method, self, args, kwargs)
            return permit.perform(self, declared, told, lambda: method(self, *args, **kwargs))

        setattr(acted, _DECLARED, (declared, method))
        return acted

    return decorate


def declared_effects(kind: type[Any]) -> dict[str, Declared]:
    """The mutating methods of a block, by name."""
    found = ((name, getattr(getattr(kind, name), _DECLARED, None)) for name in dir(kind))
    return {name: told[0] for name, told in found if told}


def ask_for(method: Callable[..., Any], wish: Wish, *args: Any, **kwargs: Any) -> Permit:
    """Have policy judge a call of a block's mutating method, and store the permit of it.

    In a dry run only the judgement is noted. Asked again with the same occasion and payload it
    gives the same permit, whatever became of it. Raises Fenced.
    """
    run = current()
    declared, plain = _declared_of(method)
    payload = _payload(declared, plain, getattr(method, "__self__", None), args, kwargs)
    request = Request(
        agent=run.agent,
        action=declared.action,
        target=wish.target,
        context={"items": 1, "over_budget": run.purse.meter.status()["exceeded"]} | wish.context,
    )
    policy = load_policy()
    judged = decide(policy, request, datetime.now(UTC))
    decision = _floored(judged, wish.ask_because)
    facts: Json = {
        "request": request.model_dump(mode="json"),
        # Policy's own word, so that another policy can be compared with it.
        "decision": judged.model_dump(mode="json"),
        "policy_hash": policy_hash(policy),
    }
    if run.dry_run or not run.may_act:
        run.fenced(actions.consider, facts)
        return Permit(run, declared.action, decision, None)
    proposal = Proposal(
        agent=run.agent,
        round=run.round,
        action=declared.action,
        payload=payload,
        payload_sha256=actions.payload_hash(payload),
        lost_answer=declared.lost_answer,
        verdict=decision.verdict,
        policy_rule_id=decision.rule_id,
        policy_hash=facts["policy_hash"],
        reason="; ".join(reason.quote for reason in decision.reasons),
        requested_by=run.asked_by,
        approvers=list(decision.approvers),
        four_eyes=decision.four_eyes,
        expires_minutes=decision.expires_minutes,
        facts=facts,
        **wish.model_dump(exclude={"context", "ask_because"}),
        context=request.context,
    )
    return Permit(run, declared.action, decision, run.fenced(actions.propose, proposal))


def _floored(judged: Decision, because: Reason | None) -> Decision:
    if because is None or judged.verdict != "allow":
        return judged
    told = {"verdict": "ask", "rule_id": ROUND, "reasons": (because,)}
    return judged.model_copy(update=told)


def act(method: Callable[..., Any], wish: Wish, *args: Any, **kwargs: Any) -> Any:
    """Do what policy allows at once, by a permit; what was done before gives its answer again.

    Raises Denied where the effect is not allowed now, else what the method raises.
    """
    permit = ask_for(method, wish, *args, **kwargs)
    if permit.state == "done" and permit.row is not None:
        result = permit.row.result or {}
        return result.get("value", result)
    if not permit.may_act:
        raise Denied(f"'{permit.action}' on '{wish.target}' was not done: {permit.said}")
    return method(*args, permit=permit, **kwargs)


def _declared_of(method: Callable[..., Any]) -> tuple[Declared, Callable[..., Any]]:
    told = getattr(method, _DECLARED, None)
    if told is None:
        raise Mistake(f"{method!r} declares no effect", "decorate it with roundsman.permits.effect")
    return cast("tuple[Declared, Callable[..., Any]]", told)


def _payload(
    declared: Declared,
    method: Callable[..., Any],
    block: Any,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Json:
    bound = inspect.signature(method).bind_partial(block, *args, **kwargs)
    bound.apply_defaults()
    # Without the block itself and its permit: what is left is what will be done.
    told = dict(list(bound.arguments.items())[1:])
    told.pop("permit", None)
    return {name: _plain(value) for name, value in declared.payload(told).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, tuple | list | set | frozenset):
        return [_plain(part) for part in cast("tuple[Any, ...]", value)]
    return value


def _told(answer: Any) -> Json | None:
    if answer is None:
        return None
    plain = _plain(answer)
    return cast("Json", plain) if isinstance(plain, dict) else {"value": plain}


def _after(error: RoundsmanError) -> str:
    """What an error says of the effect: not begun, answered with no, or an answer that was lost."""
    if isinstance(error, NotSent):
        return "allowed"
    return "failed" if isinstance(error, Refused | Mistake | Denied) else "unknown"


def _moved(wanted: Json, found: Json) -> str:
    moved = [name for name, value in wanted.items() if found.get(name) != value]
    if not moved:
        return ""
    name = moved[0]
    return f"'{name}' was {wanted[name]!r} when it was proposed and is {found.get(name)!r} now"


def _reviewed(row: ActionRow) -> str:
    verb = "denied" if row.state == "denied" else "approved"
    return f"{verb} by {row.reviewed_by}{f': {row.review_note}' if row.review_note else ''}"
