"""What a line of the structured log costs (E-092: less than a millisecond)."""

from __future__ import annotations

import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.figures import Figure, emitter
from roundsman.log import configure_logging, get_logger

LINES = 2_000


def _median_ms(write: Callable[[int], object], lines: int) -> float:
    times: list[float] = []
    for number in range(lines):
        began = time.perf_counter()
        write(number)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def main() -> int:
    """Write lines with ours and with the bare standard library, into files."""
    out = emitter(__doc__ or "", lines=LINES)
    lines = out.sizes["lines"]
    with tempfile.TemporaryDirectory() as folder:
        plain = logging.Logger("plain")
        plain.addHandler(logging.FileHandler(Path(folder) / "plain.log"))
        floor = _median_ms(lambda number: plain.info("compared day %s", number), lines)
        configure_logging("info", Path(folder), "json")
        log = get_logger("bench", component="bench")
        ours = _median_ms(
            lambda number: log.info("compared a day", metadata={"day": number}), lines
        )
        out.emit(Figure("log_line_ms", ours, "ms", floor, 1.0))
    return out.exit_code()


if __name__ == "__main__":
    sys.exit(main())
