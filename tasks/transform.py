"""What may be tried again with the transformation: reading its pulse."""

from __future__ import annotations

from collections.abc import Sequence

from blocks.transform import Transform
from roundsman.agent import step
from roundsman.rules.pulse import PulseReading


@step
def read_pulse(
    transform: Transform, selectors: Sequence[str] = (), run_freshness: bool = True
) -> PulseReading:
    """The last dbt run and the freshness of the sources, narrowed by dbt's own selectors."""
    return transform.pulse(selectors, run_freshness)
