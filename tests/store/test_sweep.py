"""A run whose process died is closed by the next one who looks, once, and with what was true."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from roundsman.errors import Fenced
from roundsman.store import Ledger, open_ledger, runs
from roundsman.store.events import read_events
from roundsman.store.holders import holder_of, is_dead, process_started, this_holder, this_host
from roundsman.store.leases import RUN_LEASE_SECONDS
from roundsman.store.records import Closing, Holder, Note, StepBegin
from roundsman.store.sweep import sweep
from roundsman.store.tables import instant_text
from tests.store.words import (
    ORG,
    Home,
    ask,
    begin,
    change,
    child,
    eventually,
    opening,
    queue,
    rows,
    step,
)

PAST = "2026-01-01T00:00:00.000000Z"
EXPIRED = f"UPDATE run_leases SET expires_at = '{PAST}'"
# As if the holder, which is this very process, were on another machine.
AWAY = "UPDATE run_leases SET host = 'another-machine/boot/1'"
ELSEWHERE = Holder("another-machine/boot/1", 4711, "99")


def test_nothing_alive_is_swept(ledger: Ledger) -> None:
    begin(ledger)
    queue(ledger)
    assert sweep(ledger) == []


def test_an_expired_lease_of_another_machine_is_closed_as_crashed(ledger: Ledger) -> None:
    run_id = str(uuid.uuid4())
    runs.open_attempt(ledger, ORG, run_id, opening(), ELSEWHERE)
    runs.begin_step(ledger, ORG, run_id, 1, StepBegin(index=0, name="query"))
    assert sweep(ledger) == []
    change(ledger, EXPIRED)
    (swept,) = sweep(ledger)
    assert (swept.run_id, swept.attempt, swept.last_step) == (run_id, 1, "query")
    row = runs.get_run(ledger, ORG, run_id)
    assert (row.status, row.error["type"], row.error["step"]) == ("crashed", "Crashed", "query")
    assert "process 4711 on 'another-machine' stopped renewing its lease" in row.error_message
    assert runs.steps(ledger, ORG, run_id)[0].status == "crashed"
    assert row.duration_seconds is not None
    assert runs.unsettled(ledger)[0].run_id == run_id


def test_a_run_that_was_declared_dead_and_wakes_up_can_write_nothing(ledger: Ledger) -> None:
    run_id = begin(ledger)
    change(ledger, EXPIRED, AWAY)
    assert len(sweep(ledger)) == 1
    for write in (
        lambda: runs.renew(ledger, ORG, run_id, 1),
        lambda: runs.note(ledger, ORG, run_id, 1, Note(kind="gap")),
        lambda: runs.close_run(ledger, ORG, run_id, 1, Closing(status="success")),
    ):
        with pytest.raises(Fenced):
            write()
    assert runs.get_run(ledger, ORG, run_id).status == "crashed"


def test_a_killed_process_is_seen_at_once_long_before_its_lease_ends(
    home: Home, ledger: Ledger
) -> None:
    run_id = str(uuid.uuid4())
    victim = child(
        home,
        "ledger = open_ledger(url, key, anchors)\nrun_id = arguments[0]\n"
        "runs.queue_run(ledger, 'default', run_id, ask(), runs.this_holder())\n"
        "runs.open_attempt(ledger, 'default', run_id, opening(), runs.this_holder())\n"
        "runs.begin_step(ledger, 'default', run_id, 1, StepBegin(index=0, name='query'))\n"
        "print('inside', flush=True)\nsys.stdin.read()\n",
        run_id,
    )
    assert victim.stdout is not None
    assert victim.stdout.readline() == "inside\n"
    assert sweep(ledger) == []
    victim.kill()
    eventually(lambda: len(sweep(ledger)) == 1)
    victim.communicate()
    row = runs.get_run(ledger, ORG, run_id)
    assert (row.status, row.error["step"]) == ("crashed", "query")
    assert "is gone; it died in step 'query'" in row.error_message


def test_whoever_opens_the_ledger_sweeps(ledger: Ledger, open_home: Callable[[], Ledger]) -> None:
    run_id = begin(ledger)
    change(ledger, EXPIRED, AWAY)
    assert runs.get_run(open_home(), ORG, run_id).status == "crashed"


def test_a_reused_process_id_is_told_apart_by_its_start(ledger: Ledger) -> None:
    run_id = begin(ledger)
    change(ledger, "UPDATE run_leases SET process_started = '12345'")
    assert [swept.run_id for swept in sweep(ledger)] == [run_id]


def test_a_queued_run_is_swept_when_its_child_died_and_left_when_it_waits_for_a_worker(
    ledger: Ledger,
) -> None:
    gone = subprocess.Popen(["true"])
    holder = holder_of(gone.pid)
    gone.wait()
    dead, waiting = queue(ledger, holder=holder._replace(started="1")), str(uuid.uuid4())
    runs.queue_run(ledger, ORG, waiting, ask(), None)
    assert [(swept.run_id, swept.attempt) for swept in sweep(ledger)] == [(dead, 0)]
    assert "died before its first step" in runs.get_run(ledger, ORG, dead).error_message
    change(ledger, EXPIRED)
    assert sweep(ledger) == []
    assert runs.get_run(ledger, ORG, waiting).status == "queued"


def test_a_queued_run_whose_child_lives_may_wait_as_long_as_it_must(ledger: Ledger) -> None:
    queue(ledger)
    away = queue(ledger, holder=ELSEWHERE)
    change(ledger, EXPIRED)
    assert [swept.run_id for swept in sweep(ledger)] == [away]


def test_two_sweepers_at_once_close_a_run_once(ledger: Ledger) -> None:
    made = [begin(ledger) for _ in range(10)]
    change(ledger, EXPIRED, AWAY)
    other = open_ledger(
        ledger.url.render_as_string(hide_password=False), ledger.key_path, sweep=False
    )
    with ThreadPoolExecutor(4) as pool:
        swept = [f.result() for f in [pool.submit(sweep, w) for w in (ledger, other) * 2]]
    assert sorted(one.run_id for some in swept for one in some) == sorted(made)
    ends = [e for e in read_events(ledger, ORG) if e.kind == "run_failed"]
    assert len(ends) == len(made)


def test_the_last_step_is_the_one_that_was_running(ledger: Ledger) -> None:
    run_id = begin(ledger)
    runs.begin_step(ledger, ORG, run_id, 1, StepBegin(index=0, name="slow"))
    step(ledger, run_id, 1)
    change(ledger, EXPIRED, AWAY)
    assert sweep(ledger)[0].last_step == "slow"


def test_a_run_renewed_just_in_time_is_spared(ledger: Ledger) -> None:
    run_id = begin(ledger)
    change(ledger, EXPIRED)
    runs.renew(ledger, ORG, run_id, 1)
    assert sweep(ledger) == []
    assert rows(ledger, "SELECT count(*) FROM run_leases WHERE closed")[0][0] == 0


def test_no_process_sweeps_its_own_run(ledger: Ledger) -> None:
    run_id = begin(ledger)
    change(ledger, EXPIRED)
    assert sweep(ledger) == []
    runs.renew(ledger, ORG, run_id, 1)


def test_a_process_that_is_seen_to_live_is_called_hung_only_one_lease_later(
    ledger: Ledger,
) -> None:
    other = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    try:
        run_id = str(uuid.uuid4())
        runs.open_attempt(ledger, ORG, run_id, opening(), holder_of(other.pid))
        for late, swept in ((RUN_LEASE_SECONDS - 10, []), (RUN_LEASE_SECONDS + 1, [run_id])):
            at = instant_text(datetime.now(UTC) - timedelta(seconds=late))
            change(ledger, f"UPDATE run_leases SET expires_at = '{at}'")
            assert [one.run_id for one in sweep(ledger)] == swept
    finally:
        other.communicate()


def test_a_process_knows_itself_and_is_gone_when_it_ended() -> None:
    me = this_holder()
    assert me == this_holder()
    assert not is_dead(me)
    assert is_dead(me._replace(started="0"))
    assert not is_dead(Holder("elsewhere", me.pid, "0"))
    ended = subprocess.Popen(["true"])
    eventually(lambda: process_started(ended.pid) is None)
    assert is_dead(Holder(this_host(), ended.pid, "1"))
    ended.wait()
