"""The sides of the contract: each made once, and only when a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.blocks.sides import Side, bytes_of, elasticsearch_state


@pytest.fixture(
    scope="session",
    params=[
        "sqlite",
        pytest.param("elasticsearch", marks=pytest.mark.needs("elasticsearch")),
        "duckdb",
        pytest.param("bigquery", marks=pytest.mark.needs("bigquery")),
    ],
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
        yield Side("bigquery", block, look=lambda _: None)
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
