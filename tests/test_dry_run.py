"""Dry run by means: whatever a plan calls, on the wire and on the disk nothing is written."""

from __future__ import annotations

import os
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest

from blocks.notify import OutboxNotify
from blocks.search import ElasticsearchSearch, SqliteSearch
from blocks.systems import KINDS, block_class
from blocks.warehouse import BigQueryWarehouse
from roundsman.errors import Denied, RoundsmanError
from roundsman.permits import Permit, Wish, act, ask_for, effect
from roundsman.rules.messages import Message, Receipt
from roundsman.rules.windows import Dataset, FieldType, Newest
from roundsman.store import Ledger, approvals, open_ledger
from roundsman.store.approvals import Wanted
from roundsman.store.verify import verify
from tests.blocks.channels import WEB_KINDS
from tests.blocks.test_transform_build import write_project
from tests.effects.places import (
    ORDER_FIELDS,
    Place,
    Shape,
    built,
    channels,
    far_search,
    far_warehouse,
    methods_of,
    twins,
)
from tests.effects.wires import recorded, scripted_bigquery, scripted_elasticsearch
from tests.ledgers import lay_file
from tests.permits import granted, run_in
from tests.servers.receiver import Receiver
from tests.servers.scripted import Scripted
from tests.servers.smtp import MailServer
from tests.store.words import ORG, finish

Start = Callable[..., Scripted]

# `make test` plays the quick form; ROUNDSMAN_TEST_PLANS=1000 plays as many as are claimed.
PLANS = int(os.environ.get("ROUNDSMAN_TEST_PLANS", "200"))
SECONDS_MAX = 300 + PLANS
CALLS_MAX = 6
SEED = 20


class Call(NamedTuple):
    """One method of one block, and what it is called with."""

    place: Place
    method: str
    arguments: tuple[Any, ...]


def plans(places: Sequence[Place], count: int) -> Iterator[list[Call]]:
    """So many plans of one to six calls; the same ones each time."""
    chance = Random(SEED)
    for _ in range(count):
        yield [_call(chance.choice(places), chance) for _ in range(chance.randint(1, CALLS_MAX))]


def _call(place: Place, chance: Random) -> Call:
    # A mutating method is as likely as a reading one, however few there are.
    reading = sorted(methods_of(type(place.block)) - place.mutating)
    method = chance.choice(chance.choice((sorted(place.mutating), reading)))
    return Call(place, method, place.calls[method](chance))


def _wish(plan: int, number: int) -> Wish:
    occasion, context = {"plan": plan, "call": number}, {"sandbox": True, "person": True}
    return Wish(target=f"plan/{plan}/{number}", occasion=occasion, context=context)


def play_dry(ledger: Ledger, places: Sequence[Place], count: int) -> int:
    """Play plans in dry runs; how many effects were asked for and denied."""
    before = {place.name: place.state() for place in places}
    denied = 0
    for number, plan in enumerate(plans(places, count)):
        with run_in(ledger, dry_run=True) as run:
            for index, call in enumerate(plan):
                denied += _denied(call, _wish(number, index))
            finish(ledger, run.id)
        for name in {call.place.name for call in plan}:
            (place,) = (place for place in places if place.name == name)
            said = [f"{call.place.name}.{call.method}" for call in plan]
            assert place.state() == before[name], f"plan {number} wrote to {name}: {said}"
    return denied


def _denied(call: Call, wish: Wish) -> bool:
    """Whether the call was one that changes something; then both ways to do it were closed."""
    method = getattr(call.place.block, call.method)
    if call.method not in call.place.mutating:
        _read(method, call.arguments)
        return False
    with pytest.raises(Denied):
        act(method, wish, *call.arguments)
    with pytest.raises(Denied):
        method(*call.arguments, permit=ask_for(method, wish, *call.arguments))
    return True


