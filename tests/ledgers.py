"""Empty ledgers of today's schema: migrated once by each process of tests, and copied from then on.

Migrating is most of what a test of the ledger would otherwise wait for; tests/store/test_schema.py
does it on nothing.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from roundsman.store import schema
from roundsman.store.engine import open_raw
from tests.servers.postgresql import Postgresql


def lay_file(folder: Path) -> None:
    """Put a ledger into a home unless it has one; nobody has opened it, so it has no key yet."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (folder / "ledger.db").exists():
        (folder / "ledger.db").write_bytes(_migrated_file())


def lay_database(server: Postgresql) -> str:
    """The address of such a ledger in a database of its own."""
    return server.create_database(_migrated_database(server))


@cache
def _migrated_file() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        _migrate(f"sqlite:///{path}")
        return path.read_bytes()


@cache
def _migrated_database(server: Postgresql) -> str:
    url = server.create_database()
    _migrate(url)
    return url.rpartition("/")[2]


def _migrate(url: str) -> None:
    ledger = open_raw(url, Path(), None)
    schema.bring_up_to_date(ledger)
    ledger.close()
