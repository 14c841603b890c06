"""What can be counted, by the envelope and by an agent's author, and what a scrape is told."""

from __future__ import annotations

import math
import re
import threading
from bisect import bisect_left
from collections import Counter as Numbers
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from typing import Any, ClassVar

from roundsman.errors import Mistake, RoundsmanError
from roundsman.rules.exposition import TOTAL, Family, Kind, Point
from roundsman.store import Ledger
from roundsman.store.gauges import read_gauges
from roundsman.store.metrics import (
    BUCKETS_SECONDS,
    INTERNAL,
    LAST_SUCCESS,
    OVERFLOW,
    PARTS,
    RUN_SECONDS,
    RUNS_TOTAL,
    SERIES_MAX,
    STATUS_LABELS,
    Series,
    family_of,
    read_metrics,
)

METRICS_MAX = 100
# Over all names: the numbers of a run's end go through one transaction.
RUN_SERIES_MAX = 500
LABELS_MAX = 6
LABEL_CHARACTERS_MAX = 100
BUCKETS_MAX = 30
# What a scrape adds itself, and what a histogram's numbers are told apart by.
RESERVED_LABELS = frozenset({"org", "le"})

GAUGES = {
    "roundsman_ledger_up": "Whether the ledger could be read for this scrape",
    "agent_runs_open": "Runs that are queued or running",
    "agent_approvals_waiting": "Actions that wait for a person",
    "agent_actions_unknown": "Actions of which nobody knows whether they took place",
    "agent_findings_open": "Problems that are not resolved, by severity and state",
    LAST_SUCCESS: "When a round last ended well",
    "warehouse_parity_difference_percent": "Between both sides, as the round's last run found it",
    "warehouse_parity_threshold_percent": "The difference that is tolerated",
    "warehouse_parity_degraded": "Whether the last run found rows that differ; absent: unknown",
    "warehouse_rows": "Rows of a side in the window, as the round's last run counted them",
    "warehouse_freshness_age_seconds": "Age of the newest row when the round last looked",
    "warehouse_freshness_slo_seconds": "The age that is tolerated",
}

_NAME = re.compile(r"[a-z][a-z0-9_]{2,99}")
_LABEL = re.compile(r"[a-z][a-z0-9_]{0,49}")


class Tally:
    """What a run, or one try of a step, has counted so far; any thread may count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: dict[tuple[Metric, tuple[str, ...]], list[float]] = {}
        self._series: Numbers[Metric] = Numbers()

    def add(self, metric: Metric, labels: tuple[str, ...], parts: Sequence[float]) -> None:
        """Add the numbers of one series; a name's series beyond the limits become one."""
        with self._lock:
            if (metric, labels) not in self._sums:
                if self._series[metric] >= SERIES_MAX or len(self._sums) >= RUN_SERIES_MAX:
                    labels = tuple(OVERFLOW for _ in labels)
                self._series[metric] += (metric, labels) not in self._sums
            before = self._sums.get((metric, labels), [0.0] * len(parts))
            self._sums[metric, labels] = [a + b for a, b in zip(before, parts, strict=True)]

    def take(self, other: Tally) -> None:
        """Add all that another one has counted."""
        with other._lock:
            sums = list(other._sums.items())
        for (metric, labels), parts in sums:
            self.add(metric, labels, parts)

    def told(self) -> list[dict[str, Any]]:
        """Every number with its `name`, `labels` and `value`, as a run's end takes it."""
        with self._lock:
            sums = list(self._sums.items())
        return [
            {"name": metric.name + suffix, "labels": labels, "value": value}
            for (metric, values), parts in sums
            for suffix, labels, value in metric.points(values, parts)
        ]


# The run, or the try of a step, that this code counts for.
tally: ContextVar[Tally | None] = ContextVar("tally", default=None)


