"""Whether the tables that people query say what the events say, row by row and column by column."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from roundsman.errors import Misread
from roundsman.store import audit, metrics
from roundsman.store.driver import Connection
from roundsman.store.engine import Ledger
from roundsman.store.events import ENDS
from roundsman.store.keyed_check import KEYED_KINDS, KeyedRows
from roundsman.store.projection import Happening, Row, apply, left_behind

PROBLEMS_MAX = 20
RUNS_AT_ONCE = 200
ROWS_AT_ONCE = 5000
VALUE_CHARACTERS_MAX = 60

_EVENTS = (
    "SELECT seq, run_id, attempt, kind, at, payload FROM events WHERE org_id = :org ORDER BY seq"
)
_STEPS = (
    "SELECT run_id, attempt, step_index, name, tries, status, {text(began_at)}, {text(ended_at)},"
    " seconds, error FROM steps WHERE org_id = :org AND run_id"
)
_ARTIFACTS = (
    "SELECT run_id, path, state, bytes, sha256, {text(intended_at)}, {text(written_at)}"
    " FROM artifacts WHERE org_id = :org AND run_id"
)
_STRAY = (
    "SELECT DISTINCT run_id FROM {table} AS p WHERE org_id = :org AND NOT EXISTS (SELECT 1"
    " FROM events AS e WHERE e.org_id = p.org_id AND e.run_id = p.run_id) LIMIT 5"
)
_METRICS = "SELECT name, labels, value FROM metrics WHERE org_id = :org"

# The scanner behind json.loads: canonical texts need no search for blanks.
_DECODER: Any = json.JSONDecoder()
_SCAN: Callable[[str, int], tuple[Any, int]] = _DECODER.scan_once
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, StopIteration)

STEP_COLUMNS = ("name", "tries", "status", "began_at", "ended_at", "seconds", "error")
ARTIFACT_COLUMNS = ("state", "bytes", "sha256", "intended_at", "written_at")


class RebuildReport(NamedTuple):
    """What was found: at most 20 sentences, how many more, what was erased, how many runs ended."""

    problems: list[str]
    more: int
    erased: int
    ended: int


class Run:
    """What the events of one run have made of it so far."""

    __slots__ = ("artifacts", "counted", "erased", "row", "steps", "unreadable")

    def __init__(self) -> None:
        self.row: Row | None = None
        self.steps: dict[tuple[int, int], list[Any]] = {}
        self.artifacts: dict[str, list[Any]] = {}
        self.counted: list[Any] = []
        self.erased = 0
        self.unreadable = False


def check_projections(ledger: Ledger, org: str) -> RebuildReport:
    """Rebuild every projection of an org from its events and compare.

    Memory is bounded by the runs that are open at the same time, and by the rows of permits,
    switches and findings.
    """
    try:
        return _check(ledger, org, str)
    except Misread:
        # Some byte is no text any more: slower, and the comparison names where.
        return _check(ledger, org, _lenient)


def _check(ledger: Ledger, org: str, text: Callable[[bytes], str]) -> RebuildReport:
    with ledger.reading() as connection:
        ledger.now(connection)
        check = _Check(ledger, connection, org)
        raw: Any = connection
        if ledger.dialect.name == "postgresql":
            with raw.cursor(name="roundsman_rebuild") as cursor:
                cursor.itersize = ROWS_AT_ONCE
                check.follow(cursor.execute(ledger.dialect.native(_EVENTS), {"org": org}))
            check.finish()
        else:
            raw.text_factory = text
            try:
                check.follow(raw.execute(_EVENTS, {"org": org}))
                check.finish()
            finally:
                raw.text_factory = str
    return RebuildReport(check.problems, check.more, check.erased, len(check.closed))


def _lenient(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


class _Check:
    """One pass over the events with the runs that are open, comparing those that end."""

    def __init__(self, ledger: Ledger, connection: Connection, org: str) -> None:
        self.ledger = ledger
        self.connection = connection
        self.org = org
        self.open: dict[str, Run] = {}
        self.ended: dict[str, Run] = {}
        self.closed: set[str] = set()
        self.unrecorded: dict[str, int] = {}
        self.counted: dict[tuple[str, str], float] = {}
        self.marked: dict[tuple[str, str], float] = {}
        self.keyed = KeyedRows()
        self.problems: list[str] = []
        self.more = 0
        self.erased = 0
        self.is_uncountable = False

    def say(self, sentence: str) -> None:
        """Keep a sentence unless there are too many already."""
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(sentence)
        else:
            self.more += 1

    def follow(self, rows: Iterator[Any]) -> None:
        """Apply every event to its run; compare runs, many at once, when they have ended."""
        open_runs, closed, scan = self.open, self.closed, _SCAN
        for seq, run_id, attempt, kind, at, payload in rows:
            if kind in KEYED_KINDS:
                self._follow_keyed(seq, run_id, kind, payload)
                continue
            run = open_runs.get(run_id)
            if run is None:
                if run_id in closed:
                    self._after_end(seq, run_id, kind, payload)
                    continue
                run = open_runs[run_id] = Run()
            if payload is None:
                run.erased += 1
                self.unrecorded.setdefault(run_id, seq)
            elif not run.erased and not run.unreadable:
                try:
                    happening = Happening(seq, run_id, attempt, kind, at, scan(payload, 0)[0])
                    apply_event(run, happening)
                except _UNREADABLE:
                    run.unreadable = True
            if kind in ENDS:
                self._end(run_id, run)

    def _follow_keyed(self, seq: int, run_id: str, kind: str, payload: str | None) -> None:
        if payload is None:
            self.erased += 1
            self.unrecorded.setdefault(run_id, seq)
            return
        try:
            self.keyed.apply(kind, _SCAN(payload, 0)[0])
        except _UNREADABLE:
            self.say(f"event {seq} of org '{self.org}': '{kind}' cannot be read")

    def _after_end(self, seq: int, run_id: str, kind: str, payload: str | None) -> None:
        if kind == "run_erased":
            self.unrecorded.pop(run_id, None)
            if payload is None:
                self.say(
                    f"event {seq} of org '{self.org}': payload was removed; it told who erased run"
                    f" '{run_id}', and why"
                )
        else:
            self.say(
                f"event {seq} of org '{self.org}': '{kind}' stands behind the end of its run"
                f" '{run_id}'"
            )

    def _end(self, run_id: str, run: Run) -> None:
        del self.open[run_id]
        self.closed.add(run_id)
        self.ended[run_id] = run
        self._count(run)
        if len(self.ended) >= RUNS_AT_ONCE:
            self._compare_ended()

    def _count(self, run: Run) -> None:
        if run.row is None or run.erased or run.unreadable:
            self.is_uncountable = True
            return
        row = run.row
        if row["status"] not in metrics.STATUS_LABELS:
            return
        samples = metrics.run_samples(row["agent_type"], row["status"], row["duration_seconds"])
        for name, labels, value in (*samples, *metrics.counted_samples(run.counted)):
            self.counted[name, labels] = self.counted.get((name, labels), 0.0) + value
        self.marked.update({(name, labels): value for name, labels, value in metrics.marks(row)})

    def finish(self) -> None:
        """Compare what is still open, the counters, and look for rows without any event."""
        self.ended.update(self.open)
        self._compare_ended()
        for run_id, seq in self.unrecorded.items():
            self.say(
                f"event {seq} of org '{self.org}': payload was removed, and no event of run"
                f" '{run_id}' tells of an erasure"
            )
        if not self.is_uncountable:
            self._compare_metrics()
        self.keyed.compare(self.connection, self.ledger, self.org, self._say_difference)
        for table in ("agent_audit_log", "steps", "artifacts"):
            statement = _STRAY.replace("{table}", table)
            for row in self.ledger.execute(self.connection, statement, {"org": self.org}):
                self.say(f"{table}, run '{row[0]}': was inserted, no event tells of it")

    def _compare_ended(self) -> None:
        runs, self.ended = self.ended, {}
        self.erased += sum(run.erased for run in runs.values())
        runs = {key: run for key, run in runs.items() if not (run.erased or run.unreadable)}
        if not runs:
            return
        rows = {row["run_id"]: row for row in map(audit.as_row, self._select(audit.SELECT, runs))}
        steps: dict[str, dict[Any, Any]] = {}
        for found in self._select(_STEPS, runs):
            values = [*found[3:9], _parsed(found[9])]
            steps.setdefault(found[0], {})[found[1], found[2]] = values
        artifacts: dict[str, dict[Any, Any]] = {}
        for found in self._select(_ARTIFACTS, runs):
            artifacts.setdefault(found[0], {})[found[1]] = list(found[2:])
        for run_id, run in runs.items():
            self._compare_row(run_id, rows.get(run_id), run.row)
            self._compare_steps(run_id, steps.get(run_id, {}), run.steps)
            self._compare_artifacts(run_id, artifacts.get(run_id, {}), run.artifacts)

    def _select(self, statement: str, runs: dict[str, Run]) -> Iterator[Any]:
        names = {f"run_{number}": run_id for number, run_id in enumerate(runs)}
        marks = ", ".join(f":{name}" for name in names)
        raw: Any = self.connection
        native = self.ledger.dialect.native(f"{statement} IN ({marks})")
        return raw.execute(native, {"org": self.org, **names})

    def _compare_row(self, run_id: str, found: Row | None, told: Row | None) -> None:
        where = f"agent_audit_log, run '{run_id}'"
        if found is None or told is None:
            if found is not told:
                self.say(f"{where}: {_lacking(found)}")
            return
        if found != told:
            for name in told:
                if found[name] != told[name]:
                    self.say(f"{where}: {_differs(name, found[name], told[name])}")

    def _compare_steps(
        self, run_id: str, found: dict[Any, Any], told: dict[tuple[int, int], list[Any]]
    ) -> None:
        if found == told:
            return
        for key in sorted(found.keys() | told.keys()):
            where = f"steps, run '{run_id}', attempt {key[0]}, step {key[1]}"
            self._say_difference(where, STEP_COLUMNS, (found.get(key), told.get(key)))

    def _compare_artifacts(
        self, run_id: str, found: dict[str, Any], told: dict[str, list[Any]]
    ) -> None:
        if found == told:
            return
        for key in sorted(found.keys() | told.keys()):
            where = f"artifacts, run '{run_id}', '{key}'"
            self._say_difference(where, ARTIFACT_COLUMNS, (found.get(key), told.get(key)))

    def _say_difference(self, where: str, names: tuple[str, ...], pair: tuple[Any, Any]) -> None:
        found, told = pair
        if found is None or told is None:
            self.say(f"{where}: {_lacking(found)}")
            return
        for name, have, want in zip(names, found, told, strict=True):
            if have != want:
                self.say(f"{where}: {_differs(name, have, want)}")

    def _compare_metrics(self) -> None:
        rows = self.ledger.execute(self.connection, _METRICS, {"org": self.org})
        found = {(name, labels): value for name, labels, value in rows}
        # Ledgers that are older than marks lack them until the round runs again.
        told = self.counted | {key: self.marked[key] for key in found.keys() & self.marked.keys()}
        for key in sorted(found.keys() | told.keys()):
            have, want = found.get(key), told.get(key)
            if have is None or want is None or not math.isclose(have, want, rel_tol=1e-9):
                self.say(f"metrics, {key[0]} {key[1]}: {_differs('value', have, want)}")


def apply_event(run: Run, happening: Happening) -> None:
    """Bring a run to what one more event makes of it."""
    kind, at, payload = happening.kind, happening.at, happening.payload
    if kind == "step_started":
        began = payload.get("at", at)
        values = [payload["name"], payload["tries"], "running", began, None, None, None]
        run.steps[happening.attempt, payload["index"]] = values
    elif kind in ("step_finished", "step_failed"):
        step = run.steps[happening.attempt, payload["index"]]
        step[2], step[4], step[5] = payload["status"], at, payload["seconds"]
        step[6] = payload["error"]
    else:
        _apply_rare(run, happening)


def _apply_rare(run: Run, happening: Happening) -> None:
    kind, at, payload = happening.kind, happening.at, happening.payload
    if kind == "step_skipped":
        values = [payload["name"], 0, "skipped", None, at, None, payload["error"]]
        run.steps[happening.attempt, payload["index"]] = values
    elif kind == "step_retried":
        run.steps[happening.attempt, payload["index"]][1] = payload["tries"]
    elif kind == "artifact_intended":
        values = ["intended", payload.get("bytes"), payload.get("sha256"), at, None]
        run.artifacts[payload["path"]] = values
    elif kind == "artifact_written":
        artifact = run.artifacts[payload["path"]]
        artifact[0], artifact[4] = "written", at
        artifact[1], artifact[2] = payload.get("bytes"), payload.get("sha256")
    else:
        run.row = apply(run.row, happening)
        if kind == "run_started":
            _leave(run, "crashed", at)
        elif kind in ENDS and run.row is not None:
            _leave(run, left_behind(run.row["status"]), at)
            run.counted = payload.get("counted", [])


def _leave(run: Run, status: str, at: str) -> None:
    for step in run.steps.values():
        if step[2] == "running":
            step[2], step[4] = status, at


def _parsed(document: Any) -> Any:
    return json.loads(document) if isinstance(document, str) else document


def _lacking(found: Any) -> str:
    return "was removed" if found is None else "was inserted, no event tells of it"


def _differs(name: str, found: Any, told: Any) -> str:
    return f"{name} is {_short(found)}, the events say {_short(told)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= VALUE_CHARACTERS_MAX else f"{text[:VALUE_CHARACTERS_MAX]}..."
