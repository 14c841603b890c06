"""How a BigQuery job is waited for, read and, if need be, given up."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import date, datetime
from functools import partial
from typing import Any, NoReturn

from blocks.patience import seconds_for
from blocks.warehouse.contract import Answer
from roundsman.envelope import current_or_none
from roundsman.errors import Misread, Refused, Unready

POLL_SECONDS_FIRST, POLL_SECONDS_MAX = 0.1, 1.0
# The least that is given to a request whose time is all but over.
REQUEST_SECONDS_MIN = 1.0
LABEL_LETTERS_MAX = 63
SAID_LETTERS_MAX = 300

# Reasons that ask to come back later, whatever their HTTP status.
_PASSING = frozenset(
    {
        "backendError",
        "internalError",
        "jobBackendError",
        "jobInternalError",
        "jobRateLimitExceeded",
        "rateLimitExceeded",
        "tableUnavailable",
        "timeout",
    }
)
# Reasons that stay: the client gives a failed job's unknown reason the status 500.
_LASTING = frozenset({"bytesBilledLimitExceeded", "resourcesExceeded", "responseTooLarge"})


def parameter_type(value: Any) -> str:
    """BigQuery's name for the type of a value that a query binds."""
    if isinstance(value, datetime):
        return "DATETIME" if value.tzinfo is None else "TIMESTAMP"
    kinds = ((bool, "BOOL"), (int, "INT64"), (float, "FLOAT64"), (date, "DATE"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "STRING")


def run_labels() -> dict[str, str]:
    """Who asks, so that bills and lists of jobs can be told apart by run."""
    labels = {"app": "roundsman"}
    run = current_or_none()
    if run is not None:
        labels |= {"roundsman_run": run.id, "roundsman_agent": run.agent}
    return {name: value.lower()[:LABEL_LETTERS_MAX] for name, value in labels.items()}


def seconds_left(deadline: float) -> float:
    """What a request may still take."""
    return max(deadline - time.monotonic(), REQUEST_SECONDS_MIN)


def wait_for(job: Any, what: str, deadline: float) -> None:
    """Poll until the job is done; Unready at the deadline, Cancelled when the run is stopped."""
    run = current_or_none()
    pause = POLL_SECONDS_FIRST
    while job.state != "DONE":
        if run is not None:
            run.check_alive()
        left = deadline - time.monotonic()
        if left <= 0:
            raise Unready(f"{what} took too long and was cancelled", "read less, or try again")
        time.sleep(min(pause, left))
        pause = min(pause * 2, POLL_SECONDS_MAX)
        job.reload(retry=None, timeout=seconds_left(deadline))


def read_pages(rows: Any, what: str, rows_max: int, longest: float) -> Answer:
    """The first page came with the job's answer; each further one is an operation.

    `longest` is how many seconds a page may take where the budget leaves so many.
    """
    ask = rows.api_request
    schema: Iterable[Any] = rows.schema or ()
    names = [str(field.name) for field in schema]
    found: list[tuple[Any, ...]] = []
    pages = iter(rows.pages)
    page = next(pages, None)
    while page is not None:
        found += [tuple(row.values()) for row in page]
        if len(found) >= rows_max or rows.next_page_token is None:
            break
        # The client would give it what was left when the first page was asked for.
        rows.api_request = partial(ask, timeout=seconds_for(f"{what}, next page", longest))
        page = next(pages, None)
    require_whole(len(found), rows, what, rows_max)
    return Answer(names, found[:rows_max])


def require_whole(found: int, rows: Any, what: str, rows_max: int) -> None:
    """Misread unless as many rows arrived as the answer counts, or as many as were wanted."""
    total = rows.total_rows
    if total is None:
        raise Misread(f"{what}: the answer does not say how many rows it has")
    if min(found, rows_max) != min(total, rows_max):
        raise Misread(f"{what}: {found} of {total} rows arrived", "ask again")


def raise_meaning(what: str, error: Any) -> NoReturn:
    """Raise the error of ours that says what the caller should do about BigQuery's."""
    details: Iterable[Any] = error.errors or ()
    reasons = {str(part.get("reason")) for part in details}
    status = int(error.code or 0)
    said = f"{what}: {first_line(error)}"
    passing = status == 429 or status >= 500 or reasons & _PASSING
    if passing and not reasons & _LASTING:
        raise Unready(said, "try again", status=status) from error
    raise Refused(said, _remedy(status, reasons), status=status) from error


def first_line(error: BaseException) -> str:
    """The first line of what an error says."""
    text = str(getattr(error, "message", "") or error).strip()
    return " ".join(text.splitlines()[0].split())[:SAID_LETTERS_MAX] if text else repr(error)


def _remedy(status: int, reasons: set[str]) -> str:
    if "bytesBilledLimitExceeded" in reasons:
        return "shorten the window, or raise maximum_bytes_billed in systems.yaml"
    if status in (401, 403):
        return "grant BigQuery Job User on the project and Data Viewer on the dataset"
    if status == 404:
        return "correct the name or the location, or grant Data Viewer on the dataset"
    return "correct the query or the names of its columns"
