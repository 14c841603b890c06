"""What a transformation can be asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from prefect.blocks.core import Block

from roundsman.rules.pulse import PulseReading
from roundsman.rules.windows import Probe


class Transform(Block, ABC):
    """Models that are built from sources, and tests that watch them."""

    @abstractmethod
    def pulse(self, selectors: Sequence[str] = (), run_freshness: bool = True) -> PulseReading:
        """What the last run left behind, and how fresh the sources are now; changes neither.

        `selectors` narrow both. Unready means try again, Refused a project that cannot be read,
        Misread artifacts in another shape.
        """

    @abstractmethod
    def probe(self) -> Probe:
        """Whether the project and its connection work."""
