"""Whether the door is open, and whether there is a house behind it."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse

from roundsman.api import page
from roundsman.api.access import TheHouse
from roundsman.api.problems import documented, example
from roundsman.errors import Unready
from roundsman.store import schema

router = APIRouter(tags=["health"])

_OK = {"status": "ok", "service": "roundsman"}


@router.get("/", responses=example(_OK), response_model=None)
def read_root(request: Request) -> JSONResponse | FileResponse:
    """Say which service this is; a browser, which asks for `text/html`, is given the page."""
    if "text/html" in request.headers.get("accept", ""):
        return page.send("index.html")
    return JSONResponse(_OK, headers={"Vary": "Accept"})


@router.get("/health", responses=example(_OK))
def read_health() -> dict[str, str]:
    """Say that the process answers; what it needs is asked by `/ready`."""
    return _OK


@router.get(
    "/ready",
    responses=example({"status": "ready", "schema": "0003"}) | documented(503),
)
def read_ready(house: TheHouse) -> dict[str, str | None]:
    """Say whether the ledger answers and has the schema of this code; 503 where it does not."""
    found = schema.status(house.ledger)
    if not found.is_current:
        said = f"the ledger has schema '{found.current}', this code wants '{found.head}'"
        raise Unready(said, "run `roundsman migrate`, or upgrade roundsman")
    return {"status": "ready", "schema": found.current}