class Metric:
    """A declared name with its labels; declared anew it must be the same."""

    kind: ClassVar[Kind]

    def __init__(self, name: str, said: str, labels: Sequence[str] = ()) -> None:
        self.name = name
        self.said = said
        self.label_names = tuple(labels)
        self._check()

    @property
    def shape(self) -> tuple[object, ...]:
        """What two declarations of one name must agree upon."""
        return self.kind, self.label_names

    def key(self, values: dict[str, object]) -> tuple[str, ...]:
        """The values in the order of their names; a Mistake where one is missing or unknown."""
        if set(values) != set(self.label_names):
            raise Mistake(
                f"metric '{self.name}' has labels {_quoted(self.label_names)}, not"
                f" {_quoted(values)}"
            )
        return tuple(str(values[name])[:LABEL_CHARACTERS_MAX] for name in self.label_names)

    def points(self, labels: tuple[str, ...], parts: Sequence[float]) -> list[Point]:
        """A series' numbers, spelled out."""
        return [Point("", dict(zip(self.label_names, labels, strict=True)), parts[0])]

    def _check(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name in GAUGES or self.name.endswith(PARTS):
            raise Mistake(f"'{self.name}' cannot name a metric", "use a free snake_case name")
        if self.name.endswith(TOTAL) is not (self.kind == "counter"):
            raise Mistake(
                f"{self.kind} '{self.name}' has another kind's name", "counters end in '_total'"
            )
        bad = [name for name in self.label_names if not _LABEL.fullmatch(name)]
        bad += RESERVED_LABELS.intersection(self.label_names)
        if bad or len(self.label_names) > LABELS_MAX:
            raise Mistake(f"metric '{self.name}' cannot have labels {_quoted(self.label_names)}")
        self._declare()

    def _declare(self) -> None:
        known = DECLARED.get(self.name)
        if known is None and len(DECLARED) >= METRICS_MAX:
            raise Mistake(f"metric '{self.name}' is one more than {METRICS_MAX}", "use labels")
        if known is not None and known.shape != self.shape:
            raise Mistake(f"metric '{self.name}' is declared already, with another shape")
        DECLARED[self.name] = self

    def _count(self, labels: tuple[str, ...], parts: Sequence[float]) -> None:
        # Outside a run nothing is counted, so that a step's body can be tried by hand.
        mine = tally.get()
        if mine is not None:
            mine.add(DECLARED[self.name], labels, parts)


DECLARED: dict[str, Metric] = {}


class Counter(Metric):
    """A number that only rises; its name ends in `_total`.

    Counted numbers reach the ledger in the transaction that ends the run. A step that is tried
    again leaves only what its last try counted, and an attempt that dies leaves nothing.
    """

    kind = "counter"

    def labels(self, **values: object) -> Counted:
        """One series of it."""
        return Counted(self, self.key(values))

    def inc(self, amount: float = 1.0) -> None:
        """Count on, for a counter without labels."""
        self.labels().inc(amount)

    def rise(self, labels: tuple[str, ...], amount: float) -> None:
        """Add to one series."""
        if not (amount >= 0 and math.isfinite(amount)):
            raise Mistake(f"counter '{self.name}' cannot rise by {amount}")
        self._count(labels, (float(amount),))


class Counted:
    """One series of a counter."""

    def __init__(self, counter: Counter, labels: tuple[str, ...]) -> None:
        self._counter = counter
        self._labels = labels

    def inc(self, amount: float = 1.0) -> None:
        """Count on."""
        self._counter.rise(self._labels, amount)


class Histogram(Metric):
    """How values are spread; `buckets` are the upper edges, in the name's unit."""

    kind = "histogram"

    def __init__(
        self,
        name: str,
        said: str,
        labels: Sequence[str] = (),
        buckets: Sequence[float] = BUCKETS_SECONDS,
    ) -> None:
        self.edges = tuple(buckets)
        if not 0 < len(self.edges) <= BUCKETS_MAX or list(self.edges) != sorted(set(self.edges)):
            raise Mistake(
                f"histogram '{name}' needs 1 to {BUCKETS_MAX} edges, from low to high, not"
                f" {self.edges}"
            )
        super().__init__(name, said, labels)

    @property
    def shape(self) -> tuple[object, ...]:
        """What two declarations of one name must agree upon."""
        return *super().shape, self.edges

    def labels(self, **values: object) -> Observed:
        """One series of it."""
        return Observed(self, self.key(values))

    def observe(self, value: float) -> None:
        """Take a value in, for a histogram without labels."""
        self.labels().observe(value)

    def take_in(self, labels: tuple[str, ...], value: float) -> None:
        """Add a value to one series; an edge belongs to its bucket."""
        if not math.isfinite(value):
            raise Mistake(f"histogram '{self.name}' cannot take in {value}")
        first = bisect_left(self.edges, value)
        buckets = (float(index >= first) for index in range(len(self.edges)))
        self._count(labels, (float(value), 1.0, *buckets))

    def points(self, labels: tuple[str, ...], parts: Sequence[float]) -> list[Point]:
        """A series' numbers, spelled out: cumulative buckets, sum and count."""
        own = dict(zip(self.label_names, labels, strict=True))
        total, count, *buckets = parts
        edges = [*map(str, self.edges), "+Inf"]
        return [
            *(
                Point("_bucket", own | {"le": le}, value)
                for le, value in zip(edges, [*buckets, count], strict=True)
            ),
            Point("_count", own, count),
            Point("_sum", own, total),
        ]


class Observed:
    """One series of a histogram."""

    def __init__(self, histogram: Histogram, labels: tuple[str, ...]) -> None:
        self._histogram = histogram
        self._labels = labels

    def observe(self, value: float) -> None:
        """Take a value in."""
        self._histogram.take_in(self._labels, value)


# The envelope counts every run itself; an author counts here what is no run of ours.
AGENT_RUNS_TOTAL = Counter(RUNS_TOTAL, "Runs that ended", ("agent_type", "status"))
AGENT_RUN_DURATION_SECONDS = Histogram(
    RUN_SECONDS, "How long runs were worked on", ("agent_type",), BUCKETS_SECONDS
)
AGENT_ACTIONS_TOTAL = Counter(
    "agent_actions_total", "Effects by permit and what became of them", ("action", "outcome")
)
STEP_RETRIES_TOTAL = Counter(
    "step_retries_total", "Tries of a step after its first", ("agent_type", "step")
)
CUSTOM_OPERATIONS_TOTAL = Counter(
    "custom_operations_total", "What agents' authors count", ("operation_type", "status")
)


def collect(ledger: Ledger, org: str | None = None) -> list[Family]:
    """Everything that a scrape is told of one org, or of all; quick, whatever the number of runs.

    Where the ledger does not answer, only that is told.
    """
    try:
        rows = [*read_metrics(ledger, org), *read_gauges(ledger, org)]
    except RoundsmanError:
        return [up(False)]
    return [up(True), *_families(row for row in rows if row.name not in INTERNAL)]


def up(answers: bool) -> Family:
    """Whether the ledger answers."""
    name = "roundsman_ledger_up"
    return Family(name, "gauge", GAUGES[name], (Point("", {}, float(answers)),))


def _families(rows: Iterable[Series]) -> list[Family]:
    points: defaultdict[str, list[Point]] = defaultdict(list)
    for row in rows:
        # Only histograms have parts: a counter ends in `_total`, gauges are known by name.
        name = row.name if row.name in GAUGES else family_of(row.name)
        suffix = row.name.removeprefix(name)
        points[name].append(Point(suffix, {"org": row.org} | row.labels, row.value))
    return [_family(name, points[name]) for name in points]


def _family(name: str, points: list[Point]) -> Family:
    """A metric that an agent's module declares is not declared here: its name says its kind."""
    known = DECLARED.get(name)
    said = GAUGES.get(name) or (known.said if known else "")
    if name in GAUGES:
        return Family(name, "gauge", said, tuple(points))
    if name.endswith(TOTAL):
        filled = _with_every_status(points) if name == RUNS_TOTAL else points
        return Family(name, "counter", said, tuple(filled))
    edges = known.edges if isinstance(known, Histogram) else ()
    return Family(name, "histogram", said, tuple(_with_every_bucket(points, edges)))


def _with_every_status(points: list[Point]) -> list[Point]:
    """A first failure is a rise only for who has seen the zero before it."""
    there = {tuple(sorted(point.labels.items())) for point in points}
    wanted = [
        {**point.labels, "status": status}
        for point in points
        for status in sorted(set(STATUS_LABELS.values()))
    ]
    zeros = {tuple(sorted(labels.items())): Point("", labels, 0.0) for labels in wanted}
    return [*points, *(zeros[key] for key in zeros if key not in there)]


def _with_every_bucket(points: list[Point], edges: Sequence[float]) -> list[Point]:
    """Rows of buckets that never took anything in may be missing."""
    there = [(_without_edge(point), point) for point in points]
    seen = {(key, float(point.labels["le"])) for key, point in there if "le" in point.labels}
    wanted = {*map(float, edges), *(edge for _, edge in seen)}
    owners = {key: point.labels for key, point in there}
    missing = ((key, edge) for key in owners for edge in wanted if (key, edge) not in seen)
    return [
        *points,
        *(Point("_bucket", {**owners[key], "le": str(edge)}, 0.0) for key, edge in missing),
    ]


def _without_edge(point: Point) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, text) for name, text in point.labels.items() if name != "le"))


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"
