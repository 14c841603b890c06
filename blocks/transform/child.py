"""How dbt is run: it is killed when its time is over, and what it said is read."""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from blocks.transform.process import DbtProcess, start
from roundsman.envelope import current_or_none
from roundsman.errors import Refused, RoundsmanError, Unready

OUTPUT_BYTES_MAX = 50_000_000
LOOK_SECONDS = 0.1
SAID_LETTERS_MAX = 500
LINES_QUOTED = 3

# dbt must neither look for new versions nor tell anybody that it was used.
QUIET = {
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "DBT_VERSION_CHECK": "false",
    "DO_NOT_TRACK": "1",
    "DBT_USE_COLORS": "false",
}
# Log lines that are the command's own answer.
_SPOKEN = frozenset({"PrintEvent", "DebugCmdOut", "DebugCmdResult"})
# Log lines by which dbt says that it has begun with a node or a hook.
_BEGUN = frozenset({"LogStartLine", "LogHookStartLine", "NodeStart"})
_FAILED_CHECKS = re.compile(r"\d+ checks? failed")
_COLOURS = re.compile(r"\x1b\[\d*m")
# Words by which dbt and its adapters say that it may work a moment later.
_PASSING = (
    "could not set lock",
    "conflicting lock",
    "connection refused",
    "timed out",
    "temporarily unavailable",
)


class Finished(NamedTuple):
    """What a dbt command said: exit code, plain lines, error if any, whether it began a node."""

    code: int
    plain: list[str]
    error: str | None
    begun: bool = False


def run_dbt(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], seconds: float
) -> Finished:
    """Run one dbt command in the folder; Unready, and all of it killed, after so many seconds.

    It does not outlive this process, even if that is killed.
    """
    with tempfile.TemporaryFile() as output:
        command = ["--log-format", "json", *arguments]
        process = start(command, folder, {**environment, **QUIET}, output.fileno())
        try:
            code = _wait(process, arguments, seconds)
        finally:
            process.end()
        return _finished(code, output)


def meaning(what: str, said: str) -> RoundsmanError:
    """The error that says what to do about what dbt said."""
    short = " ".join(said.split())[:SAID_LETTERS_MAX]
    if any(words in short.lower() for words in _PASSING):
        return Unready(f"{what}: {short}", "try again when the database is free")
    if "Could not find adapter type" in short:
        return Refused(f"{what}: {short}", "install its adapter, such as 'roundsman[bigquery]'")
    return Refused(f"{what}: {short}", "correct the dbt project, its profile or the selectors")


def _wait(process: DbtProcess, arguments: Sequence[str], seconds: float) -> int:
    run = current_or_none()
    deadline = time.monotonic() + seconds
    limit = "build_timeout_seconds" if arguments[0] == "build" else "timeout_seconds"
    while (code := process.wait(LOOK_SECONDS)) is None:
        if run is not None:
            run.check_alive()
        if time.monotonic() >= deadline:
            raise Unready(
                f"dbt {arguments[0]} took longer than {seconds:.3g} s and was ended",
                f"narrow the selectors, or raise {limit} in systems.yaml",
            )
    return code


def _finished(code: int, output: IO[bytes]) -> Finished:
    output.seek(0)
    plain: list[str] = []
    errors: list[str] = []
    begun = False
    for line in output.read(OUTPUT_BYTES_MAX).decode(errors="replace").splitlines():
        said = _log_line(line)
        if said is None:
            plain.append(line)
        elif said.get("name") in _SPOKEN:
            plain.append(_COLOURS.sub("", str(said.get("msg"))))
        elif said.get("name") in _BEGUN:
            begun = True
        elif said.get("level") == "error" and said.get("msg"):
            errors.append(str(said["msg"]).removeprefix("Encountered an error:").strip())
    if not errors and code:
        told = [i for i, line in enumerate(plain) if _FAILED_CHECKS.search(line)]
        errors = plain[told[0] :] if told else plain[-LINES_QUOTED:]
    return Finished(code, plain, " ".join(errors) or None, begun)


def _log_line(line: str) -> dict[str, Any] | None:
    """What a line of dbt's log says; None for any other line."""
    try:
        found: Any = json.loads(line)
    except ValueError:
        return None
    info: Any = found.get("info") if isinstance(found, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] # dbt's own JSON
    return info if isinstance(info, dict) else None  # pyright: ignore[reportUnknownVariableType] # dbt's own JSON


def listed_ids(plain: Sequence[str]) -> Iterator[str]:
    """The ids among the lines of `dbt ls --output json --output-keys unique_id`."""
    for line in plain:
        try:
            found: Any = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and "unique_id" in found:
            yield str(found["unique_id"])  # pyright: ignore[reportUnknownArgumentType] # dbt's own JSON
