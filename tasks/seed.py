"""Filling the sample company's search and warehouse; both sides are replaced whole."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from blocks.dataset import DatasetBlock
from roundsman.agent import step
from roundsman.demo.company import CUSTOMER_FIELDS, Sample
from roundsman.errors import Refused
from roundsman.rules.mail import MAIL_FIELDS, MailRow
from tasks.mail_files import BATCH_ROWS, mails_in


@step
def seed_search(block: DatasetBlock, prefix: str, sample: Sample) -> int:
    """Write every mail into its month's index; returns how many."""
    _forget(block, prefix, [mail.message_id for mail in sample.mails])
    months: dict[str, list[MailRow]] = {}
    for mail in sample.mails:
        months.setdefault(f"{prefix}-{mail.received_at:%Y.%m}", []).append(mail)
    return sum(block.replace(name, MAIL_FIELDS, _records(m)) for name, m in months.items())


@step
def seed_warehouse(block: DatasetBlock, table: str, customers: str, sample: Sample) -> int:
    """Write the mails that reached the warehouse, and the customers; returns how many mails."""
    missing = set(sample.missing)
    arrived = (mail for mail in sample.mails if mail.message_id not in missing)
    block.replace(customers, CUSTOMER_FIELDS, sample.customers)
    return block.replace(table, MAIL_FIELDS, _records(arrived))


def _forget(block: DatasetBlock, prefix: str, keys: list[str]) -> None:
    """Take a company of an earlier month out of indices that are not replaced now."""
    everywhere = mails_in(f"{prefix}-*")
    block.require_sandbox("found a company in", everywhere.name)
    try:
        for begin in range(0, len(keys), BATCH_ROWS):
            block.remove(everywhere, keys[begin : begin + BATCH_ROWS])
    except Refused as error:
        # No index yet: nothing to forget.
        if error.status not in (None, 404):
            raise


def _records(mails: Iterable[MailRow]) -> Iterable[dict[str, Any]]:
    return (mail._asdict() for mail in mails)
