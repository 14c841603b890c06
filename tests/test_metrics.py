"""What authors and the envelope count reaches the ledger once, and a scrape says it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from prefect.exceptions import Abort

from roundsman.agent import AgentParams, Outcome, agent, current, step
from roundsman.envelope import ledger_of
from roundsman.errors import Mistake, Unready
from roundsman.metrics import (
    AGENT_RUNS_TOTAL,
    CUSTOM_OPERATIONS_TOTAL,
    DECLARED,
    LABEL_CHARACTERS_MAX,
    RUN_SERIES_MAX,
    Counter,
    Histogram,
    Tally,
    collect,
    tally,
)
from roundsman.rules.exposition import Family
from roundsman.settings import get_settings
from roundsman.store import Ledger, runs
from roundsman.store.events import read_events
from roundsman.store.metrics import SERIES_MAX
from roundsman.store.records import AskedBy, Closing, Opening
from roundsman.store.verify import verify
from tests.agents import acting

ROWS_TOTAL = Counter("rows_moved_total", "Rows that were moved")
MAIL_BYTES = Histogram("mail_bytes", "How large mails are", ("folder",), (100, 1000.5))

run_home = pytest.mark.usefixtures("run_home")


def the_ledger() -> Ledger:
    return ledger_of(get_settings())


def scraped() -> dict[str, Family]:
    return {family.name: family for family in collect(the_ledger())}


def values(name: str) -> dict[str, float]:
    """The numbers of a family by the values of their labels, without the org."""
    found: dict[str, float] = {}
    for point in scraped()[name].points if name in scraped() else ():
        labels = [value for label, value in sorted(point.labels.items()) if label != "org"]
        found[point.suffix + ",".join(labels)] = point.value
    return found


def run(made: Any) -> Outcome:
    return asyncio.run(made.fn(None))


def counting(body: Any) -> Any:
    """An agent of one step with this body."""

    @agent(plan=("work",))
    async def worker(params: AgentParams) -> Outcome:
        await step(body).named("work")()
        return Outcome(verdict="healthy")

    return worker


@run_home
@pytest.mark.covers("A-091", "D-078")
def test_what_an_author_counts_is_scraped_after_the_run() -> None:
    def work() -> None:
        CUSTOM_OPERATIONS_TOTAL.labels(operation_type="sync", status="success").inc()
        CUSTOM_OPERATIONS_TOTAL.labels(operation_type="sync", status="success").inc(2)
        AGENT_RUNS_TOTAL.labels(agent_type="legacy", status="success").inc()
        ROWS_TOTAL.inc(500)
        for size in (100, 101, 5000):
            MAIL_BYTES.labels(folder="in").observe(size)

    run(counting(work))
    assert values("custom_operations_total") == {"sync,success": 3}
    assert values("rows_moved_total") == {"": 500}
    assert values("agent_runs_total")["legacy,success"] == 1
    assert values("agent_runs_total")["worker,success"] == 1
    assert values("mail_bytes") == {
        "_bucketin,100": 1,
        "_bucketin,1000.5": 2,
        "_bucketin,+Inf": 3,
        "_countin": 3,
        "_sumin": 5201,
    }
    assert verify(the_ledger(), "default").ok


@run_home
def test_a_step_that_is_tried_again_counts_once_and_its_retry_is_counted() -> None:
    tries: list[int] = []

    def work() -> None:
        tries.append(1)
        ROWS_TOTAL.inc(10)
        if len(tries) == 1:
            raise Unready("the other side did not answer", "wait")

    run(counting(work))
    assert len(tries) == 2
    assert values("rows_moved_total") == {"": 10}
    assert values("step_retries_total") == {"worker,work": 1}


@run_home
def test_what_the_last_try_counted_stays_although_it_failed() -> None:
    def work() -> None:
        CUSTOM_OPERATIONS_TOTAL.labels(operation_type="sync", status="failed").inc()
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run(counting(work))
    assert values("custom_operations_total") == {"sync,failed": 1}
    assert values("agent_runs_total")["worker,failed"] == 1


@run_home
def test_what_a_dead_attempt_counted_is_not_there_when_its_successor_has_counted_again() -> None:
    ids: list[str] = []

    def work() -> None:
        run = current()
        ids.append(run.id)
        ROWS_TOTAL.inc(10)
        ask = Opening(agent_type="worker", asked_by=AskedBy(kind="cli"))
        runs.open_attempt(run.ledger, run.org, run.id, ask, runs.this_holder())

    with pytest.raises(Abort):
        run(counting(work))
    assert values("rows_moved_total") == {}
    again = [{"name": "rows_moved_total", "labels": {}, "value": 10.0}]
    closing = Closing(status="success", counted=again)
    runs.close_run(the_ledger(), "default", ids[0], 2, closing)
    assert values("rows_moved_total") == {"": 10}


@run_home
def test_a_flow_counts_between_its_steps_and_a_run_inside_another_counts_for_itself() -> None:
    def work() -> None:
        ROWS_TOTAL.inc()

    inner = counting(work)

    @agent(plan=("work",))
    async def outer(params: AgentParams) -> Outcome:
        ROWS_TOTAL.inc(100)
        await inner.fn(None)
        ROWS_TOTAL.inc(100)
        return Outcome()

    run(outer)
    assert values("rows_moved_total") == {"": 201}
    ends = [
        event.payload["counted"][0]["value"]
        for event in read_events(the_ledger(), "default")
        if event.kind == "run_finished" and event.payload
    ]
    assert ends == [1, 200]


@run_home
def test_an_effect_is_counted_by_what_became_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1\nrules:\n  - {id: lines, verdict: allow, actions: [note]}\n")
    monkeypatch.setenv("ROUNDSMAN_POLICY", str(policy))
    get_settings.cache_clear()
    live = {"path": str(tmp_path / "lines"), "dry_run": False, "allow_actions": True}
    asyncio.run(acting.lining.fn(live))
    assert values("agent_actions_total") == {"note,done": 1}


def test_outside_of_a_run_nothing_is_counted_and_nothing_breaks() -> None:
    ROWS_TOTAL.inc()
    MAIL_BYTES.labels(folder="in").observe(3)


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (lambda: Counter("rows_moved", "x"), "another kind's name"),
        (lambda: Histogram("rows_total", "x"), "another kind's name"),
        (lambda: Counter("Rows_total", "x"), "cannot name a metric"),
        (lambda: Histogram("rows_count", "x"), "cannot name a metric"),
        (lambda: Histogram("agent_runs_open", "x"), "cannot name a metric"),
        (lambda: Counter("rows_moved_total", "x", ("one",)), "declared already"),
        (lambda: Histogram("mail_bytes", "x", ("folder",), (1,)), "declared already"),
        (lambda: Counter("x_total", "x", ("org",)), "cannot have labels"),
        (lambda: Counter("x_total", "x", tuple("abcdefg")), "cannot have labels"),
        (lambda: Histogram("x_seconds", "x", (), ()), "needs 1 to 30 edges"),
        (lambda: Histogram("x_seconds", "x", (), (2, 1)), "needs 1 to 30 edges"),
        (lambda: MAIL_BYTES.labels(box="in"), "has labels 'folder', not 'box'"),
        (lambda: ROWS_TOTAL.labels(x=1), "has labels none, not 'x'"),
        (lambda: ROWS_TOTAL.inc(-1), "cannot rise by -1"),
        (lambda: ROWS_TOTAL.inc(float("nan")), "cannot rise by nan"),
        (lambda: MAIL_BYTES.labels(folder="in").observe(float("inf")), "cannot take in inf"),
    ],
)
def test_what_is_no_metric_is_refused_where_it_is_written(declare: Any, said: str) -> None:
    with pytest.raises(Mistake, match=said):
        declare()


def test_the_same_declaration_may_be_read_twice() -> None:
    again = Counter("rows_moved_total", "Rows that were moved")
    mine = Tally()
    token = tally.set(mine)
    again.inc()
    ROWS_TOTAL.inc()
    tally.reset(token)
    assert [(one["name"], one["value"]) for one in mine.told()] == [("rows_moved_total", 2)]


def test_long_values_are_cut() -> None:
    assert MAIL_BYTES.key({"folder": "x" * 500}) == ("x" * LABEL_CHARACTERS_MAX,)


def test_a_run_has_a_limit_over_all_names() -> None:
    mine = Tally()
    names = [f"n{number}_total" for number in range(4)]
    for metric in [Counter(name, "x", ("label",)) for name in names]:
        for number in range(SERIES_MAX):
            mine.add(metric, (str(number),), (1.0,))
    told = mine.told()
    assert len(told) == RUN_SERIES_MAX + 2
    assert sum(one["value"] for one in told) == 4 * SERIES_MAX
    cut = [one["name"] for one in told if one["labels"] == {"label": "overflow"}]
    assert cut == names[2:]
    for name in names:
        del DECLARED[name]


def test_many_threads_count_into_one_tally() -> None:
    mine = Tally()

    def work() -> None:
        for _ in range(1000):
            mine.add(ROWS_TOTAL, (), (1.0,))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert mine.told()[0]["value"] == 8000


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """What is logged meanwhile."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("roundsman").addHandler(handler)
    yield lines
    logging.getLogger("roundsman").removeHandler(handler)


