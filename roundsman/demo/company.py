"""What the sample company has: the same rows for the same seed and moment, at every start."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from roundsman.rules.mail import MailRow, fingerprint_of
from roundsman.rules.windows import FieldType

NEWEST_MINUTES_AGO = 3
# Quiet, but not so quiet that a look at two weeks calls it unusual.
WEEKEND_SHARE = 0.75
CUSTOMERS = 120
DOMAINS = ("birchwood.example", "harbor.example", "lumen.example", "quarry.example")
SUBJECTS = (
    "Invoice {n} is ready",
    "Re: delivery on {day}",
    "Minutes of the planning round",
    "Your ticket {n} was answered",
    "Weekly figures, week {week}",
    "Question about order {n}",
)
PLANS = ("free", "team", "business")

CUSTOMER_FIELDS: dict[str, FieldType] = {
    "customer_id": "keyword",
    "domain": "keyword",
    "plan": "keyword",
    "updated_at": "timestamp",
}


class Company(BaseModel):
    """How large the sample is, and what is wrong with it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    now: datetime
    seed: int = 20
    days: int = Field(default=14, ge=2, le=366)
    mails_a_day: int = Field(default=280, ge=20, le=100_000)
    missing_rows: int = Field(default=37, ge=0)
    missing_days_ago: int = Field(default=5, ge=1)
    stale_days: int = Field(default=3, ge=0)
    late_hours: float = Field(default=6.0, ge=0)
    late_rows: int = Field(default=48, ge=0)
    late_days_ago: int = Field(default=2, ge=1)


class Sample(NamedTuple):
    """The rows of both sides, as keys also those that never reached the warehouse, and those that
    reached both sides late: after the one build of the demo."""

    mails: list[MailRow]
    missing: list[str]
    customers: list[dict[str, Any]]
    late: frozenset[str] = frozenset()

    def before_build(self) -> Sample:
        """What was there when the marts were built."""
        return self._replace(mails=[m for m in self.mails if m.message_id not in self.late])

    def after_build(self) -> Sample:
        """What arrived after that."""
        return self._replace(mails=[m for m in self.mails if m.message_id in self.late])


def found_company(company: Company) -> Sample:
    """Make the company's rows: mails up to now, one day incomplete, one table out of date.

    The newest hours, and some rows of an earlier day, are late.
    """
    chance = random.Random(company.seed)
    mails = [
        _mail(chance, number, at)
        for number, at in enumerate(sorted(_arrivals(company, chance)), start=1)
    ]
    missing = _missing(company, chance, mails)
    customers = list(_customers(company, chance))
    there = [mail for mail in mails if mail.message_id not in missing]
    return Sample(mails, missing, customers, frozenset(_late(company, chance, there)))


def _arrivals(company: Company, chance: random.Random) -> Iterator[datetime]:
    newest = company.now - timedelta(minutes=NEWEST_MINUTES_AGO)
    oldest = newest - timedelta(days=company.days)
    yield newest
    for number in range(company.days + 1):
        midnight = _midnight(newest) - timedelta(days=number)
        share = WEEKEND_SHARE if midnight.weekday() >= 5 else 1.0
        for _ in range(int(company.mails_a_day * share * chance.uniform(0.92, 1.08))):
            at = midnight + timedelta(seconds=chance.randrange(86_400))
            if oldest <= at < newest:
                yield at


def _midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _mail(chance: random.Random, number: int, at: datetime) -> MailRow:
    domain = chance.choice(DOMAINS)
    subject = chance.choice(SUBJECTS)
    subject = subject.format(n=chance.randrange(1000, 9999), day=f"{at:%A}", week=f"{at:%V}")
    sender = f"{chance.choice(('anna', 'ben', 'carla', 'dario', 'ela'))}@{domain}"
    return MailRow(
        message_id=f"mail-{number:06d}@sample.example",
        received_at=at,
        date_header=at - timedelta(seconds=chance.randrange(1, 90)),
        sender=sender,
        sender_domain=domain,
        recipient="desk@sample.example",
        subject=subject,
        size_bytes=chance.randrange(900, 40_000),
        fingerprint=fingerprint_of(f"{number} {subject}".encode()),
        broken=False,
        label=None,
        subtype=None,
    )


def _missing(company: Company, chance: random.Random, mails: list[MailRow]) -> list[str]:
    day = _of_day(company, company.missing_days_ago, mails)
    return sorted(chance.sample(day, min(company.missing_rows, len(day))))


def _late(company: Company, chance: random.Random, mails: list[MailRow]) -> Iterator[str]:
    since = company.now - timedelta(hours=company.late_hours)
    yield from (mail.message_id for mail in mails if mail.received_at >= since)
    day = _of_day(company, company.late_days_ago, mails)
    yield from chance.sample(day, min(company.late_rows, len(day)))


def _of_day(company: Company, days_ago: int, mails: list[MailRow]) -> list[str]:
    start = _midnight(company.now) - timedelta(days=min(days_ago, company.days - 1))
    return [mail.message_id for mail in mails if start <= mail.received_at < start + timedelta(1)]


def _customers(company: Company, chance: random.Random) -> Iterator[dict[str, Any]]:
    loaded = company.now - timedelta(days=company.stale_days)
    for number in range(1, CUSTOMERS + 1):
        yield {
            "customer_id": f"customer-{number:04d}",
            "domain": DOMAINS[(number - 1) % len(DOMAINS)],
            "plan": chance.choice(PLANS),
            "updated_at": loaded - timedelta(minutes=chance.randrange(0, 600)),
        }
