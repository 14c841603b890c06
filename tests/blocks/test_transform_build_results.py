"""What dbt's files and the end of its process say of a build, without a dbt."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from blocks.transform.artifacts import Manifest, RunResults
from blocks.transform.build import what_became
from blocks.transform.child import Finished
from roundsman.errors import Misread, Refused, Unready
from roundsman.permits import NotSent


def results(nodes: int, statuses: dict[str, str], key: str = "k") -> RunResults:
    told = {
        "metadata": {
            "generated_at": "2026-11-21T06:00:00Z",
            "env": {"ROUNDSMAN_ACTION": key, "ROUNDSMAN_NODES": str(nodes)},
        },
        "args": {"which": "build"},
        "elapsed_time": 4.321,
        "results": [{"unique_id": name, "status": status} for name, status in statuses.items()],
    }
    return RunResults.model_validate_json(json.dumps(told))


GOOD = {"model.c.a": "success", "test.c.t.1": "pass", "seed.c.s": "success"}


def test_results_of_the_key_tell_the_build() -> None:
    told = results(2, GOOD).build_of("k")
    assert told
    assert (told.success, told.nodes, told.nodes_built, told.models_run) == (True, 2, 2, 1)
    assert told.ended_at == datetime(2026, 11, 21, 6, tzinfo=UTC)
    assert results(2, GOOD).build_of("other") is None


def test_an_interrupted_build_left_fewer_results_than_it_had_nodes_and_did_not_end() -> None:
    assert results(3, GOOD).build_of("k") is None


def test_a_test_that_fails_makes_no_success() -> None:
    told = results(2, GOOD | {"test.c.t.1": "fail"}).build_of("k")
    assert told
    assert (told.success, told.nodes_built, told.tests_failed) == (False, 2, 1)
    assert told.said == "2 of 2 nodes were built, and test 't' ended as fail"


@pytest.mark.parametrize(
    ("code", "begun", "said", "error"),
    [
        (-9, False, "", Unready),
        (1, True, "Compilation Error", Unready),
        (2, False, "Compilation Error", Refused),
        (2, False, "could not set lock on file", NotSent),
        (0, False, "", Misread),
    ],
)
def test_an_end_without_results_is_unknown_only_where_something_may_have_been_built(
    code: int, begun: bool, said: str, error: type[Exception]
) -> None:
    with pytest.raises(error) as told:
        what_became("dbt build of 'x'", Finished(code, [], said or None, begun), None)
    assert type(told.value) is error


def test_a_hook_that_fails_after_everything_was_built_is_a_failure() -> None:
    built = results(2, GOOD).build_of("k")
    with pytest.raises(Refused, match="built everything, and then failed: on-run-end"):
        what_became("dbt build of 'x'", Finished(1, [], "on-run-end", True), built)


def test_nodes_downstream_are_followed_through_every_kind_and_around_no_circle() -> None:
    children = {"seed.c.s": ["model.c.a"], "model.c.a": ["model.c.b", "test.c.t"]}
    manifest = Manifest(nodes={}, child_map=children | {"model.c.b": ["seed.c.s"]})
    assert manifest.downstream(["model.c.a"]) == {"model.c.b", "seed.c.s", "test.c.t"}
