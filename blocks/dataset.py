"""What every system that holds rows can be asked, whichever side of a comparison it stands on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, ClassVar

from prefect.blocks.core import Block
from pydantic import Field

from roundsman.errors import Denied, Refused
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

# Sums travel as doubles in Elasticsearch: above this a sum is no longer exact.
EXACT_SUM_BELOW = 2**53


class DatasetBlock(Block, ABC):
    """A place that holds datasets; the search side and the warehouse side both keep this contract.

    Times are aware and UTC, spans are half-open and a row counts once however often spans overlap.
    Everything but `replace`, `append` and `remove` only reads. `Unready` means try again,
    `Refused` means forbidden, missing or impossible, `Misread` an answer that is not a number.
    """

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
    def replace(
        self, name: str, fields: dict[str, FieldType], rows: Iterable[dict[str, Any]]
    ) -> int:
        """Create the dataset or replace it whole; returns the number of rows.

        Denied unless this is a twin or marked `sandbox: true`.
        """

    @abstractmethod
    def append(self, name: str, rows: Iterable[dict[str, Any]]) -> int:
        """Add rows to a dataset that exists; same guard; returns the number of rows."""

    @abstractmethod
    def remove(self, data: Dataset, keys: Sequence[str]) -> int:
        """Remove the rows with these keys (that pass the filter); same guard; returns how many."""

    def require_sandbox(self, verb: str, name: str) -> None:
        """Denied unless this system may be written to; every writing method calls it first."""
        if not (self.twin or self.sandbox):
            raise Denied(
                f"may not {verb} '{name}': this system is not marked as a sandbox",
                "write to a twin, or set 'sandbox: true' for it in systems.yaml",
            )


def exact_sum(value: int | float, field: str, at: datetime) -> int:
    """The sum of a bucket as an integer; Refused where it could have been rounded on the way."""
    if abs(value) >= EXACT_SUM_BELOW:
        raise Refused(
            f"the sum of '{field}' in the bucket at {at.isoformat()} is 2**53 or more",
            "store a smaller fingerprint, for example 32 bits of a hash",
        )
    return int(value)
