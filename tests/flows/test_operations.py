"""Operations: what doors need from systems, told in the ledger like any run."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from blocks.dataset import DatasetBlock
from flows.operations.explain import explain
from flows.operations.import_mail import Params as ImportParams
from flows.operations.import_mail import import_mail
from flows.operations.probe_systems import Params as ProbeParams
from flows.operations.probe_systems import probe_systems
from flows.operations.seed_sample import Params as SeedParams
from flows.operations.seed_sample import seed_sample
from flows.warehouse_health import warehouse_health
from roundsman.agent import spec_of
from roundsman.attempt import check
from roundsman.errors import Denied, Mistake
from roundsman.rules.windows import Span
from roundsman.settings import get_settings
from tasks.mail_files import ensure_dataset, mails_in, open_dataset
from tasks.sandbox import Sandbox
from tests.permits import granted

TWINS = """\
search:
  local: {kind: sqlite, path: search.db}
  far: {kind: elasticsearch, url: "http://127.0.0.1:9"}
warehouse:
  local: {kind: duckdb, path: warehouse.duckdb}
"""
MAILS = 30
LIVE = {"dry_run": False, "allow_actions": True}


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("ROUNDSMAN_HOME", str(tmp_path))
    get_settings.cache_clear()
    (tmp_path / "systems.yaml").write_text(TWINS)
    yield tmp_path
    get_settings.cache_clear()


@pytest.fixture
def corpus(tmp_path) -> Path:
    """Thirty mails and two lines that are none."""
    lines = [json.dumps({"raw_base64": _mail(number)}) for number in range(MAILS)]
    path = tmp_path / "mails.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join([*lines, "{broken", '{"raw_base64": "%"}']).encode()))
    return path


def _mail(number: int) -> str:
    raw = (
        f"Message-ID: <{number}@t.example>\nFrom: a@b.example\nSubject: n {number}\n"
        f"Date: Wed, 28 Aug 2002 10:{number:02d}:00 +0000\n\nbody {number}\n"
    )
    return base64.b64encode(raw.encode()).decode()


def sides() -> list[tuple[DatasetBlock, str]]:
    return [
        (open_dataset("search", "local"), "emails-*"),
        (open_dataset("warehouse", "local"), "analytics.emails"),
    ]


def rows(block: DatasetBlock, name: str, days: int = 15) -> dict[str, tuple[datetime, int | None]]:
    now = datetime.now(UTC)
    span = Span(now - timedelta(days=days), now + timedelta(hours=1))
    listing = block.list_rows(mails_in(name), [span], 10_000)
    return {row.key: (row.at, row.fingerprint) for row in listing.rows}


def run_import(corpus: Path, **more: object) -> dict[str, int]:
    changed = LIVE | {"arrive_over_hours": 336} | more
    params = ImportParams(paths=[str(corpus)], **changed)
    return asyncio.run(import_mail.fn(params)).artifacts["import"]


def test_mails_arrive_on_both_sides_with_the_same_keys_and_fingerprints(home, corpus):
    told = run_import(corpus)
    assert told == {"mails": 32, "broken": 2, "duplicates": 0, "indexed": 32, "loaded": 32}
    search, warehouse = (rows(*side) for side in sides())
    assert len(search) == 32
    assert {key: found[1] for key, found in search.items()} == {
        key: found[1] for key, found in warehouse.items()
    }


def test_arrivals_are_spread_up_to_now(home, corpus):
    run_import(corpus)
    for side in sides():
        arrived = sorted(at for at, _ in rows(*side).values())
        assert datetime.now(UTC) - arrived[-1] < timedelta(minutes=1)
        assert timedelta(days=13) < arrived[-1] - arrived[0] < timedelta(days=14)


def test_without_spreading_the_mails_own_date_counts(home, corpus):
    run_import(corpus, arrive_over_hours=None)
    for block, name in sides():
        span = Span(datetime(2002, 8, 28, tzinfo=UTC), datetime(2002, 8, 29, tzinfo=UTC))
        assert len(block.list_rows(mails_in(name), [span], 100).rows) == MAILS


def test_importing_again_doubles_nothing(home, corpus):
    run_import(corpus)
    run_import(corpus)
    run_import(corpus, arrive_over_hours=24)
    assert [len(rows(*side)) for side in sides()] == [32, 32]


def test_a_dry_run_counts_and_writes_nothing(home, corpus):
    params = ImportParams(paths=[str(corpus)], dry_run=True)
    told = asyncio.run(import_mail.fn(params)).artifacts["import"]
    assert (told["mails"], told["indexed"], told["loaded"]) == (32, 0, 0)
    assert not (home / "search.db").exists()


def test_a_task_too_denies_what_is_no_sandbox(home):
    with pytest.raises(Denied, match="sandbox"):
        ensure_dataset(Sandbox("search/far", open_dataset("search", "far")), "emails-2026.01")


@pytest.mark.parametrize("operation", [import_mail, seed_sample])
def test_what_is_no_sandbox_is_refused_before_a_run_begins(home, corpus, operation):
    spec = spec_of(operation)
    more = {"paths": [str(corpus)]} if operation is import_mail else {}
    with pytest.raises(Mistake, match="search 'far' is not marked as a sandbox"):
        check(spec, {"search": "far", **LIVE, **more}, {})
    check(spec, {"search": "far", "dry_run": True, **more}, {})


def test_wrong_parameters_are_not_explained(home):
    wrong = {"name": "warehouse_health", "given": {"nosuch": 1}}
    with pytest.raises(Mistake, match="unknown parameter 'nosuch'"):
        check(spec_of(explain), wrong, {})


@pytest.mark.parametrize(
    ("systems", "given", "said"),
    [
        (TWINS + "notify: [", {}, "systems.yaml' in line"),
        (TWINS, {"findings": {"channel": "tem"}}, "no notify named 'tem'"),
        (
            TWINS + 'notify: {team: {kind: slack, url: "${NOT_SET}"}}',
            {"findings": {"channel": "team"}},
            "needs the environment variable NOT_SET",
        ),
    ],
)
def test_what_the_run_would_be_refused_for_is_not_explained(home, systems, given, said):
    (home / "systems.yaml").write_text(systems)
    for spec, params in (
        (spec_of(warehouse_health), given),
        (spec_of(explain), {"name": "warehouse_health", "given": given}),
    ):
        with pytest.raises(Mistake, match=said):
            check(spec, params, {})


def test_an_import_into_an_unknown_system_names_the_known_ones(home, corpus):
    with pytest.raises(Mistake, match="far"):
        run_import(corpus, search="prod")


def test_a_table_of_other_columns_is_not_imported_into(home, corpus):
    warehouse = open_dataset("warehouse", "local")
    granted(warehouse.replace, "analytics.emails", {"message_id": "keyword"}, [])
    with pytest.raises(Mistake, match="analytics.emails"):
        run_import(corpus)


def test_a_path_that_is_no_mail_is_refused_with_the_kinds_that_are():
    with pytest.raises(ValueError, match=r"'/nowhere' does not exist.*mbox"):
        ImportParams(paths=["/nowhere"])


def test_the_sample_company_lacks_its_planted_rows_in_the_warehouse(home):
    params = SeedParams(**LIVE, mails_a_day=60, days=8)
    told = asyncio.run(seed_sample.fn(params)).artifacts
    search, warehouse = (rows(*side) for side in sides())
    assert len(search) == told["indexed"]
    assert len(set(search) - set(warehouse)) == told["missing"] > 0
    assert set(warehouse) < set(search)


def test_founding_the_company_again_replaces_it(home):
    for moment in (datetime.now(UTC) - timedelta(days=40), datetime.now(UTC)):
        params = SeedParams(**LIVE, mails_a_day=20, days=3, now=moment)
        told = asyncio.run(seed_sample.fn(params)).artifacts
    for (block, name), count in zip(sides(), (told["indexed"], told["loaded"]), strict=True):
        assert len(rows(block, name, days=60)) == count


def test_a_system_that_does_not_answer_hides_no_other(home, corpus):
    run_import(corpus)
    answers = asyncio.run(probe_systems.fn(ProbeParams())).artifacts["systems"]
    found = {f"{answer['role']}/{answer['name']}": answer for answer in answers}
    assert found["search/local"]["reachable"]
    assert found["warehouse/local"]["reachable"]
    assert not found["search/far"]["reachable"]
    assert "127.0.0.1:9" in found["search/far"]["said"]


def test_operations_are_told_in_the_ledger(home):
    from roundsman.store import open_ledger, runs
    from roundsman.store.records import HistoryFilter

    asyncio.run(probe_systems.fn(ProbeParams()))
    settings = get_settings()
    ledger = open_ledger(settings.ledger_url, settings.chain_key, settings.anchor)
    found, _ = runs.history(ledger, settings.org_id, HistoryFilter(agent_type="probe_systems"))
    assert [row.status for row in found] == ["success"]
