"""Looking at both sides of a comparison as far as they answer: newest rows, days, blemishes."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple, TypeVar

from roundsman.agent import Gap, step
from roundsman.rules.freshness import judge_freshness
from roundsman.rules.health import SideFindings
from roundsman.rules.parity import Counts, judge_parity
from roundsman.rules.schema import Described, FieldDrift, compare_schemas
from roundsman.rules.volume import UnusualDay, find_unusual_days, whole_days
from roundsman.rules.windows import Bucket, Newest, Settling, Window, settle_window
from tasks.dataset import (
    Blemishes,
    Both,
    SeenNewest,
    Sides,
    Source,
    count_buckets,
    read_blemishes,
    read_newest,
)

R = TypeVar("R")

# Judgements ask nothing of the outside; as steps they stand in the run's timeline.
check_parity = step(judge_parity).named("check_parity")
check_freshness = step(judge_freshness).named("check_freshness")


class Survey(NamedTuple):
    """What both sides told about themselves, in one window."""

    sides: Sides
    window: Window
    newest: Both[SeenNewest]
    daily: Both[list[Bucket]]
    blemishes: Both[Blemishes]

    @property
    def counts(self) -> Counts:
        """The daily counts; None for a side that was not read."""
        return Counts(told(self.daily.search), told(self.daily.warehouse))

    @property
    def newest_rows(self) -> tuple[Newest | None, Newest | None]:
        """The newest row of each side; None for a side that was not read."""
        return _newest(self.newest.search), _newest(self.newest.warehouse)

    @property
    def gaps(self) -> list[Gap]:
        """Everything that was not told; what one gap kept from being asked is no other gap."""
        gaps = [*self.newest.gaps, *self.daily.gaps, *self.blemishes.gaps]
        return list({id(gap): gap for gap in gaps}.values())

    def side_findings(self) -> tuple[SideFindings, ...]:
        """What is wrong with each side by itself."""
        seen = zip(self.sides, self.newest, self.blemishes, strict=True)
        return tuple(_findings(source, told(new), told(bad)) for source, new, bad in seen)

    def unusual_days(self) -> tuple[UnusualDay, ...]:
        """Days whose volume is unusual for their own series."""
        read = zip(self.sides, self.counts, strict=True)
        return tuple(
            day
            for source, buckets in read
            for day in find_unusual_days(source.side, whole_days(buckets or [], self.window))
        )

    def drifts(self) -> tuple[FieldDrift, ...]:
        """How the fields of both sides differ; nothing where one side did not tell."""
        search, warehouse = told(self.blemishes.search), told(self.blemishes.warehouse)
        if search is None or warehouse is None:
            return ()
        return compare_schemas(
            Described(data=self.sides.search.data, fields=search.fields),
            Described(data=self.sides.warehouse.data, fields=warehouse.fields),
        )


def told(answer: R | Gap) -> R | None:
    """The answer, or None where there is a gap."""
    return None if isinstance(answer, Gap) else answer


async def survey_sides(sides: Sides, now: datetime, settling: Settling) -> Survey:
    """Ask both sides; a side that did not answer once is not asked again.

    Raises the first side's error when neither answered.
    """

    async def newest_of(source: Source) -> SeenNewest | Gap:
        return await read_newest.named(source.step).or_gap(source, now)

    newest = await sides.ask(newest_of)
    if len(newest.gaps) == len(sides):
        raise newest.gaps[0].to_error()
    window = settle_window(now, _time(newest.search), _time(newest.warehouse), settling)

    async def days_of(source: Source) -> list[Bucket] | Gap:
        count = count_buckets.named(source.step)
        return await count.or_gap(source, "day", [window.span], window)

    async def blemishes_of(source: Source) -> Blemishes | Gap:
        return await read_blemishes.named(source.step).or_gap(source, window)

    daily = await sides.ask(days_of, after=newest)
    return Survey(sides, window, newest, daily, await sides.ask(blemishes_of, after=daily))


def _findings(
    source: Source, newest: SeenNewest | None, blemishes: Blemishes | None
) -> SideFindings:
    return SideFindings(
        side=source.side,
        without_time=blemishes.without_time if blemishes else None,
        duplicate_keys=blemishes.duplicate_keys if blemishes else None,
        in_future=newest.in_future if newest else False,
    )


def _newest(answer: SeenNewest | Gap) -> Newest | None:
    return None if isinstance(answer, Gap) else answer.newest


def _time(answer: SeenNewest | Gap) -> datetime | None:
    return None if isinstance(answer, Gap) else answer.newest.at
