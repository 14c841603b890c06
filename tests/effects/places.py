"""Every block, arguments for each of its methods, and how it is seen that something changed."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random
from types import FunctionType
from typing import Any, NamedTuple

import duckdb

from blocks.acting import ActingBlock
from blocks.notify import Notify, OutboxNotify
from blocks.search import ElasticsearchSearch, SqliteSearch
from blocks.transform import DbtTransform
from blocks.warehouse import BigQueryWarehouse, DuckdbWarehouse
from blocks.warehouse.contract import Warehouse
from blocks.warehouse.queries import Query
from roundsman.permits import declared_effects
from roundsman.rules.windows import Dataset, FieldType, Span
from tests.blocks.channels import mail_channel, message, web_channel
from tests.blocks.wire import DAY
from tests.effects.wires import bigquery_writes, elasticsearch_writes
from tests.permits import granted
from tests.rules.test_messages import topic
from tests.servers.receiver import Receiver
from tests.servers.scripted import Request, Scripted
from tests.servers.scripted_bigquery import PROJECT
from tests.servers.smtp import MailServer

KEY = "ab" * 16
SPANS = [Span(DAY, DAY + timedelta(days=1))]
ORDER_FIELDS = ("received_at", "id", "row_hash")
Arguments = Callable[[Random], tuple[Any, ...]]


class Shape(NamedTuple):
    """A dataset of rows: its name, and which field is the time, the key and the fingerprint."""

    name: str
    time: str = "t"
    key: str = "k"
    mark: str = "f"

    @property
    def data(self) -> Dataset:
        """How it is read."""
        return Dataset(
            name=self.name, time_field=self.time, key_field=self.key, fingerprint_field=self.mark
        )

    @property
    def fields(self) -> dict[str, FieldType]:
        """What its fields hold."""
        return {self.time: "timestamp", self.key: "keyword", self.mark: "integer"}

    def rows(self, chance: Random) -> list[dict[str, Any]]:
        """One row to three, of few keys."""
        return [
            {
                self.time: DAY + timedelta(minutes=chance.randrange(1_440)),
                self.key: f"k{chance.randrange(30)}",
                self.mark: chance.randrange(99),
            }
            for _ in range(chance.randint(1, 3))
        ]


class Place(NamedTuple):
    """A block and what surrounds it.

    `calls` makes arguments by a method's name. `state` is all that a write would change, `seen`
    what has been done as the outside sees it, and `after` that plus one more call.
    """

    name: str
    block: ActingBlock
    calls: Mapping[str, Arguments]
    state: Callable[[], object]
    seen: Callable[[], Any]
    after: Callable[[Any, str, tuple[Any, ...]], Any] = lambda count, verb, args: count + 1

    @property
    def mutating(self) -> set[str]:
        """The methods that declare an effect."""
        return set(declared_effects(type(self.block)))


def methods_of(kind: type[ActingBlock]) -> set[str]:
    """The public methods of a block that are ours, whichever class of it they stand in."""
    found = ((name, inspect.getattr_static(kind, name)) for name in dir(kind) if name[0] != "_")
    return {
        name
        for name, value in found
        if isinstance(value, FunctionType) and value.__module__.startswith(("blocks.", "tests."))
    }


def _acting(verb: str) -> dict[str, Arguments]:
    return {
        "current_facts": lambda _: (("rows", "last_build_at"),),
        "confirm": lambda _: (KEY,),
        "keep_for_undo": lambda _: (verb, {}, KEY),
        "preview_undo": lambda _: (verb, {}),
    }


def dataset_calls(shape: Shape) -> dict[str, Arguments]:
    """Arguments for whatever holds rows in such a dataset."""
    data, zones, levels = shape.data, ("UTC", "Europe/Berlin"), ("day", "hour", "minute")
    return {
        "count_buckets": lambda c: (data, c.choice(levels), SPANS, c.choice(zones)),
        "list_rows": lambda c: (data, SPANS, c.choice((10, 15_000))),
        "newest": lambda c: (data, c.choice((None, DAY))),
        "count_without_time": lambda _: (data,),
        "count_duplicate_keys": lambda _: (data, SPANS[0]),
        "fields": lambda _: (data,),
        "estimate": lambda _: (data, SPANS),
        "probe": lambda _: (),
        "require_sandbox": lambda _: ("write to", shape.name),
        "replace": lambda c: (shape.name, shape.fields, shape.rows(c)),
        "append": lambda c: (shape.name, shape.rows(c)),
        "remove": lambda c: (data, [row[shape.key] for row in shape.rows(c)]),
        **_acting("append"),
    }


def search_calls(shape: Shape) -> dict[str, Arguments]:
    """Arguments for a search."""
    words = ("word", "other")
    return {**dataset_calls(shape), "find": lambda c: (shape.name, c.choice(words), 10)}


def warehouse_calls(shape: Shape, block: Warehouse) -> dict[str, Arguments]:
    """Arguments for a warehouse; some of its texts are no SELECT."""
    name = shape.name
    texts = (f"SELECT COUNT(*) FROM {name}", f"DELETE FROM {name} WHERE TRUE", f"DROP TABLE {name}")
    return {
        **dataset_calls(shape),
        "describe": lambda _: (name,),
        "answer": lambda c: (Query(c.choice(texts), {}), "ask", 10),
        "select": lambda c: (c.choice(texts), {}, 10),
        "newest_by_metadata": lambda _: (shape.data, block.describe(name), None),
    }


def twins(folder: Path) -> list[Place]:
    """The two twins that hold rows, with a few rows each."""
    mails, orders = Shape("mails"), Shape("shop.orders")
    search = SqliteSearch(path=folder / "sqlite/file.db")
    warehouse = DuckdbWarehouse(path=folder / "duckdb/file.db")
    return [
        _twin("sqlite", search, mails, search_calls(mails)),
        _twin("duckdb", warehouse, orders, warehouse_calls(orders, warehouse)),
    ]


def _twin(
    name: str, block: SqliteSearch | DuckdbWarehouse, shape: Shape, calls: dict[str, Arguments]
) -> Place:
    def seen() -> Counter[str]:
        if isinstance(block, DuckdbWarehouse):
            return _keys(block.path, f"SELECT {shape.key} FROM {shape.name}")
        return Counter(row.key for row in block.list_rows(shape.data, SPANS, 10_000).rows)

    granted(block.replace, shape.name, shape.fields, shape.rows(Random(1)))
    return Place(name, block, calls, partial(files_of, block.path.parent), seen, rows_after)


def _keys(path: Path, query: str) -> Counter[str]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return Counter(row[0] for row in connection.execute(query).fetchall())


def rows_after(before: Counter[str], verb: str, arguments: tuple[Any, ...]) -> Counter[str]:
    """Which keys there are how often after one write."""
    keys = arguments[-1]
    if verb == "remove":
        return Counter({key: n for key, n in before.items() if key not in keys})
    added = Counter(row["k"] for row in keys)
    return added if verb == "replace" else before + added


def far_search(server: Scripted, name: str = "mails-1") -> Place:
    """An Elasticsearch, scripted or behind a recorder; each write ends in one of two requests."""

    def seen() -> int:
        return len(server.asked("/_bulk")) + len(server.asked("/_delete_by_query"))

    block = ElasticsearchSearch(url=server.url, sandbox=True)
    calls = search_calls(Shape(name))
    return Place("elasticsearch", block, calls, lambda: elasticsearch_writes(server), seen)


def far_warehouse(server: Scripted, project: str = PROJECT, name: str = "shop.orders") -> Place:
    """A BigQuery, scripted or behind a recorder; each write is one job."""

    def seen() -> int:
        loads = {tuple(one.query.items()) for one in server.requests if _is_load(one)}
        jobs = [one for one in bigquery_writes(server) if one.path.endswith("/jobs")]
        return len(loads) + len([one for one in jobs if not one.path.startswith("/upload/")])

    block = BigQueryWarehouse(project=project, location="US", api_endpoint=server.url, sandbox=True)
    calls = warehouse_calls(Shape(name, *ORDER_FIELDS), block)
    return Place("bigquery", block, calls, lambda: bigquery_writes(server), seen)


def _is_load(request: Request) -> bool:
    return request.path.startswith("/upload/") and request.method == "PUT"


def _channel(name: str, block: Notify, received: Callable[[], list[Any]]) -> Place:
    calls: dict[str, Arguments] = {
        "send": lambda c: (message(id=f"{c.getrandbits(64):x}"),),
        "compose": lambda _: (topic(),),
        "probe": lambda _: (),
        "takes": lambda _: ("opened",),
        **_acting("send"),
    }
    if hasattr(block, "seconds"):
        calls["seconds"] = lambda _: ()
    return Place(name, block, calls, lambda: list(received()), lambda: len(received()))


def channels(folder: Path, receivers: Mapping[str, Receiver], server: MailServer) -> list[Place]:
    """All ways to tell people."""
    made = [
        _channel(kind, web_channel(kind, there.url), lambda there=there: there.received)
        for kind, there in receivers.items()
    ]
    made.append(_channel("email", mail_channel(server.port), lambda: server.mails))
    path = folder / "outbox.jsonl"
    lines = lambda: path.read_text().splitlines() if path.exists() else []  # noqa: E731
    return [*made, _channel("outbox", OutboxNotify(path=path), lines)]


def built(folder: Path) -> Place:
    """A dbt project whose incremental model has one more row after each build."""
    block = DbtTransform(project_dir=folder)

    def seen() -> int:
        return _keys(folder / "chain.duckdb", "SELECT n FROM main.grows").total()

    def kept(_: Random) -> tuple[Any, ...]:
        return ({**(block.keep_for_undo("build", {}, KEY) or {}), "done_at": DAY.isoformat()},)

    calls: dict[str, Arguments] = {
        "undo_build": kept,
        "pulse": lambda c: ((), c.choice((True, False))),
        "probe": lambda _: (),
        "blast_radius": lambda _: (("base",),),
        "build": lambda _: (("grows",), False),
        **_acting("build"),
        "preview_undo": lambda c: ("build", *kept(c)),
        "is_source": lambda _: ("main.base",),
    }
    return Place("dbt", block, calls, partial(files_of, folder), seen)


def files_of(folder: Path) -> dict[str, bytes]:
    """Every byte in a folder, but for what readers of SQLite share and for empty logs."""
    found = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".db-shm"
    }
    return {name: content for name, content in found.items() if content}
