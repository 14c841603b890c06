"""A store is brought to the schema of the code once, by one, wholly or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from roundsman.errors import Mistake
from roundsman.store import Ledger, open_ledger, schema, schema_status
from roundsman.store.tables import LEDGER
from roundsman.store.verify import verify
from tests.store.words import ORG, ROOT, Home, change, child, rows, said, whole_run


def test_the_hand_kept_list_of_revisions_is_the_one_of_the_migrations() -> None:
    script = ScriptDirectory.from_config(schema.configuration())
    found = [revision.revision for revision in script.walk_revisions()]
    assert tuple(reversed(found)) == schema.REVISIONS


def test_migrations_make_exactly_the_tables_that_the_code_uses(ledger: Ledger) -> None:
    with ledger.core_reading() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": schema.VERSION_TABLE, "compare_type": True}
        )
        assert compare_metadata(context, LEDGER) == []


@pytest.mark.covers("A-038")
def test_the_schema_is_shown_before_and_after(home: Home, open_home: Callable[[], Ledger]) -> None:
    before = schema_status(home.url)
    assert (before.current, before.head, before.is_current) == (None, schema.HEAD, False)
    assert not (home.folder / "ledger.db").exists()
    open_home()
    assert schema_status(home.url).is_current


def test_a_store_newer_than_the_code_is_refused_and_left_alone(
    home: Home, open_home: Callable[[], Ledger]
) -> None:
    run_id = whole_run(open_home())
    change(open_home(), "UPDATE schema_version SET version_num = '9999'")
    with pytest.raises(Mistake, match="has schema '9999', which this code .* does not know") as no:
        open_home()
    assert no.value.remedy == "upgrade roundsman"
    assert schema_status(home.url).current == "9999"
    (row,) = rows_of(home, "SELECT run_id FROM agent_audit_log")
    assert row[0] == run_id


@pytest.mark.engine
def test_processes_that_start_at_once_on_nothing_agree(home: Home) -> None:
    code = (
        "ledger = open_ledger(url, key, anchors)\n"
        "run_id = runs.record_refused(ledger, 'default', ask(), {'type': 'x', 'message': 'y'})\n"
        "print(json.dumps([run_id, ledger.key.hex()]))"
    )
    children = [child(home, code) for _ in range(4)]
    answers = [said(process) for process in children]
    assert len({key for _, key in answers}) == 1
    ledger = open_ledger(home.url, home.key, home.anchors)
    result = verify(ledger, ORG)
    ledger.close()
    assert (result.ok, result.events) == (True, 4)


def test_a_process_killed_while_migrating_leaves_nothing_behind(
    home: Home, open_home: Callable[[], Ledger]
) -> None:
    victim = child(
        home,
        "import os, signal\nfrom sqlalchemy import Engine, event\nmade = []\n"
        "def after(connection, cursor, statement, *rest):\n"
        "    made.append(statement) if 'CREATE' in statement else None\n"
        "    if len(made) == 5: os.kill(os.getpid(), signal.SIGKILL)\n"
        "event.listen(Engine, 'after_cursor_execute', after)\n"
        "open_ledger(url, key, anchors)\n",
    )
    victim.communicate(timeout=60)
    assert victim.returncode == -signal.SIGKILL
    assert schema_status(home.url).current is None
    whole_run(open_home())


def test_a_current_store_is_opened_without_loading_alembic(home: Home, ledger: Ledger) -> None:
    code = "open_ledger(url, key, anchors).close()\nprint(json.dumps('alembic' in sys.modules))"
    assert said(child(home, code)) is False


def test_importing_the_store_loads_no_database_library() -> None:
    code = (
        "import sys, roundsman.store, roundsman.store.records\n"
        "print('sqlalchemy' in sys.modules, 'alembic' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert found.stdout.split() == ["False", "False"]


def rows_of(home: Home, statement: str) -> list[object]:
    from roundsman.store.engine import open_raw

    ledger = open_raw(home.url, home.key, None)
    found = rows(ledger, statement)
    ledger.close()
    return found
