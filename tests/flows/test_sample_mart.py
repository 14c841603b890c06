"""The sample company's mart: stale because its newest rows arrived after the last build."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from blocks.systems import load_system
from blocks.transform import DbtTransform
from flows.operations.seed_sample import Params, seed_sample
from roundsman.catalog import rounds
from roundsman.demo.company import Company, found_company
from roundsman.demo.show import build_models, write_home
from roundsman.settings import get_settings
from tests.flows.platforms import Left, Platform
from tests.permits import granted

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("run_home", "prefect_api")]


@pytest.fixture
def company(twins: Platform) -> Company:
    """The company as `make demo` leaves it."""
    write_home(get_settings())
    company = Company(now=datetime.now(UTC))
    deliver(company, "before_build")
    build_models(get_settings())
    deliver(company, "after_build")
    return company


def deliver(company: Company, arrivals: Literal["before_build", "after_build"]) -> None:
    params = Params(dry_run=False, allow_actions=True, now=company.now, arrivals=arrivals)
    asyncio.run(seed_sample.fn(params))


def look(twins: Platform, name: str) -> Left:
    return twins.look(**next(dict(known.params) for known in rounds() if known.name == name))


@pytest.mark.covers("A-043", "A-045")
def test_the_mart_lacks_what_arrived_after_the_build_and_a_build_heals_it(
    twins: Platform, company: Company
) -> None:
    earlier = {
        mail.message_id
        for mail in found_company(company).after_build().mails
        if mail.received_at < company.now - timedelta(hours=6)
    }

    stale = look(twins, "sample-mart")

    assert stale.artifacts["freshness"]["status"] == "stale"
    assert 360 <= stale.artifacts["freshness"]["age_minutes"] < 400
    assert stale.artifacts["parity"]["status"] == "degraded"
    bad = [day for day in stale.artifacts["parity"]["daily_breakdown"] if day["status"] == "bad"]
    assert [(day["date"], day["difference"]) for day in bad] == [
        (str((company.now - timedelta(days=2)).date()), 48)
    ]
    assert set(stale.keys("missing")) == earlier
    assert stale.artifacts["dbt"]["status"] == "ok"
    asked = stale.artifacts["remediation"]
    assert (asked["reason"], asked["triggered"]) == ("dry_run", False)
    assert asked["needed_for"] == ["parity_bad", "freshness_bad"]

    dbt = load_system("transform", "local")
    assert isinstance(dbt, DbtTransform)
    radius = dbt.blast_radius(["emails+"])
    assert radius.selected == ("customer_activity", "emails", "emails_daily")
    assert granted(dbt.build, ["emails+"]).success

    healed = look(twins, "sample-mart")
    assert healed.row.verdict == "healthy"
    assert healed.summary["issues"] == []
    assert healed.artifacts["remediation"]["reason"] == "not_needed"


def test_the_round_of_the_source_finds_what_it_always_found(
    twins: Platform, company: Company
) -> None:
    left = look(twins, "sample")
    assert left.artifacts["freshness"]["status"] == "ok"
    assert sorted(left.keys("missing")) == found_company(company).missing
    bad = [day for day in left.artifacts["parity"]["daily_breakdown"] if day["status"] == "bad"]
    assert [day["date"] for day in bad] == [str((company.now - timedelta(days=5)).date())]
    assert [s["name"] for s in left.artifacts["dbt"]["stale_sources"]] == ["crm.customers"]
    assert left.artifacts["dbt"]["models_run"] == 4