@run_home
def test_series_without_end_become_one_and_the_log_says_so(heard: list[str]) -> None:
    def work() -> None:
        for number in range(SERIES_MAX + 50):
            MAIL_BYTES.labels(folder=f"f{number}").observe(1)

    run(counting(work))

    def one_more() -> None:
        MAIL_BYTES.labels(folder="another").observe(1)
        MAIL_BYTES.labels(folder="f0").observe(1)

    run(counting(one_more))
    found = {name: v for name, v in values("mail_bytes").items() if name.startswith("_count")}
    assert len(found) == SERIES_MAX + 1
    assert found["_countoverflow"] == 51
    assert found["_countf0"] == 2
    sentence = (
        f"metric 'mail_bytes' has {SERIES_MAX} series, further ones are counted as 'overflow';"
        " use labels with fewer values"
    )
    assert [line for line in heard if "mail_bytes" in line] == [sentence] * 2
    assert verify(the_ledger(), "default").ok


@run_home
@pytest.mark.covers("A-085")
def test_an_agent_that_never_failed_has_a_zero_to_rise_from() -> None:
    run(counting(lambda: None))
    assert values("agent_runs_total") == {
        "worker,success": 1,
        "worker,failed": 0,
        "worker,cancelled": 0,
    }


@run_home
@pytest.mark.covers("A-086")
def test_every_bucket_is_told_also_those_that_took_nothing_in() -> None:
    run(counting(lambda: None))
    edges = ["1", "5", "10", "30", "60", "120", "300", "600", "+Inf"]
    found = values("agent_run_duration_seconds")
    assert [found[f"_bucketworker,{edge}"] for edge in edges] == [1] * 9
