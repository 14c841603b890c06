"""What stays true without Prefect: the ledger, loaded when it is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from roundsman.store.engine import Ledger as Ledger
    from roundsman.store.engine import open_ledger as open_ledger
    from roundsman.store.engine import schema_status as schema_status

__all__ = ["Ledger", "open_ledger", "schema_status"]


def __getattr__(name: str) -> Any:
    # SQLAlchemy takes 0.2 s to load, and help texts must not wait for it.
    if name not in __all__:
        raise AttributeError(name)
    from roundsman.store import engine

    return getattr(engine, name)
