"""How a person comes in by the page: a pasted key becomes a cookie that no script can read."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from pydantic import ConfigDict, Field, SecretStr

from roundsman.api.access import (
    SESSION_COOKIE,
    Anybody,
    Caller,
    House,
    TheHouse,
    address_of,
    pay,
)
from roundsman.api.guard import hostname_of
from roundsman.api.problems import documented, example
from roundsman.api.words import Body
from roundsman.errors import Denied
from roundsman.settings import Settings
from roundsman.store import keys
from roundsman.store.keys import SECRET_CHARACTERS_MAX
from roundsman.store.sessions import Session, open_session, recognise_session

_SESSION = {
    "name": "ann@example.org",
    "org": "default",
    "permissions": ["read", "approve"],
    "csrf": "6b1f0c",
    "expires_at": "2025-10-17T22:30:00Z",
    "prefect_url": "http://127.0.0.1:4200",
}
_NOBODY = _SESSION | {"name": "", "permissions": [], "csrf": None, "expires_at": None}

router = APIRouter(tags=["session"])
# Whoever comes in has nothing yet to be known by.
opening = APIRouter(tags=["session"])


class Pasted(Body):
    """A key, in a body: an address would end up in logs."""

    model_config = ConfigDict(json_schema_extra={"example": {"key": "rm_..."}})

    key: SecretStr = Field(min_length=1, max_length=SECRET_CHARACTERS_MAX)


@opening.post("/session", responses=example(_SESSION) | documented(401, 403, 415, 422, 429))
def begin_session(
    request: Request, response: Response, house: TheHouse, body: Pasted
) -> dict[str, Any]:
    """Exchange a key for a cookie; what changes something then repeats `csrf` in X-CSRF-Token."""
    pay(house, f"address {address_of(request)}")
    owned = keys.recognise(house.ledger, body.key.get_secret_value().strip())
    if owned is None:
        said = "this key is unknown, expired or revoked"
        raise Denied(said, "paste one of `roundsman keys create`", status=401)
    session = open_session(house.ledger, owned)
    response.set_cookie(
        SESSION_COOKIE,
        session.token,
        expires=session.expires_at,
        httponly=True,
        samesite="strict",
        secure=_is_secure(request, house.settings),
    )
    caller = Caller(house.settings.model_copy(update={"org_id": owned.org}), owned.key)
    return _document(caller, session) | {"prefect_url": prefect_page(house)}


@router.get("/session", responses=example(_SESSION) | documented(401))
def read_session(request: Request, caller: Anybody, house: TheHouse) -> dict[str, Any]:
    """Say who is calling, and what he may do; without any key, somebody at this machine."""
    token = request.cookies.get(SESSION_COOKIE)
    known = recognise_session(house.ledger, token) if token else None
    session = None if known is None else known[1]
    return _document(caller, session) | {"prefect_url": prefect_page(house)}


@router.delete("/session", responses=example(_NOBODY) | documented(401, 403, 415))
def end_session(
    request: Request, response: Response, caller: Anybody, house: TheHouse
) -> dict[str, Any]:
    """Have the browser forget its cookie; revoking the key ends it everywhere."""
    response.delete_cookie(
        SESSION_COOKIE,
        httponly=True,
        samesite="strict",
        secure=_is_secure(request, house.settings),
    )
    return _NOBODY | {"org": caller.org, "prefect_url": prefect_page(house)}


def prefect_page(house: House) -> str | None:
    """Where Prefect's own pages are, which stand beside its API; None: it has no server."""
    url = house.settings.prefect_url()
    if url is None:
        return None
    parts = urlsplit(url)
    # Without what may stand before the @: the page shows this address to whoever may read.
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path.rstrip('/').removesuffix('/api')}"


def _document(caller: Caller, session: Session | None) -> dict[str, Any]:
    return {
        "name": caller.name,
        "org": caller.org,
        "permissions": list(caller.key.permissions) if caller.key else [],
        "csrf": session.csrf if session else None,
        "expires_at": f"{session.expires_at:%Y-%m-%dT%H:%M:%SZ}" if session else None,
    }


def _is_secure(request: Request, settings: Settings) -> bool:
    """Whether the browser came by TLS, by itself or to a proxy before us."""
    public = urlsplit(settings.public_url or "")
    is_public = hostname_of(request.headers.get("host", "")) == public.hostname
    return request.url.scheme == "https" or (is_public and public.scheme == "https")
