"""What a shell offers after a command: names of agents and rounds, ids of runs."""

from __future__ import annotations

from roundsman.errors import RoundsmanError

RUNS_OFFERED_MAX = 20


def names_to_run(incomplete: str) -> list[str]:
    """Agents and rounds that begin so; nothing where the list cannot be read."""
    from roundsman import catalog

    try:
        names = [card.name for card in catalog.cards() if not card.operation]
        names += [known.full_name for known in catalog.rounds()]
    except RoundsmanError:
        return []
    return [name for name in names if name.startswith(incomplete)]


def runs_to_name(incomplete: str) -> list[tuple[str, str]]:
    """The newest runs whose short id begins so, with what they were."""
    from roundsman.cli.ledger import open_memory
    from roundsman.cli.present import short
    from roundsman.store import runs
    from roundsman.store.records import HistoryFilter

    try:
        memory = open_memory()
        found, _ = runs.history(memory.ledger, memory.org, HistoryFilter(limit=RUNS_OFFERED_MAX))
    except (RoundsmanError, OSError):
        return []
    return [
        (short(row.run_id), f"{row.agent_type} {row.status}")
        for row in found
        if row.run_id.startswith(incomplete)
    ]
