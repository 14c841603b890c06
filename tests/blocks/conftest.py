"""The sides of the contract: each made once, and only when a test asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from roundsman.rules.windows import Dataset
from tests.blocks.sides import (
    MARCH,
    REAL,
    TWINS,
    YEAR,
    Document,
    Side,
    bytes_of,
    document,
    elasticsearch_state,
    every,
    rows_of,
)
from tests.blocks.wire import CAPS, PRODUCT
from tests.servers.scripted import Reply, Scripted


@pytest.fixture(
    scope="session",
    params=[*TWINS, *REAL],
)
def side(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Side]:
    """One implementation of the contract that may be written to."""
    folder = tmp_path_factory.mktemp("side")
    if request.param == "sqlite":
        yield _sqlite(folder)
    elif request.param == "duckdb":
        yield _duckdb(folder)
    elif request.param == "bigquery":
        block = request.getfixturevalue("bigquery_warehouse")
        yield Side("bigquery", block, look=lambda names: rows_of(block, names))
    else:
        yield from _elasticsearch(request)


def _sqlite(folder: Path) -> Side:
    from blocks.search import SqliteSearch

    path = folder / "search.db"
    return Side("sqlite", SqliteSearch(path=path), look=lambda _: bytes_of(path))


def _duckdb(folder: Path) -> Side:
    from blocks.warehouse import DuckdbWarehouse

    path = folder / "warehouse.duckdb"
    return Side("duckdb", DuckdbWarehouse(path=path), look=lambda _: bytes_of(path))


def _elasticsearch(request: pytest.FixtureRequest) -> Iterator[Side]:
    from blocks.search import ElasticsearchSearch

    server = request.getfixturevalue("elasticsearch")
    block = ElasticsearchSearch(url=server.url, sandbox=True)
    side = Side("elasticsearch", block, look=lambda names: elasticsearch_state(server.ask, names))
    yield side
    for name in side.made:
        server.ask("DELETE", f"/{name}")


@pytest.fixture
def server(scripted: Callable[..., Scripted]) -> Scripted:
    """A scripted Elasticsearch that knows its fields; tests add the rest of the script."""
    return scripted(headers=PRODUCT).on("POST", "/_field_caps", Reply(CAPS))


@pytest.fixture(scope="module")
def year(side: Side) -> Dataset:
    """Four days around every change of clocks, a row each 20 minutes."""
    return side.make("year", YEAR)


@pytest.fixture(scope="module")
def days(side: Side) -> tuple[Dataset, list[Document]]:
    """Three days, a row each 3.7 minutes, some without a time."""
    rows = every(3.7, MARCH, hours=72)
    rows += [document(9000 + i, None) for i in range(4)]
    return side.make("days", rows), rows
