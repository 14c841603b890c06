"""Who holds a run, a budget or a file is known at any moment, and nobody holds it for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from roundsman.errors import Fenced, Unready
from roundsman.store import Ledger, runs
from roundsman.store.leases import hold_file
from tests.store.words import ORG, Home, begin, change, child, rows, said


def test_an_enforced_budget_refuses_the_next_operation_exactly(ledger: Ledger) -> None:
    run_id = begin(ledger, budget_ops=3, budget_mode="enforce")
    spent = [runs.spend_operation(ledger, ORG, run_id, 1) for _ in range(5)]
    assert [(s.ok, s.ops_used, s.ops_limit) for s in spent] == [
        (True, 1, 3),
        (True, 2, 3),
        (True, 3, 3),
        (False, 3, 3),
        (False, 3, 3),
    ]


def test_a_budget_that_only_warns_counts_on(ledger: Ledger) -> None:
    run_id = begin(ledger, budget_ops=1)
    assert [runs.spend_operation(ledger, ORG, run_id, 1).ok for _ in range(3)] == [True] * 3


def test_many_threads_spend_no_operation_twice(ledger: Ledger) -> None:
    run_id = begin(ledger, budget_ops=20, budget_mode="enforce")
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(runs.spend_operation, ledger, ORG, run_id, 1) for _ in range(40)]
        answers = [future.result() for future in futures]
    assert sum(answer.ok for answer in answers) == 20
    assert sorted(a.ops_used for a in answers if a.ok) == list(range(1, 21))


def test_operations_are_kept_with_the_closed_run(ledger: Ledger) -> None:
    run_id = begin(ledger)
    for _ in range(2):
        runs.spend_operation(ledger, ORG, run_id, 1)
    runs.close_run(ledger, ORG, run_id, 1, runs.Closing(status="success"))
    assert runs.get_run(ledger, ORG, run_id).ops_count == 2


def test_renewing_moves_the_end_of_the_lease(ledger: Ledger) -> None:
    run_id = begin(ledger)
    change(ledger, "UPDATE run_leases SET expires_at = '2026-01-01T00:00:00.000000Z'")
    assert runs.renew(ledger, ORG, run_id, 1) is False
    (expires,) = rows(ledger, "SELECT expires_at FROM run_leases")
    assert not str(expires[0]).startswith("2026-01-01")
    with pytest.raises(Fenced):
        runs.renew(ledger, ORG, run_id, 2)


def test_a_file_is_held_by_one_at_a_time(open_home: Callable[[], Ledger]) -> None:
    first, second = open_home(), open_home()
    with hold_file(first, ORG, "warehouse.duckdb", 5):
        with (
            pytest.raises(Unready, match="file 'warehouse.duckdb' is in use by process"),
            hold_file(second, ORG, "warehouse.duckdb", 0.2),
        ):
            pass
        with hold_file(second, ORG, "other.duckdb", 0):
            pass
    with hold_file(second, ORG, "warehouse.duckdb", 0):
        pass


def test_who_waits_for_a_file_gets_it_when_it_is_free(ledger: Ledger) -> None:
    inside: list[int] = []
    overlaps: list[int] = []

    def use() -> None:
        with hold_file(ledger, ORG, "file", 20):
            inside.append(1)
            overlaps.append(len(inside))
            inside.pop()

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overlaps == [1] * 6


def test_a_killed_holder_gives_its_file_back_at_once(home: Home, ledger: Ledger) -> None:
    holder = child(
        home,
        "from roundsman.store.leases import hold_file\n"
        "with hold_file(open_ledger(url, key, anchors), 'default', 'file', 0):\n"
        "    print('held', flush=True)\n    sys.stdin.read()\n",
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(Unready), hold_file(ledger, ORG, "file", 0):
        pass
    holder.kill()
    # Not collected yet: a zombie holds nothing either.
    with hold_file(ledger, ORG, "file", 10):
        pass
    holder.communicate()


def test_an_operation_is_counted_across_processes(home: Home, ledger: Ledger) -> None:
    run_id = begin(ledger, budget_ops=30, budget_mode="enforce")
    code = (
        "ledger = open_ledger(url, key, anchors)\n"
        "ok = sum(runs.spend_operation(ledger, 'default', arguments[0], 1).ok for _ in range(20))\n"
        "print(json.dumps(ok))"
    )
    children = [child(home, code, run_id) for _ in range(2)]
    assert sum(said(process) for process in children) == 30
