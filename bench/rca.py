"""How often does the analysis of failed agent runs name the right cause and step, and how fast?

The folder of runs with known causes is RCA_CORPUS, by default the one beside the checkout; without
it only the speed is measured. Each source has `<source>.dev.jsonl.gz` and its labels.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from math import exp, sqrt
from pathlib import Path
from typing import Any, NamedTuple

from bench.figures import Emitter, Figure, emitter, tell
from roundsman.rules.rca.alarms import judge_alarms
from roundsman.rules.rca.analysis import Analysis, analyze_run
from roundsman.rules.rca.counterfactual import rests_on_evidence
from roundsman.rules.rca.evidence import gate
from roundsman.rules.rca.records import AgentRun
from roundsman.rules.rca.report import build_report, report_bytes
from roundsman.rules.rca.turns import read_turns
from roundsman.rules.rca.weights import WEIGHTS

CORPUS = Path(os.environ.get("RCA_CORPUS") or Path(__file__).parents[2] / "shared/corpora/rca")
HUMAN = ("whoandwhen_alg", "whoandwhen_hand", "agentrx_tau", "agenterrorbench")
RANKED = (*HUMAN, "tracertraj")
INJECTED = "faultinject"
STEPS_OF_RUN = 130
# What weights are found with: rounds of gradient descent, its first step, the pull towards 0.
ROUNDS, RATE_OF_LEARNING, PULL = 150, 0.5, 0.004
LOSO_RATIO_MIN = 1.5


class Case(NamedTuple):
    """A run, its truth, and what the analysis says."""

    run: AgentRun
    label: dict[str, Any]
    analysis: Analysis

    @property
    def gold(self) -> dict[str, Any]:
        """What people, or those who put the fault in, say of it."""
        return self.label.get("gold") or {}

    @property
    def step(self) -> str | None:
        """The decisive step, where one is labelled."""
        index = self.gold.get("step_index")
        return self.gold.get("step_id") or (None if index is None else f"s{index:03d}")

    @property
    def agent(self) -> str | None:
        """Whose step it was, where that is labelled."""
        return self.gold.get("agent")

    @property
    def category(self) -> str | None:
        """Which of the eight categories people gave it."""
        return self.label.get("cat8") or self.label.get("category")


class Choice(NamedTuple):
    """One run's turns with their signs, and which of them was decisive (-1: none of them)."""

    signs: tuple[dict[str, float], ...]
    gold: int
    steps: int
    group: str


Weights = dict[str, float]


def main() -> int:
    """Measure everything that the machine has the data for."""
    out = emitter(__doc__ or "", runs=40, folds=5)
    measure_speed(out)
    if not CORPUS.exists():
        tell(f"no folder {CORPUS}: set RCA_CORPUS to measure how often the analysis is right")
        return out.exit_code()
    cases = {source: load(source) for source in (*RANKED, INJECTED)}
    measure_categories(out, cases)
    measure_evidence(out, [case for source in cases for case in cases[source]])
    for source in RANKED:
        measure_steps(out, source, cases[source])
    measure_loops(out, cases[INJECTED])
    choices = {source: list(map(choice_of, cases[source])) for source in RANKED}
    measure_unseen(out, choices)
    return out.exit_code()


def load(source: str) -> list[Case]:
    """Read a source's runs and analyse each by itself."""
    labels = {label["run_id"]: label for label in _lines(CORPUS / f"labels.{source}.dev.jsonl")}
    runs = read_runs(source)
    return [Case(run, labels[run.run_id], analyze_run(run)) for run in runs]


