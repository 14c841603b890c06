"""What can be seen of each turn of a run that could have been the decisive one."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from math import log
from typing import Literal, NamedTuple

from roundsman.rules.rca.records import AgentRun, Step, ToolCall

Shape = Literal["led", "chat", "team", "talk", "solo"]
# Of a long text the beginning and the end are read.
HEAD_CHARACTERS = 3_000
TAIL_CHARACTERS = 1_000
# Kinds of steps that decide nothing by themselves.
PASSIVE = frozenset({"system", "executor"})
USER = "user"
LED = "orchestrator"

ASSUMES = re.compile(
    r"\b(?:assum\w*|simulat\w*|hypothe\w*|placeholders?|sample data|mock|example data|let's say"
    r"|generally|typical(?:ly)?|general knowledge|approximate\w*|estimate[sd]?|likely"
    r"|known (?:data|information))\b",
    re.IGNORECASE,
)
GIVES_UP = re.compile(
    r"\b(?:unable|cannot|can't|could not|couldn't|not (?:able|available|found|provided)"
    r"|did not (?:find|yield|return|provide)|no (?:results?|information|data)|failed"
    r"|unfortunately|manual(?:ly)?)\b",
    re.IGNORECASE,
)
CONCLUDES = re.compile(
    r"\b(?:TERMINATE|FINAL ANSWER|final answer|task (?:has been|is) (?:complete|solved)"
    r"|request satisfied|successfully)\b"
)
_ANSWERS = re.compile(
    r"\b(?:answer is|therefore|thus|in conclusion|final (?:result|answer)|conclude)\b",
    re.IGNORECASE,
)
_TELLS = re.compile(
    r"\b(?:here (?:is|are)|based on (?:the|my)|according to|as follows)\b", re.IGNORECASE
)
_VERIFIES = re.compile(r"\b(?:verif\w+|confirm\w*|validat\w+|double-?check\w*)\b", re.IGNORECASE)
_CODE = re.compile(r"```|\bdef \w+\(|^import ", re.MULTILINE)
_NUMBER = re.compile(r"\d")
_NO_WORDS = re.compile(r"\W*(?:TERMINATE|exit|stop)?\W*", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z][A-Za-z']{3,}")


_PATTERNS = {
    "answers": _ANSWERS,
    "assumes": ASSUMES,
    "code": _CODE,
    "concludes": CONCLUDES,
    "gives_up": GIVES_UP,
    "tells": _TELLS,
    "verifies": _VERIFIES,
}
# What is a sign of its own, and what only where no call backs it.
_PLAIN = ("assumes", "code", "concludes", "gives_up")
_UNBACKED = ("answers", "assumes", "tells", "verifies")


class Turn(NamedTuple):
    """A step that may have decided, and what speaks for or against it (1.0 for a plain yes)."""

    position: int
    signs: dict[str, float]


class _Words(NamedTuple):
    """A text and which of the patterns stand in it."""

    text: str
    found: set[str]


class _Scene(NamedTuple):
    """What the signs of a turn are seen against."""

    run: AgentRun
    shape: Shape
    calls: dict[str, list[ToolCall]]
    answered: dict[str, bool]
    acting: tuple[int, ...]
    speaking: tuple[int, ...]
    opener: str
    most_active: str
    asked: frozenset[str]


def shape_of(run: AgentRun) -> Shape:
    """How the run's agents work together: `led` by an orchestrator, in a `chat` with a user, as a
    `team` with tools, in `talk` alone, or `solo`."""
    kinds = Counter(step.kind for step in run.steps)
    if any(kind.startswith(LED) for kind in kinds):
        return "led"
    if kinds[USER] > 1:
        return "chat"
    agents = {step.agent for step in run.steps if step.kind not in (*PASSIVE, USER)}
    if len(agents) < 2:
        return "solo"
    return "team" if run.tool_calls else "talk"


def read_turns(run: AgentRun) -> tuple[Turn, ...]:
    """Every step but those of the system and of what executes calls, with its signs."""
    scene = _set_scene(run)
    seen: set[str] = set()
    texts: set[str] = set()
    turns: list[Turn] = []
    has_called = gave_up = False
    for position, step in enumerate(run.steps):
        text = shorten(step.output_summary)
        if step.kind in PASSIVE or step.kind == USER:
            if step.kind == USER:
                turns.append(Turn(position, _signs_of_user(position, len(run.steps))))
            gave_up = GIVES_UP.search(text) is not None
            continue
        words = _Words(text, {name for name, word in _PATTERNS.items() if word.search(text)})
        signs = {
            **_signs_of_place(scene, position, step),
            **_signs_of_agent(scene, step, seen),
            **_signs_of_text(words),
            **_signs_of_calls(scene, step, has_called, words),
            **_signs_of_before(scene, position, gave_up),
        }
        if text and text in texts:
            signs["repeats"] = 1.0
        texts.add(text)
        seen.add(step.agent)
        has_called, gave_up = has_called or step.step_id in scene.calls, "gives_up" in words.found
        turns.append(Turn(position, _with_shape(signs, scene.shape)))
    return tuple(turns)


def acting_turns(run: AgentRun) -> tuple[int, ...]:
    """The places of the steps in which an agent had its turn."""
    return tuple(
        i for i, step in enumerate(run.steps) if step.kind not in PASSIVE and step.kind != USER
    )


def last_turn(run: AgentRun) -> int:
    """Where an agent spoke last; 0 where none did."""
    return max(acting_turns(run), default=0)


def shorten(text: str) -> str:
    """The beginning and the end of a text, joined by a new line where something is left out."""
    if len(text) <= HEAD_CHARACTERS + TAIL_CHARACTERS:
        return text
    return f"{text[:HEAD_CHARACTERS]}\n{text[-TAIL_CHARACTERS:]}"


def _set_scene(run: AgentRun) -> _Scene:
    calls: dict[str, list[ToolCall]] = defaultdict(list)
    for call in run.tool_calls:
        calls[call.step_id].append(call)
    acting = acting_turns(run)
    opener = run.steps[acting[0]].agent if acting else ""
    others = Counter(run.steps[i].agent for i in acting if run.steps[i].agent != opener)
    first_input = run.steps[0].input_summary if run.steps else ""
    return _Scene(
        run=run,
        shape=shape_of(run),
        calls=dict(calls),
        answered={call.result_step_id: not call.failed for call in run.tool_calls},
        acting=acting,
        speaking=tuple(i for i in acting if not _is_silent(run.steps[i].output_summary)),
        opener=opener,
        most_active=min(others, key=lambda agent: (-others[agent], agent), default=opener),
        asked=_words(shorten(run.task or first_input)),
    )


def _is_silent(text: str) -> bool:
    return len(text) <= 40 and _NO_WORDS.fullmatch(text) is not None


def _words(text: str) -> frozenset[str]:
    return frozenset(word.lower() for word in _WORD.findall(text))


def _signs_of_user(position: int, of: int) -> dict[str, float]:
    signs = {"user": 1.0, "user_late": position / of}
    return {**signs, "user_opens": 1.0} if position <= 2 else signs


def _signs_of_place(scene: _Scene, position: int, step: Step) -> dict[str, float]:
    order = _index(scene.acting, position) + 1
    signs = {"order_log": log(order), "order_share": order / len(scene.acting)}
    if order == 1:
        signs["opens"] = 1.0
        heard = _words(shorten(step.output_summary))
        signs["off_task"] = 1 - len(scene.asked & heard) / len(scene.asked) if scene.asked else 1.0
    if order == 2:
        signs["second"] = 1.0
    if scene.speaking and position == scene.speaking[-1]:
        signs["last"] = 1.0
    if len(scene.speaking) > 1 and position == scene.speaking[-2]:
        signs["last_but_one"] = 1.0
    return signs


def _index(places: tuple[int, ...], position: int) -> int:
    """Where the position stands in an ascending row that holds it."""
    low, high = 0, len(places)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if places[middle] < position else (low, middle)
    return low


def _signs_of_agent(scene: _Scene, step: Step, seen: set[str]) -> dict[str, float]:
    if scene.most_active == scene.opener:
        return {}
    if step.agent == scene.opener:
        return {"opener": 1.0}
    signs: dict[str, float] = {}
    if step.agent == scene.most_active:
        signs["most_active"] = 1.0
    if step.agent not in seen:
        signs["new_agent"] = 1.0
        if seen <= {scene.opener}:
            signs["first_worker"] = 1.0
        if step.agent == scene.most_active:
            signs["most_active_begins"] = 1.0
    return signs


def _signs_of_text(words: _Words) -> dict[str, float]:
    signs = {"length": log(1 + len(words.text)) / 10}
    return signs | {name: 1.0 for name in _PLAIN if name in words.found}


def _signs_of_calls(scene: _Scene, step: Step, has_called: bool, words: _Words) -> dict[str, float]:
    if step.step_id in scene.calls:
        return {"calls": 1.0} if has_called else {"calls": 1.0, "first_call": 1.0}
    # Code tells what it will look up, and not what it knows.
    found = words.found - {"tells"} if "code" in words.found else words.found
    signs = {f"{name}_without_call": 1.0 for name in _UNBACKED if name in found}
    has_words = not _is_silent(words.text)
    if has_called and step.kind == "agent" and has_words and _NUMBER.search(words.text):
        signs["reads_out"] = 1.0
    return signs


def _signs_of_before(scene: _Scene, position: int, gave_up: bool) -> dict[str, float]:
    signs = {"after_giving_up": 1.0} if gave_up else {}
    before = scene.run.steps[position - 1] if position else None
    if before and before.kind == "executor" and before.step_id in scene.answered:
        answered = scene.answered[before.step_id]
        signs["after_answer" if answered else "after_failure"] = 1.0
    return signs


def _with_shape(signs: dict[str, float], shape: Shape) -> dict[str, float]:
    """Each sign twice: what it says in every run, and what it says in runs of this shape."""
    return signs | {f"{shape}.{name}": value for name, value in signs.items()}
