"""Which steps are told as those that could have decided a run."""

from __future__ import annotations

import pytest

from roundsman.rules.rca.ranking import put_first, rank_steps
from roundsman.rules.rca.turns import read_turns, shape_of
from roundsman.rules.rca.weights import WEIGHTS
from tests.rules.rca.runs import TIMED_OUT, Part, call, run_of, step

TEAM = run_of(
    step(0, "Find out how many people lived there in 1920.", agent="lead", input_summary="people"),
    step(1, "I assume a sample of 500 people.\n```\nprint(500)\n```", agent="coder"),
    step(2, "exitcode: 0, output 500", agent="terminal", kind="executor"),
    step(3, "The answer is 500.\nTERMINATE", agent="checker"),
    step(4, "TERMINATE", agent="lead"),
    call(1, result_step_id="s2"),
)


def test_the_scores_of_all_steps_add_up_to_one_and_fall() -> None:
    ranked = rank_steps(TEAM)
    assert sum(step.score for step in ranked) == pytest.approx(1, abs=0.001)
    assert [step.score for step in ranked] == sorted((s.score for s in ranked), reverse=True)
    assert {step.step_id for step in ranked} == {"s0", "s1", "s3", "s4"}


def test_code_on_assumed_facts_stands_before_a_bare_end() -> None:
    ranked = [step.step_id for step in rank_steps(TEAM)]
    assert ranked.index("s1") < ranked.index("s4")


def test_of_equals_the_earlier_stands_first() -> None:
    ranked = rank_steps(TEAM, weights={})
    assert [step.step_id for step in ranked] == ["s0", "s1", "s3", "s4"]
    assert all(step.score == 0.25 for step in ranked)


def test_a_step_put_in_front_leaves_the_rest_to_the_others() -> None:
    ranked = put_first(rank_steps(TEAM), 2, TEAM, 0.7)
    assert (ranked[0].step_id, ranked[0].score) == ("s2", 0.7)
    assert sum(step.score for step in ranked) == pytest.approx(1, abs=0.001)
    assert put_first((), 0, run_of(), 0.7) == ()


def turns(*steps: Part) -> str:
    return shape_of(run_of(*steps))


def test_a_run_has_the_shape_of_who_speaks_in_it() -> None:
    user = step(1, kind="user", agent="user")
    assert turns(step(1), step(2, kind="orchestrator_thought")) == "led"
    assert turns(user, step(2), user | {"step_id": "s3"}) == "chat"
    assert turns(step(1), call(1), step(2, agent="other")) == "team"
    assert turns(step(1), step(2, agent="other")) == "talk"
    assert turns(user, step(2), call(2)) == turns() == "solo"


def test_every_weight_belongs_to_a_sign_that_some_turn_can_have() -> None:
    plain = {name.rpartition(".")[2] for name in WEIGHTS}
    failing = run_of(
        step(0, "Hello there", kind="user", agent="user"),
        step(1, "Task failed successfully? I verify the number 5, unable to go on", agent="lead"),
        step(2, "I assume ```code``` 5", agent="coder"),
        step(3, "error", kind="executor"),
        step(4, "ok, could not do it, 7 of 8", agent="coder"),
        step(5, "ok, could not do it, 7 of 8", agent="coder"),
        step(6, "Here is what I assume, I confirm the 8", agent="other"),
        call(2, result_step_id="s3", **TIMED_OUT),
    )
    seen = {name for run in (failing, TEAM) for turn in read_turns(run) for name in turn.signs}
    assert plain <= {name.rpartition(".")[2] for name in seen}