def read_runs(source: str) -> list[AgentRun]:
    """Read a source's runs."""
    with gzip.open(CORPUS / f"{source}.dev.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [AgentRun.model_validate_json(line) for line in lines]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def measure_categories(out: Emitter, cases: dict[str, list[Case]]) -> None:
    """The category of written faults, and claims where people say that it is none of them."""
    written = cases[INJECTED]
    right = [case.analysis.category == case.category for case in written]
    out.emit(_share("faultinject_category", right, 0.95))
    decoys = [c.analysis.category == c.label["decoy"] for c in written if c.label.get("decoy")]
    out.emit(_share("faultinject_decoy_named", decoys, 0.02, better="lower"))
    real = [case for source in HUMAN for case in cases[source] if case.category == "unknown"]
    claims = [case.analysis.category != "unknown" for case in real]
    out.emit(_share("claim_on_none", claims, 0.08, better="lower"))


def measure_evidence(out: Emitter, cases: Sequence[Case]) -> None:
    """Whether every citation stands in its run, carries its claim, and gives the same bytes."""
    dropped = sum(gate(case.run, case.analysis.hypotheses).dropped for case in cases)
    out.emit(Figure("fabricated_citations", dropped, "hypotheses", goal=0))
    rests = [rests_on_evidence(case.run, case.analysis) for case in cases]
    out.emit(_share("claims_gone_without_evidence", rests, 1.0))
    same = [
        report_bytes(build_report(case.run, case.analysis))
        == report_bytes(build_report(case.run, analyze_run(case.run)))
        for case in cases[::5]
    ]
    out.emit(_share("same_bytes", same, 1.0))


# Reached by others on the same sources, as the issue tells it: plain rules or a model.
PUBLISHED: dict[str, tuple[float, float]] = {
    "whoandwhen_alg": (0.51, 0.17),
    "whoandwhen_hand": (0.53, 0.09),
    "agentrx_tau": (0.73, 0.54),
    "tracertraj": (0.05, 0.02),
}
REACH: dict[str, tuple[float, float]] = {
    "whoandwhen_alg": (0.60, 0.45),
    "whoandwhen_hand": (0.55, 0.15),
    "tracertraj": (0.85, 0.43),
}


def measure_steps(out: Emitter, source: str, cases: Sequence[Case]) -> None:
    """Agent and exact step with the weights of the product, which were found on these runs."""
    told = [(case, case.analysis.decisive) for case in cases]
    agents = [first is not None and first.agent == c.agent for c, first in told if c.agent]
    steps = [first is not None and first.step_id == c.step for c, first in told if c.step]
    top = [c.step in [s.step_id for s in c.analysis.ranked[:3]] for c in cases if c.step]
    goals, floors = REACH.get(source, (None, None)), PUBLISHED.get(source, (None, None))
    out.emit(_share(f"{source}_agent", agents, goals[0], floors[0]))
    out.emit(_share(f"{source}_step", steps, goals[1], floors[1]))
    out.emit(_share(f"{source}_step_top3", top))


def measure_loops(out: Emitter, injected: Sequence[Case]) -> None:
    """The strict loop alarm on coding runs that went well, and on written loops."""
    labels = {label["run_id"]: label for label in _lines(CORPUS / "labels.miniswe.dev.jsonl")}
    good = [run for run in read_runs("miniswe") if labels[run.run_id].get("resolved")]
    out.emit(_share("loop_alarm_on_success", [_is_loop(run) for run in good], 0.01, better="lower"))
    loops = [_is_loop(case.run) for case in injected if case.category == "planner_loop"]
    out.emit(_share("loop_alarm_on_loops", loops, 0.97))


def _is_loop(run: AgentRun) -> bool:
    return any(alarm.kind == "loop" for alarm in judge_alarms(run))


def measure_unseen(out: Emitter, choices: dict[str, list[Choice]]) -> None:
    """Exact step with weights found on other runs: in folds, and on the other sources only."""
    folds = out.sizes["folds"]
    hits: dict[str, list[bool]] = defaultdict(list)
    for fold in range(folds):
        weights = fit([_outside(choices[source], fold, folds) for source in RANKED])
        for source in RANKED:
            inside = [one for one in choices[source] if _fold(one.group, folds) == fold]
            hits[source] += [_best(one, weights) == one.gold for one in inside]
    for source in RANKED:
        out.emit(_share(f"{source}_step_in_folds", hits[source]))
    for source in RANKED:
        weights = fit([choices[other] for other in RANKED if other != source])
        found = sum(_best(one, weights) == one.gold for one in choices[source])
        chance = sum(1 / one.steps for one in choices[source] if one.steps)
        figure, goal = f"{source}_step_from_other_sources", LOSO_RATIO_MIN
        out.emit(Figure(figure, found / chance, "x random", goal=goal, better="higher"))


def choice_of(case: Case) -> Choice:
    """What the weights are found from."""
    turns = read_turns(case.run)
    ids = [case.run.steps[turn.position].step_id for turn in turns]
    gold = ids.index(case.step) if case.step in ids else -1
    signs = tuple(
        {name: value for name, value in turn.signs.items() if name in WEIGHTS} for turn in turns
    )
    group = str(case.label.get("group") or case.run.run_id)
    return Choice(signs, gold, len(case.run.steps), group)


def _outside(choices: Iterable[Choice], fold: int, folds: int) -> list[Choice]:
    return [one for one in choices if _fold(one.group, folds) != fold]


def _fold(group: str, folds: int) -> int:
    return int(sha256(group.encode()).hexdigest(), 16) % folds


def _best(choice: Choice, weights: Weights) -> int:
    points = _points(choice, weights)
    return points.index(max(points)) if points else -2


def _points(choice: Choice, weights: Weights) -> list[float]:
    return [sum(weights.get(n, 0.0) * v for n, v in signs.items()) for signs in choice.signs]


def fit(sources: Sequence[Sequence[Choice]]) -> Weights:
    """Find the weights under which the decisive turns are likeliest; every source counts the same.

    Conditional logit by gradient descent with AdaGrad steps (J. Duchi et al., JMLR 12, 2011).
    """
    told = [[one for one in choices if one.gold >= 0] for choices in sources]
    weights: Weights = defaultdict(float)
    squares: Weights = defaultdict(float)
    for _ in range(ROUNDS):
        slope: Weights = defaultdict(float)
        for choices in told:
            for choice in choices:
                _add_slope(slope, choice, weights, 1 / len(choices) / len(told))
        for name, value in slope.items():
            pulled = value + PULL * weights[name]
            squares[name] += pulled * pulled
            weights[name] -= RATE_OF_LEARNING * pulled / (1e-3 + sqrt(squares[name]))
    return dict(weights)


def _add_slope(slope: Weights, choice: Choice, weights: Weights, share: float) -> None:
    points = _points(choice, weights)
    odds = [exp(point - max(points)) for point in points]
    whole = sum(odds)
    for turn, signs in enumerate(choice.signs):
        excess = odds[turn] / whole - (turn == choice.gold)
        for name, value in signs.items():
            slope[name] += share * excess * value


def measure_speed(out: Emitter) -> None:
    """One analysis of 130 steps with its report, and how the time grows with the steps."""
    run = made_run(STEPS_OF_RUN)
    times = sorted(_seconds(run) for _ in range(out.sizes["runs"]))
    p95 = times[max(0, round(0.95 * len(times)) - 1)]
    out.emit(Figure("run_p95_ms", p95 * 1000, "ms", goal=50))
    small, large = (min(_seconds(made_run(n)) for _ in range(3)) for n in (1_000, 10_000))
    out.emit(Figure("growth", large / small, "x for 10 x the steps", goal=12))


def _seconds(run: AgentRun) -> float:
    # It waits for nothing, so the processor's time is ours alone on a machine that others use too.
    start = time.process_time()
    report_bytes(build_report(run, analyze_run(run)))
    return time.process_time() - start


def made_run(steps: int) -> AgentRun:
    """A run whose every other step calls a tool and fails at the end."""
    said = "The orders of the day are 1,204; I assume that the rest is in the archive. " * 8
    calls = [
        {
            "call_id": f"c{n}",
            "step_id": f"s{n}",
            "tool_name": f"tool_{n % 7}",
            "args_json": {"n": n},
            "result_summary": said[: 100 + n % 90],
        }
        for n in range(0, steps, 2)
    ]
    calls[-1] |= {"status": "failure", "error_class": "TimeoutError", "result_summary": ""}
    told = [
        {"step_id": f"s{n}", "agent": f"agent_{n % 3}", "kind": "agent", "output_summary": said}
        for n in range(steps)
    ]
    made = {"run_id": "made", "status": "failure", "steps": told, "tool_calls": calls}
    return AgentRun.model_validate(made)


def _share(
    figure: str,
    hits: Iterable[bool],
    goal: float | None = None,
    floor: float | None = None,
    better: Any = "higher",
) -> Figure:
    told = list(hits)
    unit = f"of {len(told)}"
    return Figure(figure, sum(told) / max(1, len(told)), unit, floor, goal, better)


if __name__ == "__main__":
    sys.exit(main())
