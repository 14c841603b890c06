"""What every system that holds rows can be asked, whichever side of a comparison it stands on."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field

from blocks.acting import ActingBlock
from roundsman.errors import Denied, Refused
from roundsman.permits import Permit
from roundsman.rules.windows import (
    Bucket,
    Dataset,
    Estimate,
    FieldType,
    Level,
    Listing,
    Newest,
    Probe,
    Span,
)
from roundsman.store.records import Json

Fields = dict[str, FieldType]
Rows = Iterable[dict[str, Any]]

# Sums travel as doubles in Elasticsearch: above this a sum is no longer exact.
EXACT_SUM_BELOW = 2**53


class DatasetBlock(ActingBlock, ABC):
    """A place that holds datasets; the search side and the warehouse side both keep this contract.

    Times are aware and UTC, spans are half-open and a row counts once however often spans overlap.
    Everything but `replace`, `append` and `remove` only reads. `Unready` means try again,
    `Refused` means forbidden, missing or impossible, `Misread` an answer that is not a number.

    A permit to write is bound to the dataset, its fields or the keys, and not to the rows: they
    are streamed, so the occasion of the wish has to tell one lot of them from the next.
    """

    NO_UNDO: ClassVar[dict[str, str]] = {
        "replace": "the rows that were there are gone; import them again, or restore a backup",
        "append": "nothing tells the added rows from others; remove them by their keys",
        "remove": "the removed rows are kept nowhere; import them again",
    }
    twin: ClassVar[bool] = False

    sandbox: bool = Field(
        default=False, description="May be written to by imports, the demo and tests."
    )

    @abstractmethod
    def count_buckets(
        self, data: Dataset, level: Level, spans: Sequence[Span], zone: str
    ) -> list[Bucket]:
        """Rows per non-empty bucket, ascending: ONE operation.

        Days are calendar days of `zone`; hours and minutes are those of UTC. A bucket that a span
        cuts is named by its own beginning and counts the rows inside the spans. With a
        `fingerprint_field` each bucket carries the sum of it (rows without one add 0); a sum of
        2**53 or more is Refused.
        """

    @abstractmethod
    def list_rows(self, data: Dataset, spans: Sequence[Span], limit: int) -> Listing:
        """The first `limit` rows by (time, key); `cut` says that there were more.

        Each page is an operation. A row without a key has the key "".
        """

    @abstractmethod
    def newest(self, data: Dataset, until: datetime | None = None) -> Newest:
        """The latest time of a row, or of a row before `until`; None when there is no such row."""

    @abstractmethod
    def count_without_time(self, data: Dataset) -> int:
        """Rows that pass the filter and have no time."""

    @abstractmethod
    def count_duplicate_keys(self, data: Dataset, span: Span) -> int | None:
        """Rows of the span beyond the first of their key (rows minus distinct keys, rows without
        a key left out); None where the system cannot say exactly at a bearable price."""

    @abstractmethod
    def fields(self, data: Dataset) -> dict[str, FieldType]:
        """Names and types of the fields; metadata, no operation."""

    @abstractmethod
    def estimate(self, data: Dataset, spans: Sequence[Span]) -> Estimate:
        """What reading these spans would cost; no operation."""

    @abstractmethod
    def probe(self) -> Probe:
        """Whether it answers, what it is, and whether these credentials could write."""

    @abstractmethod
    def replace(self, name: str, fields: Fields, rows: Rows, *, permit: Permit) -> int:
        """Create the dataset or replace it whole; returns the number of rows.

        Denied unless this is a twin or marked `sandbox: true`. Doing it again does no harm.
        """

    @abstractmethod
    def append(self, name: str, rows: Rows, *, permit: Permit) -> int:
        """Add rows to a dataset that exists; same guard; returns the number of rows.

        What a lost answer means stands at each implementation.
        """

    @abstractmethod
    def remove(self, data: Dataset, keys: Sequence[str], *, permit: Permit) -> int:
        """Remove the rows with these keys (that pass the filter); same guard; returns how many.

        Doing it again does no harm.
        """

    def require_sandbox(self, verb: str, name: str) -> None:
        """Denied unless this system may be written to; every writing method calls it first."""
        if not (self.twin or self.sandbox):
            raise Denied(
                f"may not {verb} '{name}': this system is not marked as a sandbox",
                "write to a twin, or set 'sandbox: true' for it in systems.yaml",
            )


def of_replace(told: Mapping[str, Any]) -> Json:
    """What a permit to replace a dataset is bound to: its name and its fields."""
    return {"name": told["name"], "fields": dict(told["fields"])}


def of_append(told: Mapping[str, Any]) -> Json:
    """What a permit to append is bound to: the dataset's name."""
    return {"name": told["name"]}


def of_remove(told: Mapping[str, Any]) -> Json:
    """What a permit to remove is bound to: the dataset, and which keys.

    The keys by number and hash: they may be thousands, and name people's mails in a ledger that
    forgets nothing.
    """
    keys = list(told["keys"])
    digest = hashlib.sha256(json.dumps(keys).encode()).hexdigest()
    return {"data": told["data"], "keys": len(keys), "keys_sha256": digest}


def exact_sum(value: int | float, field: str, at: datetime) -> int:
    """The sum of a bucket as an integer; Refused where it could have been rounded on the way."""
    if abs(value) >= EXACT_SUM_BELOW:
        raise Refused(
            f"the sum of '{field}' in the bucket at {at.isoformat()} is 2**53 or more",
            "store a smaller fingerprint, for example 32 bits of a hash",
        )
    return int(value)
