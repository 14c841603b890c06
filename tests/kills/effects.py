"""Kills around an effect: what is outside then, and after another run that wants the same."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from roundsman.permits import declared_effects
from roundsman.rules.permit import LostAnswer
from roundsman.rules.windows import Dataset, Span
from tests.blocks.test_transform_build import write_project
from tests.kills.cases import CHILD, Case
from tests.kills.effect_leaver import AT, FIELDS, OLD, block_of, name_in
from tests.kills.scene import Scene, Told
from tests.permits import granted, permit_for, row_of
from tests.servers.receiver import Receiver
from tests.servers.smtp import MailServer

ACTIONS = "roundsman.store.actions"
# Each block that needs no server of somebody else's, where its class is, and its mutating methods.
VERBS: dict[str, tuple[str, tuple[str, ...]]] = {
    "outbox": ("blocks.notify.outbox:OutboxNotify", ("send",)),
    "slack": ("blocks.notify.slack:SlackNotify", ("send",)),
    "webhook": ("blocks.notify.webhook:WebhookNotify", ("send",)),
    "pagerduty": ("blocks.notify.pagerduty:PagerDutyNotify", ("send",)),
    "email": ("blocks.notify.email:EmailNotify", ("send",)),
    "sqlite": ("blocks.search.sqlite:SqliteSearch", ("replace", "append", "remove")),
    "duckdb": ("blocks.warehouse.duckdb:DuckdbWarehouse", ("replace", "append", "remove")),
    "dbt": ("blocks.transform.dbt:DbtTransform", ("build", "undo_build")),
}
MOMENTS = ("before the effect", "after the effect, unanswered", "answered, unsettled")


class Stage(NamedTuple):
    """Where one effect is to take place, and how often it did, as seen from outside."""

    place: str
    count: Callable[[], int]


def lost_answer(block: str, verb: str) -> LostAnswer:
    """What the block's method says that a lost answer means."""
    places = {"slack": "http://h", "webhook": "http://h", "pagerduty": "http://h", "email": "h:25"}
    return declared_effects(type(block_of(block, places.get(block, "/x"))))[verb].lost_answer


def _case(block: str, verb: str, moment: str) -> Case:
    where, _ = VERBS[block]
    kill = {
        MOMENTS[0]: f"{ACTIONS}:claim exit 1",
        MOMENTS[1]: f"{where}.{verb} exit 1",
        MOMENTS[2]: f"{ACTIONS}:settle enter 1",
    }[moment]
    is_done = moment != MOMENTS[0]
    if lost_answer(block, verb) == "once":
        # Nobody does it again; a person has to look.
        statuses, lines = ("failed", "crashed"), int(is_done)
    else:
        statuses, lines = ("success", "crashed"), 1
    return Case(moment, f"effect {block} {verb}", f"{CHILD} {kill}", statuses, "change", lines)


EFFECTS = (
    [
        _case(block, verb, moment)
        for moment in MOMENTS
        for block, (_, verbs) in VERBS.items()
        for verb in verbs
    ]
    + [
        # A file is put back in one stroke; what is killed on either side of it is done again.
        Case(
            "putting back",
            "effect dbt undo_build",
            f"{CHILD} blocks.transform.copies:{place} enter 1",
            ("success", "crashed"),
            "change",
            1,
        )
        for place in ("put_back", "_forget_log")
    ]
    + [
        # The other side has heard it, and its answer is on the way.
        Case(
            "answer on the way",
            f"effect {block} send",
            f"{CHILD} blocks.notify.web:_words enter 1",
            ("success" if block == "pagerduty" else "failed", "crashed"),
            "change",
            1,
        )
        for block in ("webhook", "slack", "pagerduty")
    ]
)


def play_effect(scene: Scene, case: Case, home: Path) -> tuple[Told, list[str]]:
    """Let a run die around its effect, and another one want the same; what is wrong with both."""
    _, block, verb = case.script.split()
    with _staged(block, verb, home) as stage:
        words = [f"block={block}", f"verb={verb}", f"place={stage.place}"]
        command = ["run", "effect_leaver", "--live", "--json"]
        for word in words:
            command += ["--param", word]
        died = scene.roundsman(home, *command, kill=case.kill)
        if died.returncode == 0:
            raise AssertionError(f"nothing died at {case.kill}: {died.stdout}{died.stderr}")
        between = _states(scene, home)
        scene.roundsman(home, *command)
        told = scene.judge(home, len(case.statuses))._replace(
            lines=Counter({f"{block} {verb}": stage.count()})
        )
    return told, _wrong(case, between, _states(scene, home))


def _states(scene: Scene, home: Path) -> list[str]:
    listed = scene.roundsman(home, "actions", "list", "--json")
    return [row["state"] for row in json.loads(listed.stdout)["actions"]]


def _wrong(case: Case, between: list[str], after: list[str]) -> list[str]:
    found = [] if between == ["unknown"] else [f"after the kill it was {between}, not unknown"]
    wanted = ["done" if case.statuses[0] == "success" else "unknown"]
    return found + ([] if after == wanted else [f"in the end it was {after}, not {wanted}"])


@contextmanager
def _staged(block: str, verb: str, home: Path) -> Generator[Stage]:
    if block == "email":
        with MailServer() as server:
            yield Stage(f"127.0.0.1:{server.port}", lambda: len(server.mails))
    elif block in ("slack", "webhook", "pagerduty"):
        with Receiver() as receiver:
            yield Stage(receiver.url, lambda: _heard(block, receiver))
    elif block == "dbt":
        yield _project(home / "chain", verb)
    elif block == "outbox":
        file = home / "outbox.jsonl"
        yield Stage(str(file), lambda: len(file.read_text().splitlines()) if file.exists() else 0)
    else:
        yield _dataset(block, verb, home / "data.db")


def _heard(block: str, receiver: Receiver) -> int:
    if block == "pagerduty":
        # Over there all events of one key are one alert.
        return len({json.loads(one.body)["dedup_key"] for one in receiver.received})
    return len(receiver.received)


def _dataset(block: str, verb: str, file: Path) -> Stage:
    made: Any = block_of(block, str(file))
    granted(made.replace, name_in(block), FIELDS, [OLD])
    span = [Span(AT, AT + timedelta(days=1))]
    data = Dataset(name=name_in(block), time_field="t", key_field="k")

    def count() -> int:
        keys = Counter(row.key for row in made.list_rows(data, span, 100).rows)
        if verb == "append":
            return keys["new"] if keys["old"] == 1 else -1
        return int(keys == Counter({"replace": ["new"], "remove": []}[verb]))

    return Stage(str(file), count)


def _project(folder: Path, verb: str) -> Stage:
    """A dbt project that was built; its incremental model has one more row after each build."""
    write_project(folder)
    made: Any = block_of("dbt", str(folder))
    granted(made.build, ("grows",), False)
    if verb == "undo_build":
        permit = permit_for(made.build, ("grows",), False)
        made.build(("grows",), False, permit=permit)
        row = row_of(permit)
        kept = {**(row.undo or {}), "done_at": str(row.settled_at)}
        (folder / "kept.json").write_text(json.dumps(kept))

    def count() -> int:
        with duckdb.connect(str(folder / "chain.duckdb"), read_only=True) as connection:
            (rows,) = connection.execute("SELECT COUNT(*) FROM grows").fetchone() or (0,)
        return int(rows) - 1 if verb == "build" else int(rows == 1)

    return Stage(str(folder), count)
