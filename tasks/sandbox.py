"""Writing rows into a system that is marked as a sandbox: every lot by a permit of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from blocks.dataset import DatasetBlock
from roundsman.agent import AgentParams, current
from roundsman.errors import Mistake
from roundsman.permits import Wish, act
from roundsman.rules.windows import Dataset, FieldType


class Sandbox(NamedTuple):
    """A system that may be written to, by its name in systems.yaml, as 'search/local'.

    A lot is numbered by its place in the run, so that a step that is tried again does not do
    again what it has done. All methods raise Denied where policy does not allow the write.
    """

    name: str
    block: DatasetBlock

    def replace(
        self, name: str, fields: dict[str, FieldType], rows: Iterable[dict[str, Any]]
    ) -> int:
        """Create a dataset or replace it whole, once in a run: one item, however many rows."""
        return act(self.block.replace, self._wish(name, 0, 1), name, fields, rows)

    def append(self, name: str, lot: int, rows: Sequence[dict[str, Any]]) -> int:
        """Add a numbered lot of rows to a dataset."""
        return act(self.block.append, self._wish(name, lot, len(rows)), name, rows)

    def remove(self, data: Dataset, lot: int, keys: Sequence[str]) -> int:
        """Remove a numbered lot of keys from a dataset."""
        return act(self.block.remove, self._wish(data.name, lot, len(keys)), data, keys)

    def _wish(self, name: str, lot: int, items: int) -> Wish:
        return Wish(
            target=f"{self.name} {name}",
            occasion={"run": current().id, "lot": lot},
            context={"sandbox": self.block.twin or self.block.sandbox, "items": items},
        )


def require_live(params: AgentParams) -> None:
    """A Mistake, before a run begins, where it is no dry run and may not act either."""
    if not (params.dry_run or params.allow_actions):
        raise Mistake(
            "a run that may not act writes nothing", "add --live, or set allow_actions to true"
        )
