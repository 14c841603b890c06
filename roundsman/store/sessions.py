"""How a browser that showed a key once is known again: by a sealed word that says which key."""

from __future__ import annotations

import base64
import hmac
import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from roundsman.store.chain import link
from roundsman.store.engine import Ledger
from roundsman.store.keys import Owned, find_good

SESSION_HOURS = 12
TOKEN_CHARACTERS_MAX = 1_000
NONCE_BYTES = 16


class Session(NamedTuple):
    """What a browser is given: a token for its cookie, and the word that its requests repeat."""

    token: str
    csrf: str
    expires_at: datetime


def open_session(ledger: Ledger, owned: Owned) -> Session:
    """Give a token that is as good as the key, for 12 hours and no longer than the key itself."""
    with ledger.reading() as connection:
        now = datetime.fromisoformat(ledger.now(connection))
    end = now + timedelta(hours=SESSION_HOURS)
    if owned.key.expires_at is not None:
        end = min(end, owned.key.expires_at)
    end = end.replace(microsecond=0)
    told = [owned.org, owned.key.key_id, int(end.timestamp()), secrets.token_hex(NONCE_BYTES)]
    body = base64.urlsafe_b64encode(json.dumps(told).encode()).decode()
    token = f"{body}.{_seal(ledger, body)}"
    return Session(token, csrf_of(ledger, token), end)


def recognise_session(ledger: Ledger, token: str) -> tuple[Owned, Session] | None:
    """Return whose token this is; None for one that is not ours, has expired, or whose key has.

    Nothing is kept of a token: revoking its key ends it, and so does time.
    """
    body, _, seal = token.partition(".")
    if len(token) > TOKEN_CHARACTERS_MAX or not token.isascii():
        return None
    if not hmac.compare_digest(seal, _seal(ledger, body)):
        return None
    org, key_id, until, _ = json.loads(base64.urlsafe_b64decode(body))
    end = datetime.fromtimestamp(until, UTC)
    with ledger.reading() as connection:
        is_over = datetime.fromisoformat(ledger.now(connection)) >= end
    owned = None if is_over else find_good(ledger, org, key_id)
    return None if owned is None else (owned, Session(token, csrf_of(ledger, token), end))


def csrf_of(ledger: Ledger, token: str) -> str:
    """Return the word that a page of ours can read and a foreign one cannot."""
    return link(ledger.key, b"csrf", (token.encode(),))


def _seal(ledger: Ledger, body: str) -> str:
    return link(ledger.key, b"session", (body.encode(),))
