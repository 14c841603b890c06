"""Filling the sample company's search and warehouse: replaced whole, or what arrives later."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from roundsman.agent import step
from roundsman.demo.company import CUSTOMER_FIELDS, Sample
from roundsman.rules.mail import MAIL_FIELDS, MailRow
from roundsman.rules.windows import Span
from tasks.mail_files import BATCH_ROWS, ensure_dataset, fields_there, mails_in
from tasks.sandbox import Sandbox

# How every mail of the sample company is called.
SAMPLE_KEYS = "@sample.example"
# The oldest rows of the indices that are looked through for them.
FORGOTTEN_MAX = 500_000
ALWAYS = Span(datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))


@step
def seed_search(sandbox: Sandbox, prefix: str, sample: Sample) -> int:
    """Write every mail into its month's index; returns how many."""
    _forget(sandbox, prefix)
    months = _months(prefix, sample.mails)
    return sum(sandbox.replace(name, MAIL_FIELDS, _records(m)) for name, m in months.items())


@step
def seed_warehouse(sandbox: Sandbox, table: str, customers: str, sample: Sample) -> int:
    """Write the mails that reached the warehouse, and the customers; returns how many mails."""
    missing = set(sample.missing)
    arrived = (mail for mail in sample.mails if mail.message_id not in missing)
    sandbox.replace(customers, CUSTOMER_FIELDS, sample.customers)
    return sandbox.replace(table, MAIL_FIELDS, _records(arrived))


@step
def add_to_search(sandbox: Sandbox, prefix: str, sample: Sample) -> int:
    """Add mails that arrive after all others to their months' indices; returns how many."""
    for name, mails in _months(prefix, sample.mails).items():
        ensure_dataset(sandbox, name)
        sandbox.append(name, 0, [mail._asdict() for mail in mails])
    return len(sample.mails)


@step
def add_to_warehouse(sandbox: Sandbox, table: str, sample: Sample) -> int:
    """Add mails that arrive after all others to the table; returns how many."""
    ensure_dataset(sandbox, table)
    return sandbox.append(table, 0, [mail._asdict() for mail in sample.mails])


def _months(prefix: str, mails: Iterable[MailRow]) -> dict[str, list[MailRow]]:
    months: dict[str, list[MailRow]] = {}
    for mail in mails:
        months.setdefault(f"{prefix}-{mail.received_at:%Y.%m}", []).append(mail)
    return months


def _forget(sandbox: Sandbox, prefix: str) -> None:
    """Take a company of an earlier month, perhaps a larger one, out of all indices."""
    everywhere = mails_in(f"{prefix}-*")
    sandbox.block.require_sandbox("found a company in", everywhere.name)
    if not fields_there(sandbox.block, everywhere.name):
        return
    listing = sandbox.block.list_rows(everywhere, [ALWAYS], FORGOTTEN_MAX)
    keys = [row.key for row in listing.rows if row.key.endswith(SAMPLE_KEYS)]
    for lot, begin in enumerate(range(0, len(keys), BATCH_ROWS)):
        sandbox.remove(everywhere, lot, keys[begin : begin + BATCH_ROWS])


def _records(mails: Iterable[MailRow]) -> Iterable[dict[str, Any]]:
    return (mail._asdict() for mail in mails)
