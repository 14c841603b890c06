"""A ledger on each engine, and the few words that most tests of the store begin with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from roundsman.store import Ledger, open_ledger
from tests.ledgers import lay_database, lay_file
from tests.store.words import Home

ENGINES = [
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.needs("postgresql")),
]


@pytest.fixture(params=ENGINES)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Home]:
    """Where a ledger would be: nothing is created yet, unless the test also asks for a ledger."""
    laid = "ledger" in request.fixturenames
    if request.param == "sqlite":
        if laid:
            lay_file(tmp_path)
        yield Home(tmp_path, f"sqlite:///{tmp_path}/ledger.db")
        return
    server = request.getfixturevalue("postgresql")
    url = lay_database(server) if laid else server.create_database()
    yield Home(tmp_path, url)
    server.drop_database(url)


@pytest.fixture
def open_home(home: Home) -> Iterator[Callable[[], Ledger]]:
    """Open the same ledger as often as asked; all are closed at the end."""
    ledgers: list[Ledger] = []

    def open_it() -> Ledger:
        ledgers.append(open_ledger(home.url, home.key, home.anchors))
        return ledgers[-1]

    yield open_it
    for ledger in ledgers:
        ledger.close()


@pytest.fixture
def ledger(open_home: Callable[[], Ledger]) -> Ledger:
    """A fresh ledger."""
    return open_home()
