"""Whether the keyed tables say what their events say, row by row and column by column."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from roundsman.store.action_table import ACTIONS, SWITCHES
from roundsman.store.driver import Connection
from roundsman.store.engine import Ledger
from roundsman.store.finding_table import FINDINGS
from roundsman.store.key_table import KEYS
from roundsman.store.keyed import Keyed, Row, rebuilt

KEYED: tuple[Keyed, ...] = (ACTIONS, SWITCHES, FINDINGS, KEYS)
KEYED_KINDS: dict[str, Keyed] = {kind: of for of in KEYED for kind in of.kinds}
# Such an event tells the whole row that is left after an erasure.
ERASED_KINDS = tuple(kind for kind in KEYED_KINDS if kind.endswith("_erased"))

Difference = Callable[[str, tuple[str, ...], tuple[Any, Any]], None]


class KeyedRows:
    """What the events have made of every row of these tables so far.

    Memory is bounded by the rows that there are.
    """

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Row]] = {of.table: {} for of in KEYED}

    def apply(self, kind: str, payload: Row) -> None:
        """Bring a row to what one more event makes of it."""
        of = KEYED_KINDS[kind]
        rows, key = self._rows[of.table], payload["key"]
        rows[key] = rebuilt(rows.get(key), of, payload)

    def compare(
        self, connection: Connection, ledger: Ledger, org: str, say_difference: Difference
    ) -> None:
        """Name every row and column that differs, was removed, or that no event tells of."""
        for of in KEYED:
            told = dict(self._rows[of.table])
            for row in _stored(connection, ledger, org, of):
                key = row[of.key]
                wanted = told.pop(key, None)
                if row != wanted:
                    self._say(of, key, (row, wanted), say_difference)
            for key, wanted in told.items():
                self._say(of, key, (None, wanted), say_difference)

    def _say(
        self, of: Keyed, key: str, pair: tuple[Row | None, Row | None], say: Difference
    ) -> None:
        found, told = ([row[name] for name in of.columns] if row else None for row in pair)
        say(f"{of.table}, '{key}'", of.columns, (found, told))


def _stored(connection: Connection, ledger: Ledger, org: str, of: Keyed) -> Iterator[Row]:
    for found in ledger.execute(connection, of.select, {"org": org}):
        yield of.as_row(found)
