"""How a command opens the ledger, and finds a run by what was typed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from roundsman.errors import Mistake

if TYPE_CHECKING:
    from roundsman.settings import Settings
    from roundsman.store import Ledger
    from roundsman.store.records import AuditRow

CLOSED = frozenset({"success", "failed", "crashed", "cancelled", "timed_out", "refused"})


class Memory(NamedTuple):
    """The ledger and whose rows are meant."""

    ledger: Ledger
    settings: Settings

    @property
    def org(self) -> str:
        """The org whose rows are meant."""
        return self.settings.org_id

    def run(self, run_id: str) -> AuditRow:
        """The run of an id or of an unambiguous beginning of one; a Mistake when there is none."""
        from roundsman.store import runs
        from roundsman.store.history import PREFIX_CHARACTERS_MIN

        if len(run_id) < PREFIX_CHARACTERS_MIN:
            least = f"give at least {PREFIX_CHARACTERS_MIN} characters of its id"
            raise Mistake(
                f"run '{run_id}' is too short a name", f"{least}; see 'roundsman history'"
            )
        return runs.get_run(self.ledger, self.org, run_id)


def open_memory() -> Memory:
    """Open the ledger of this home, migrating it if need be; dead runs are closed on the way."""
    from roundsman.settings import get_settings
    from roundsman.store import open_ledger

    settings = get_settings()
    ledger = open_ledger(settings.ledger_url, settings.chain_key, settings.anchor)
    return Memory(ledger, settings)
