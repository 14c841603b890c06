"""What a build of the transformation did, node by node, and how far it reaches."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from roundsman.rules.pulse import FAILED_STATUSES, NodeKind, NodeResult

# Kinds that a build makes anew; tests only look, and the others stand for something outside.
BUILT_KINDS: frozenset[NodeKind] = frozenset({"model", "seed", "snapshot"})
# Nodes that a result names of each sort; the numbers count all of them.
NAMED_MAX = 20


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BuildResult(_Record):
    """What became of one build; `nodes_built` of `nodes` counts what is made anew, no tests."""

    success: bool
    models_run: int
    duration_sec: float
    ended_at: datetime
    nodes: int
    nodes_built: int
    nodes_failed: int
    nodes_skipped: int
    tests_failed: int
    built: tuple[str, ...] = ()
    failed: tuple[NodeResult, ...] = ()
    skipped: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        """What was built, and the first node that failed, in one sentence."""
        said = f"{self.nodes_built} of {self.nodes} nodes were built"
        if not self.failed:
            return said
        first = self.failed[0]
        why = f": {first.message}" if first.message else ""
        return f"{said}, and {first.kind} '{first.name}' ended as {first.status}{why}"


class BlastRadius(_Record):
    """What a build would touch: what is built, what reads from that, and who looks at it."""

    selected: tuple[str, ...]
    downstream: tuple[str, ...]
    exposures: tuple[str, ...]

    @property
    def size(self) -> int:
        """How many nodes may look different afterwards; tests are not counted."""
        return len(self.selected) + len(self.downstream) + len(self.exposures)


def judge_build(nodes: Sequence[NodeResult], ended_at: datetime, seconds: float) -> BuildResult:
    """A build was a success when no node of it failed, tests included."""
    made = [node for node in nodes if node.kind in BUILT_KINDS]
    skipped = [node.name for node in made if node.status == "skipped"]
    failed = [node for node in nodes if node.status in FAILED_STATUSES]
    wrong = [node for node in made if node.status in FAILED_STATUSES]
    built = [node.name for node in made if node.status not in FAILED_STATUSES | {"skipped"}]
    return BuildResult(
        success=not failed,
        models_run=sum(node.kind == "model" and node.status != "skipped" for node in made),
        duration_sec=round(seconds, 2),
        ended_at=ended_at,
        nodes=len(made),
        nodes_built=len(built),
        nodes_failed=len(wrong),
        nodes_skipped=len(skipped),
        tests_failed=len(failed) - len(wrong),
        built=tuple(built[:NAMED_MAX]),
        failed=tuple(failed[:NAMED_MAX]),
        skipped=tuple(skipped[:NAMED_MAX]),
    )
