"""Which schema a store has, and how it is brought to the one this code wants."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError

from roundsman.errors import Mistake
from roundsman.store.records import SchemaStatus

if TYPE_CHECKING:
    from alembic.config import Config

    from roundsman.store.engine import Ledger

# Kept by hand so that an up-to-date store is recognised without loading Alembic; a test compares.
REVISIONS = ("0001", "0002", "0003")
HEAD = REVISIONS[-1]
VERSION_TABLE = "schema_version"
MIGRATIONS = Path(__file__).parent / "migrations"
# Any number will do, as long as no other program takes the same advisory lock.
_LOCK = 7_015_002_501


def status(ledger: Ledger) -> SchemaStatus:
    """Return the store's revision and ours; None where nothing was ever created."""
    database = ledger.url.database or ""
    if ledger.dialect.name == "sqlite" and not Path(database).exists():
        return SchemaStatus(None, HEAD, ledger.place)
    with ledger.core_reading() as connection:
        return SchemaStatus(_current(connection), HEAD, ledger.place)


def bring_up_to_date(ledger: Ledger) -> None:
    """Migrate under a lock if the store is older; one cheap SELECT if it is current.

    All migrations run in one transaction: a killed process leaves the old schema.
    """
    with ledger.core_reading() as connection:
        current = _current(connection)
    _refuse_newer(current, ledger.place)
    if current == HEAD:
        return
    with ledger.core_transaction() as connection:
        if ledger.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        current = _current(connection)
        _refuse_newer(current, ledger.place)
        if current != HEAD:
            _upgrade(connection)


def configuration() -> Config:
    """Return Alembic's configuration; there is no alembic.ini."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _upgrade(connection: Connection) -> None:
    from alembic import command

    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _refuse_newer(current: str | None, place: str) -> None:
    if current is not None and current not in REVISIONS:
        raise Mistake(
            f"ledger '{place}' has schema '{current}', which this code (schema '{HEAD}')"
            " does not know",
            "upgrade roundsman",
        )


def _current(connection: Connection) -> str | None:
    try:
        with connection.begin_nested() if connection.in_transaction() else connection.begin():
            row = connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").first()
    except (OperationalError, ProgrammingError) as error:
        if _is_missing_table(error):
            return None
        raise
    return str(row[0]) if row else None


def _is_missing_table(error: DBAPIError) -> bool:
    missing = getattr(error.orig, "sqlstate", None) == "42P01"
    return missing or "no such table" in str(error.orig)
