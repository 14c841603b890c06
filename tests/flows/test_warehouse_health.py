"""A round of the platform on the real engine, judged by what it leaves behind."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.warehouse_health import PLAN
from roundsman.rules.windows import FieldType
from roundsman.settings import get_settings
from tests.flows.platforms import Platform, mail, on_day, same_findings, without
from tests.permits import granted
from tests.servers.prefect_server import PrefectServer

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("run_home", "prefect_api")]

PRINTS = {"search_fingerprint_field": "fingerprint", "warehouse_fingerprint_field": "fingerprint"}


@pytest.mark.covers("A-039", "A-040", "A-041", "A-043", "A-044", "A-045")
def test_two_sides_that_agree_are_healthy(platform: Platform) -> None:
    mails = platform.mails()
    platform.fill(mails, mails)
    left = platform.look(strength="fingerprint", **PRINTS)
    assert (left.row.status, left.row.verdict, left.row.error) == ("success", "healthy", None)
    parity, freshness = left.artifacts["parity"], left.artifacts["freshness"]
    assert (parity["status"], parity["threshold_percent"]) == ("ok", 5.0)
    assert parity["es_count"] == parity["bq_count"] > 180
    assert parity["difference_percent"] == 0.0
    assert len(parity["daily_breakdown"]) == 3
    assert (freshness["status"], freshness["slo_minutes"]) == ("ok", 30)
    assert freshness["within_slo"] is True
    assert 3 <= freshness["age_minutes"] < 10
    assert left.artifacts["remediation"]["triggered"] is False
    assert left.artifacts["remediation"]["reason"] == "not_needed"
    summary = left.summary
    assert (summary["status"], summary["checks_passed"], summary["issues"]) == ("healthy", 2, [])


def test_missing_rows_of_a_day_are_named_with_their_ids(platform: Platform) -> None:
    mails = platform.mails()
    yesterday = platform.now - timedelta(days=1)
    lost = sorted(random.Random(7).sample(on_day(mails, yesterday), 40))
    platform.fill(mails, without(mails, lost))
    left = platform.look()
    assert (left.row.status, left.row.verdict) == ("success", "degraded")
    assert sorted(left.keys("missing")) == lost
    assert left.keys("extra") == left.keys("changed") == []
    bad = [d for d in left.artifacts["parity"]["daily_breakdown"] if d["status"] == "bad"]
    assert [(day["date"], day["difference"]) for day in bad] == [(f"{yesterday:%Y-%m-%d}", 40)]
    issue = left.issues["parity"]
    assert issue["severity"] == "high"
    assert f"{yesterday:%Y-%m-%d}" in issue["message"]
    assert all(f"`{key}`" in left.markdown for key in lost)
    assert left.artifacts["remediation"]["reason"] == "dry_run"


def test_balanced_differences_are_seen_by_keys_and_changes_by_fingerprints(
    platform: Platform,
) -> None:
    mails = platform.mails()
    inside = on_day(mails, platform.now - timedelta(days=1))
    swapped = [dict(row) for row in mails]
    for row in swapped:
        if row["message_id"] == inside[3]:
            row["message_id"] = "stranger@sample.example"
        if row["message_id"] == inside[9]:
            row["fingerprint"] += 1
    platform.fill(mails, swapped)
    assert platform.look(strength="count").artifacts["parity"]["keys"]["found"]["missing"] == 0
    listed = platform.look(strength="keys")
    assert (listed.keys("missing"), listed.keys("extra")) == (
        [inside[3]],
        ["stranger@sample.example"],
    )
    assert listed.artifacts["parity"]["estimate"]["rows"] > 0
    summed = platform.look(strength="fingerprint", **PRINTS)
    assert summed.keys("changed") == [inside[9]]
    assert summed.row.verdict == "healthy"
    assert summed.issues["differing_keys"]["severity"] == "low"


@pytest.mark.parametrize("strength", ["count", "keys", "fingerprint"])
def test_how_many_keys_are_named_changes_no_verdict(twins: Platform, strength: str) -> None:
    mails = twins.mails()
    gone = set(on_day(mails, twins.now - timedelta(days=1))[20:50])
    shift = timedelta(hours=6)
    moved = [
        row | {"received_at": row["received_at"] + shift, "message_id": f"x{i}", "fingerprint": i}
        if row["message_id"] in gone
        else row
        for i, row in enumerate(mails)
    ]
    twins.fill(mails, moved)
    for keys_max in (1, 1_000):
        left = twins.look(strength=strength, keys_max=keys_max, **PRINTS)
        assert (left.row.verdict, left.artifacts["parity"]["status"]) == ("degraded", "degraded")


@pytest.mark.parametrize("strength", ["keys", "fingerprint"])
def test_rows_that_lost_their_fingerprints_are_changed(twins: Platform, strength: str) -> None:
    mails = twins.mails()
    bare = on_day(mails, twins.now - timedelta(days=1))[:40]
    lost = [row | {"fingerprint": None} if row["message_id"] in bare else row for row in mails]
    for search, warehouse in ((mails, lost), (lost, mails)):
        twins.fill(search, warehouse)
        left = twins.look(strength=strength, **PRINTS)
        assert sorted(left.keys("changed")) == sorted(bare)
        assert left.row.verdict == "degraded"


def test_fingerprints_of_one_side_alone_are_not_compared(twins: Platform) -> None:
    mails = twins.mails()
    twins.fill(mails, mails)
    left = twins.look(strength="keys", search_fingerprint_field="fingerprint")
    assert (left.row.verdict, left.keys("changed")) == ("healthy", [])


def test_a_bucket_that_no_listed_key_explains_is_never_ok(twins: Platform) -> None:
    mails = twins.mails()
    key = on_day(mails, twins.now - timedelta(days=1))[7]
    nameless = [row | {"message_id": ""} if row["message_id"] == key else row for row in mails]
    changed = [
        row | {"fingerprint": row["fingerprint"] + 1} if row["message_id"] == "" else row
        for row in nameless
    ]
    twins.fill(nameless, changed)
    left = twins.look(strength="fingerprint", **PRINTS)
    parity = left.artifacts["parity"]
    assert (left.row.verdict, parity["status"]) == ("unknown", "unknown")
    assert [reason["signal"] for reason in parity["reasons"]] == ["look_incomplete"]
    assert parity["keys"]["buckets_unexplained"] == 1
    assert left.issues["unexplained"]["severity"] == "medium"


def test_old_rows_are_stale_though_the_counts_agree(platform: Platform) -> None:
    mails = platform.mails(newest_minutes_ago=180)
    platform.fill(mails, mails)
    left = platform.look()
    assert left.artifacts["parity"]["status"] == "ok"
    assert left.artifacts["freshness"]["status"] == "stale"
    assert left.artifacts["freshness"]["within_slo"] is False
    assert (left.row.verdict, left.issues["freshness"]["severity"]) == ("degraded", "high")


def test_rows_without_a_time_and_duplicate_keys_are_findings_of_their_own(
    platform: Platform,
) -> None:
    mails = platform.mails()
    twice = on_day(mails, platform.now - timedelta(days=1))[5]
    again = next(dict(row) for row in mails if row["message_id"] == twice)
    platform.fill([*mails, mail(90_000, None)], [*mails, again])
    left = platform.look()
    assert left.keys("duplicate") == [twice]
    sides = {side["side"]: side for side in left.artifacts["sides"]}
    assert (sides["search"]["without_time"], sides["warehouse"]["without_time"]) == (1, 0)
    assert sides["warehouse"]["duplicate_keys"] == 1
    assert left.issues["rows_without_time"]["severity"] == "medium"
    assert left.issues["duplicate_keys"]["severity"] == "medium"


def test_orders_are_compared_as_well_as_mails(platform: Platform) -> None:
    ours: dict[str, FieldType] = {
        "placed": "timestamp",
        "order_no": "keyword",
        "shop": "keyword",
    }
    theirs: dict[str, FieldType] = {
        "created_at": "timestamp",
        "id": "keyword",
        "country": "keyword",
        "state": "keyword",
    }
    rows = [(f"o{row['message_id'][5:10]}", row["received_at"]) for row in platform.mails()]
    granted(
        platform.search.replace,
        f"{platform.prefix}-orders",
        ours,
        [{"placed": at, "order_no": key, "shop": "de"} for key, at in rows]
        + [{"placed": at, "order_no": f"{key}x", "shop": "fr"} for key, at in rows],
    )
    states = ("paid", "sent", "cart")
    granted(
        platform.warehouse.replace,
        platform.table,
        theirs,
        [
            {"created_at": at, "id": key, "country": "DE", "state": states[i % 2]}
            for i, (key, at) in enumerate(rows)
            if i != len(rows) - 100
        ]
        + [
            {"created_at": at, "id": f"{key}c", "country": "DE", "state": "cart"}
            for key, at in rows
        ],
    )
    left = platform.look(
        index=f"{platform.prefix}-orders",
        search_time_field="placed",
        search_key_field="order_no",
        search_filter={"shop": "de"},
        warehouse_time_field="created_at",
        warehouse_key_field="id",
        warehouse_filter={"country": "DE", "state": ["paid", "sent"]},
        time_zone="Europe/Berlin",
    )
    assert left.keys("missing") == [rows[-100][0]]
    assert left.artifacts["parity"]["difference"] == 1
    assert left.row.verdict == "healthy"
    assert left.issues["schema"]["severity"] == "info"


@pytest.mark.needs("elasticsearch", "bigquery")
def test_the_same_rows_on_real_systems_give_the_same_findings(
    run_home: Path, real_systems: dict[str, Any]
) -> None:
    twin, real = Platform(run_home), Platform(run_home, real_systems)
    mails = twin.mails()
    lost = on_day(mails, twin.now - timedelta(days=1))[10:40]
    more = [mail(90_001, mails[-80]["received_at"]), mail(90_002, None)]
    found: list[Any] = []
    for place in (twin, real):
        place.declare(place.systems)
        place.fill(mails, [*without(mails, lost), *more])
        found.append(same_findings(place.look(strength="fingerprint", **PRINTS).artifacts))
    assert found[0] == found[1]


def test_rows_that_balance_out_over_a_day_are_found_by_their_hours(twins: Platform) -> None:
    mails = twins.mails()
    early, *_, lost = on_day(mails, twins.now - timedelta(days=1))
    at = next(row["received_at"] for row in mails if row["message_id"] == early)
    added = mail(90_001, at)
    twins.fill(mails, [*without(mails, [lost]), added])
    left = twins.look()
    assert left.artifacts["parity"]["difference"] == 0
    assert (left.keys("missing"), left.keys("extra")) == ([lost], [added["message_id"]])


def test_rows_of_the_future_do_not_make_old_data_fresh(twins: Platform) -> None:
    mails = twins.mails(newest_minutes_ago=90)
    twins.fill([*mails, mail(90_001, twins.now + timedelta(days=400))], mails)
    left = twins.look()
    assert left.artifacts["freshness"]["status"] == "stale"
    assert left.artifacts["freshness"]["age_minutes"] < 120
    assert left.issues["rows_in_future"]["severity"] == "medium"
    assert left.artifacts["parity"]["status"] == "ok"


def test_dbt_is_the_third_check_and_its_stale_source_is_named(twins: Platform) -> None:
    from roundsman.demo.company import Company, found_company
    from roundsman.demo.show import build_models, write_home
    from tasks.sandbox import Sandbox
    from tasks.seed import seed_search, seed_warehouse
    from tests.permits import ledger_of_tests, run_in

    write_home(get_settings())
    sample = found_company(Company(now=twins.now, days=4))
    with run_in(ledger_of_tests()):
        seed_search.body(Sandbox("local", twins.search), "emails", sample)
        warehouse = Sandbox("local", twins.warehouse)
        seed_warehouse.body(warehouse, "analytics.emails", "crm.customers", sample)
    build_models(get_settings())
    names = {"index": "emails-*", "table": "analytics.emails", "transform": "local"}
    left = twins.look(days=4, **names)
    dbt = left.artifacts["dbt"]
    assert (dbt["success"], dbt["models_run"], dbt["status"]) == (True, 4, "degraded")
    assert dbt["duration_sec"] > 0
    assert [source["name"] for source in dbt["stale_sources"]] == ["crm.customers"]
    assert left.issues["dbt"]["severity"] == "medium"
    assert (left.summary["total_checks"], left.summary["checks_passed"]) == (3, 1)
    assert sorted(left.keys("missing")) == sample.missing
    last = [step.name for step in left.steps][-4:]
    assert last == ["dbt_pulse", "auto_remediate", "summarize", "notify"]
    assert {step.name for step in left.steps} == set(PLAN)


def test_a_run_leaves_a_report_a_picture_and_what_prefect_shows(
    twins: Platform, prefect_server: PrefectServer
) -> None:
    mails = twins.mails()
    twins.fill(mails, mails)
    left = twins.look(objective="why is search behind?")
    kinds = [event.kind for event in left.events]
    assert kinds[0] == "run_started"
    assert kinds[-1] == "run_finished"
    assert kinds.count("artifact_written") == len(left.artifacts["files"]) >= 3
    assert left.markdown.startswith("# warehouse_health: healthy\n")
    assert "why is search behind?" in left.markdown
    assert json.loads(left.file("json").read_text())["parity"] == left.artifacts["parity"]
    picture = left.file("picture").read_text()
    assert picture.startswith("<svg")
    assert "<script" not in picture
    wanted = {"artifacts": {"flow_run_id": {"any_": [left.row.run_id]}}}
    shown = httpx.post(f"{prefect_server.url}/artifacts/filter", json=wanted).json()
    data = {item["key"]: item["data"] for item in shown}
    assert data["warehouse-health-report"].startswith("# warehouse_health: healthy")
    for kind in left.artifacts["files"]:
        assert left.file(kind).as_uri() in data[f"warehouse-health-report-{kind}"]


@pytest.mark.covers("A-043")
def test_without_a_transform_nothing_is_built_and_the_report_says_so(twins: Platform) -> None:
    mails = twins.mails()
    twins.fill(mails, without(mails, on_day(mails, twins.now - timedelta(days=1))[:40]))
    left = twins.look(dry_run=False, allow_actions=True)
    remediation = left.artifacts["remediation"]
    assert (remediation["triggered"], remediation["needed_for"]) == (False, ["parity_bad"])
    assert "the dbt project is not named (transform)" in remediation["said"]
    skipped = [step for step in left.steps if step.name == "auto_remediate"]
    assert [step.status for step in skipped] == ["skipped"]


def test_explain_tells_what_would_be_read_and_reads_nothing(twins: Platform) -> None:
    from flows.warehouse_health import Params, explain

    mails = twins.mails()
    twins.fill(mails, mails)
    told = explain(Params.model_validate(twins.params(transform="local", strength="keys")))
    assert [(r.system, r.why) for r in told] == [
        ("search/local", "every key of the window"),
        ("warehouse/local", "every key of the window"),
        ("transform/local", "source freshness and the results of the last run"),
    ]
    assert told[0].rows
    assert told[1].bytes
