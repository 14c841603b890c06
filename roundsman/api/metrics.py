"""What Prometheus is told when it scrapes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Response

from roundsman.envelope import ledger_of
from roundsman.errors import RoundsmanError
from roundsman.metrics import collect, up
from roundsman.rules.exposition import CONTENT_TYPES, choose_format, render
from roundsman.settings import get_settings
from roundsman.store import Ledger

EXAMPLE = (
    "# HELP agent_runs_total Runs that ended\n"
    "# TYPE agent_runs_total counter\n"
    'agent_runs_total{agent_type="warehouse_health",org="default",status="success"} 12\n'
)

router = APIRouter()


def scraped_ledger() -> Ledger | None:
    """The ledger that is told of; None where it cannot be opened, which a scrape is told too."""
    try:
        return ledger_of(get_settings())
    except RoundsmanError:
        return None


def scraped_org() -> str | None:
    """Whose numbers are told; None: everybody's, with the label `org`.

    The app overrides it with the org of the caller's key.
    """
    return None


@router.get(
    "/metrics",
    summary="Be scraped by Prometheus",
    response_class=Response,
    responses={
        200: {
            "description": "Prometheus' text format, or OpenMetrics where that is accepted",
            "content": {
                CONTENT_TYPES["text"]: {"example": EXAMPLE},
                CONTENT_TYPES["openmetrics"]: {"example": f"{EXAMPLE}# EOF\n"},
            },
        }
    },
)
def read_metrics(
    ledger: Annotated[Ledger | None, Depends(scraped_ledger)],
    org: Annotated[str | None, Depends(scraped_org)],
    accept: Annotated[str, Header()] = "",
) -> Response:
    """Totals, durations and what is open now; it answers before any run, and without a ledger."""
    families = [up(False)] if ledger is None else collect(ledger, org)
    form = choose_format(accept)
    return Response(render(families, form), headers={"Content-Type": CONTENT_TYPES[form]})
