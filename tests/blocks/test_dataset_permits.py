"""Every write to a dataset is an effect: what it is bound to, and what a lost answer means."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from blocks.dataset import DatasetBlock
from blocks.search import ElasticsearchSearch, SqliteSearch
from blocks.warehouse import BigQueryWarehouse, DuckdbWarehouse
from blocks.warehouse.lease import held
from roundsman.errors import Denied
from roundsman.permits import NotSent, declared_effects
from tests.blocks.purses import enforced
from tests.blocks.sides import FIELDS, MARCH, dataset, document
from tests.permits import granted, permit_for
from tests.servers.scripted import Reply, Scripted

# What a lost answer of `append` means; the other two do no harm when they are done again.
KINDS: dict[type[DatasetBlock], str] = {
    SqliteSearch: "once",
    DuckdbWarehouse: "once",
    BigQueryWarehouse: "once",
    ElasticsearchSearch: "repeatable",
}


@pytest.fixture(params=["sqlite", "duckdb"])
def block(request: pytest.FixtureRequest, tmp_path: Path) -> DatasetBlock:
    """A twin with one row in `made.rows`."""
    path = tmp_path / "file"
    made = SqliteSearch(path=path) if request.param == "sqlite" else DuckdbWarehouse(path=path)
    granted(made.replace, "made.rows", FIELDS, [document(1, MARCH)])
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_the_three_writes_are_effects_and_none_of_them_can_be_undone(
    kind: type[DatasetBlock],
) -> None:
    told = {name: declared.lost_answer for name, declared in declared_effects(kind).items()}
    assert told == {"replace": "repeatable", "append": KINDS[kind], "remove": "repeatable"}
    assert set(kind.NO_UNDO) == set(told)


def test_a_write_without_a_permit_is_denied(block: DatasetBlock) -> None:
    with pytest.raises(Denied, match="'append' changes the outside and was given no permit"):
        block.append("made.rows", [document(2, MARCH)])  # type: ignore[call-arg]


def test_a_permit_is_bound_to_the_dataset_its_fields_and_the_keys(block: DatasetBlock) -> None:
    data = dataset("made.rows")
    fields = dict(list(FIELDS.items())[:2])
    removal = permit_for(block.remove, data, ["m000001"])
    wrong: list[Callable[[], object]] = [
        lambda: block.remove(data, ["m000002"], permit=removal),
        lambda: block.remove(dataset("other.rows"), ["m000001"], permit=removal),
        lambda: block.append("other.rows", [], permit=permit_for(block.append, "made.rows", [])),
        lambda: block.replace(
            "made.rows", fields, [], permit=permit_for(block.replace, "made.rows", FIELDS, [])
        ),
    ]
    for write in wrong:
        with pytest.raises(Denied, match="with another payload"):
            write()
    assert block.remove(data, ["m000001"], permit=removal) == 1


def test_the_ledger_learns_no_key_of_what_is_removed(block: DatasetBlock) -> None:
    permit = permit_for(block.remove, dataset("made.rows"), ["a-private-id", "another"])
    assert permit.row is not None
    assert permit.row.payload["keys"] == 2
    assert "private" not in permit.row.model_dump_json()


def test_a_file_that_somebody_else_holds_leaves_the_permit_as_it_was(tmp_path: Path) -> None:
    block = SqliteSearch(path=tmp_path / "file")
    granted(block.replace, "rows", FIELDS, [])
    rows = [document(2, MARCH)]
    permit = permit_for(block.append, "rows", rows)
    holder = sqlite3.connect(block.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with enforced(ms=400), pytest.raises(NotSent, match="locked"):
        block.append("rows", rows, permit=permit)
    assert permit.state == "allowed"
    holder.close()
    assert block.append("rows", rows, permit=permit) == 1


def test_a_warehouse_file_in_use_leaves_the_permit_as_it_was(tmp_path: Path) -> None:
    block = DuckdbWarehouse(path=tmp_path / "file")
    granted(block.replace, "made.rows", FIELDS, [])
    permit = permit_for(block.append, "made.rows", [document(2, MARCH)])
    with held(block.path), enforced(ms=400), pytest.raises(NotSent, match="in use"):
        block.append("made.rows", [document(2, MARCH)], permit=permit)
    assert permit.state == "allowed"


def test_a_search_that_is_not_there_leaves_the_permit_as_it_was(
    scripted: Callable[..., Scripted],
) -> None:
    server = scripted(headers={"X-Elastic-Product": "Elasticsearch"})
    server.on("GET", "/_mapping", Reply(status=503))
    block = ElasticsearchSearch(url=server.url, sandbox=True)
    permit = permit_for(block.append, "rows", [{"k": 1}])
    with pytest.raises(NotSent):
        block.append("rows", [{"k": 1}], permit=permit)
    assert permit.state == "allowed"