def _read(method: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    try:
        method(*arguments)
    except RoundsmanError:
        # A text that is no SELECT, or a scripted answer that does not fit: not what is tested.
        return


def play_live(ledger: Ledger, places: Sequence[Place], count: int) -> int:
    """Play the same plans live; how many effects there were, each exactly once."""
    done = 0
    for number, plan in enumerate(plans(places, count)):
        with run_in(ledger) as run:
            for index, call in enumerate(plan):
                done += _done_once(call, _wish(number, index))
            finish(ledger, run.id)
    return done


def _done_once(call: Call, wish: Wish) -> bool:
    place, method = call.place, getattr(call.place.block, call.method)
    if call.method not in place.mutating:
        _read(method, call.arguments)
        return False
    wanted = place.after(place.seen(), call.method, call.arguments)
    first = act(method, wish, *call.arguments)
    # Wanted again it is not done again, and the answer is the same.
    again = act(method, wish, *call.arguments)
    assert place.seen() == wanted, f"{place.name}.{call.method} did not happen exactly once"
    assert again == (first if isinstance(first, int) else first.model_dump(mode="json"))
    return True


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    lay_file(tmp_path)
    made = open_ledger(f"sqlite:///{tmp_path}/ledger.db", tmp_path / "key", tmp_path / "anchors")
    yield made
    made.close()


@pytest.fixture
def embedded(
    tmp_path: Path,
    scripted: Start,
    start_receiver: Callable[..., Receiver],
    mail_server: MailServer,
) -> list[Place]:
    """All blocks that need no server of somebody else's."""
    receivers = {kind: start_receiver() for kind in WEB_KINDS}
    return [
        *twins(tmp_path / "twins"),
        far_search(scripted_elasticsearch(scripted)),
        far_warehouse(scripted_bigquery(scripted)),
        *channels(tmp_path, receivers, mail_server),
    ]


@pytest.fixture
def project(tmp_path: Path) -> Place:
    """A dbt project that was built once."""
    write_project(tmp_path / "chain")
    place = built(tmp_path / "chain")
    granted(place.block.build, ("grows",), False)  # type: ignore[attr-defined]
    return place


def must_write_nothing_dry_and_once_live(
    ledger: Ledger, places: Sequence[Place], count: int
) -> None:
    denied = play_dry(ledger, places, count)
    assert approvals.list_actions(ledger, ORG, Wanted()) == []
    done = play_live(ledger, places, count)
    assert done == denied > 0
    assert verify(ledger, ORG).ok


def must_be_complete(place: Place) -> None:
    """Every method is called by plans: one that writes cannot be forgotten."""
    assert set(place.calls) == methods_of(type(place.block)), place.name


def test_every_kind_of_system_is_there_with_each_of_its_methods(
    embedded: list[Place], tmp_path: Path
) -> None:
    places = [*embedded, built(tmp_path)]
    known = {block_class(role, kind) for role, kinds in KINDS.items() for kind in kinds}
    assert {type(place.block) for place in places} == known
    for place in places:
        must_be_complete(place)


@pytest.mark.engine
@pytest.mark.timeout(SECONDS_MAX)
@pytest.mark.covers("A-016", "A-110")
def test_plans_write_nothing_in_a_dry_run_and_each_effect_once_live(
    ledger: Ledger, embedded: list[Place]
) -> None:
    must_write_nothing_dry_and_once_live(ledger, embedded, PLANS)


@pytest.mark.engine
def test_a_dbt_project_is_built_and_restored_by_permit_only(ledger: Ledger, project: Place) -> None:
    assert play_dry(ledger, [project], max(3, PLANS // 100)) > 0
    undo = project.block.undo_build  # type: ignore[attr-defined]
    before = project.seen()
    with run_in(ledger):
        assert _done_once(Call(project, "build", (("grows",), False)), _wish(0, 0))
        (row,) = approvals.list_actions(ledger, ORG, Wanted())
        kept = {**(row.undo or {}), "done_at": str(row.settled_at)}
        said = act(undo, _wish(0, 1), kept)
        assert (project.seen(), act(undo, _wish(0, 1), kept)) == (before, said)


@pytest.mark.needs("elasticsearch")
def test_a_real_elasticsearch_hears_no_write_in_a_dry_run(
    ledger: Ledger, scripted: Start, elasticsearch: Any
) -> None:
    name = f"plans-{uuid.uuid4().hex[:8]}"
    straight = ElasticsearchSearch(url=elasticsearch.url, sandbox=True)
    granted(straight.replace, name, Shape(name).fields, [])
    place = far_search(scripted(recorded(elasticsearch.url)), name)
    must_write_nothing_dry_and_once_live(ledger, [place], PLANS // 4)
    elasticsearch.ask("DELETE", f"/{name}")


@pytest.mark.needs("bigquery")
def test_a_bigquery_hears_no_write_in_a_dry_run(
    ledger: Ledger, scripted: Start, bigquery_warehouse: BigQueryWarehouse
) -> None:
    name = f"plans.t{uuid.uuid4().hex[:8]}"
    granted(bigquery_warehouse.replace, name, Shape(name, *ORDER_FIELDS).fields, [])
    server = scripted(recorded(str(bigquery_warehouse.api_endpoint)))
    place = far_warehouse(server, bigquery_warehouse.project, name)
    must_write_nothing_dry_and_once_live(ledger, [place], PLANS // 4)


# Writes that somebody might plant: each must make the property fail.


class SecretlyCounting(SqliteSearch):
    """Leaves a trace in its file when it is asked for the newest row."""

    _block_type_slug = "secretly-counting"

    def newest(self, data: Dataset, until: datetime | None = None) -> Newest:
        with sqlite3.connect(self.path) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS trace (at TEXT)")
            connection.execute("INSERT INTO trace VALUES ('now')")
        return super().newest(data, until)


class SecretlyIndexing(ElasticsearchSearch):
    """Indexes a document when it is asked for the fields."""

    _block_type_slug = "secretly-indexing"

    def fields(self, data: Dataset) -> dict[str, FieldType]:
        with self._metadata(data.name) as call:
            call.client().index(index=data.name, document={"seen": True})
        return super().fields(data)


class SecretlySending(OutboxNotify):
    """Has a method that sends, and declares no effect."""

    _block_type_slug = "secretly-sending"

    def greet(self) -> None:
        with self.path.open("a") as file:
            file.write("{}\n")


class SendingTwice(OutboxNotify):
    """Sends every message twice by one permit."""

    _block_type_slug = "sending-twice"

    @effect("askable")
    def send(self, message: Message, *, permit: Permit) -> Receipt:
        with self._locked(1.0) as file:
            self._append(file, b"{}\n")
            self._append(file, b"{}\n")
        return Receipt(place=self.place, reference=permit.key, said="written", at=message.at)


def _planted(places: list[Place], name: str, kind: type[Any]) -> Place:
    (place,) = (place for place in places if place.name == name)
    options = {name: getattr(place.block, name) for name in type(place.block).model_fields}
    return place._replace(block=kind(**options))


@pytest.mark.parametrize(
    ("name", "kind"), [("sqlite", SecretlyCounting), ("elasticsearch", SecretlyIndexing)]
)
def test_a_planted_write_is_found(
    ledger: Ledger, embedded: list[Place], name: str, kind: type[Any]
) -> None:
    planted = _planted(embedded, name, kind)
    with pytest.raises(AssertionError, match=f"wrote to {name}"):
        play_dry(ledger, [planted], PLANS)


def test_a_planted_method_that_no_plan_knows_is_found(embedded: list[Place]) -> None:
    planted = _planted(embedded, "outbox", SecretlySending)
    with pytest.raises(AssertionError, match="outbox"):
        must_be_complete(planted)


def test_an_effect_that_takes_place_twice_is_found(ledger: Ledger, embedded: list[Place]) -> None:
    with pytest.raises(AssertionError, match=r"outbox\.send did not happen exactly once"):
        play_live(ledger, [_planted(embedded, "outbox", SendingTwice)], PLANS)
