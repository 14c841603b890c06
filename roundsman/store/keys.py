"""Who may come in by the API, as whom, and what for: keys made, recognised and revoked."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple, get_args

from roundsman.errors import Mistake
from roundsman.store.driver import Connection
from roundsman.store.engine import Ledger
from roundsman.store.events import lock_head
from roundsman.store.key_table import KEYS
from roundsman.store.keyed import NO_RUN, Change, Row, enter, read_row
from roundsman.store.records import Event, Record
from roundsman.store.tables import instant_text

Permission = Literal["read", "write", "approve", "admin"]
PERMISSIONS: tuple[Permission, ...] = get_args(Permission)

SECRET_PREFIX = "rm_"
SECRET_BYTES = 32
SECRET_CHARACTERS_MAX = 200
ID_BYTES = 6
NAME_CHARACTERS_MAX = 100
KEYS_MAX = 1_000
LAST_LETTERS = 4

_LISTED = " ORDER BY created_at, key_id LIMIT :limit"
_GOOD = " AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > {clock})"
_ANY = f"SELECT 1 FROM api_keys WHERE org_id = :org{_GOOD} LIMIT 1"
_OWNER = f"SELECT org_id, key_id FROM api_keys WHERE sha256 = :sha256{_GOOD}"
_NAMED = f"SELECT 1 FROM api_keys WHERE org_id = :org AND key_id = :key{_GOOD}"
_ORGS = f"SELECT DISTINCT org_id FROM api_keys WHERE true{_GOOD}"


class ApiKey(Record):
    """One key, without what would open a door; times are UTC."""

    key_id: str
    name: str
    permissions: tuple[Permission, ...]
    last_four: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None

    def may(self, permission: Permission) -> bool:
        """Whether the key opens this; `admin` opens everything."""
        return permission in self.permissions or "admin" in self.permissions


class Owned(NamedTuple):
    """A key and the org whose rows it opens."""

    org: str
    key: ApiKey


class NewKey(NamedTuple):
    """What a key is to be."""

    name: str
    permissions: Sequence[str]
    expires_at: datetime | None
    who: str


def create_key(ledger: Ledger, org: str, wanted: NewKey) -> tuple[ApiKey, str]:
    """Make a key; gives it and its secret, which nobody can be told again.

    Raises Mistake for a name, a permission or an expiry that cannot be.
    """
    name = wanted.name.strip()
    if not name.isprintable() or not 0 < len(name) <= NAME_CHARACTERS_MAX:
        said = f"'{name[:NAME_CHARACTERS_MAX]}' cannot name a key"
        raise Mistake(said, f"give 1 to {NAME_CHARACTERS_MAX} printable characters")
    secret = SECRET_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    row: Row = {
        "name": name,
        "permissions": _checked(wanted.permissions),
        "sha256": _sha256(secret),
        "last_four": secret[-LAST_LETTERS:],
        "created_by": wanted.who,
        "expires_at": None if wanted.expires_at is None else instant_text(wanted.expires_at),
    }
    key_id = secrets.token_hex(ID_BYTES)
    with ledger.transaction() as connection:
        lock_head(connection, ledger, org)
        at = ledger.now(connection)
        _refuse_past(row["expires_at"], at)
        _enter(connection, ledger, org, ("key_created", key_id, row | {"created_at": at}))
        return _must_read(connection, ledger, org, key_id), secret


def revoke_key(ledger: Ledger, org: str, key_id: str, who: str) -> ApiKey:
    """Let a key open nothing any more. Raises Mistake where there is none, or it was revoked."""
    with ledger.transaction() as connection:
        lock_head(connection, ledger, org)
        key = _must_read(connection, ledger, org, key_id)
        if key.revoked_at is not None:
            raise Mistake(f"key '{key_id}' was revoked before, by {key.revoked_by}")
        changes = {"revoked_at": ledger.now(connection), "revoked_by": who}
        _enter(connection, ledger, org, ("key_revoked", key_id, changes))
        return _must_read(connection, ledger, org, key_id)


def list_keys(ledger: Ledger, org: str) -> list[ApiKey]:
    """Return an org's keys, revoked and expired ones too, the oldest first, at most 1,000."""
    values = {"org": org, "limit": KEYS_MAX}
    with ledger.reading() as connection:
        rows = ledger.execute(connection, f"{KEYS.select}{_LISTED}", values).all()
    return [_as_key(KEYS.as_row(row)) for row in rows]


def has_keys(ledger: Ledger, org: str) -> bool:
    """Whether any key of an org opens something now."""
    with ledger.reading() as connection:
        return ledger.execute(connection, _ANY, {"org": org}).first() is not None


def orgs_with_keys(ledger: Ledger) -> list[str]:
    """Return the orgs that somebody can come in for now."""
    with ledger.reading() as connection:
        return sorted(str(row[0]) for row in ledger.execute(connection, _ORGS, {}))


def recognise(ledger: Ledger, secret: str) -> Owned | None:
    """Return whose key this is; None for one that is unknown, expired or revoked.

    It is looked up by its hash, of which a guesser controls nothing, and compared in constant time.
    """
    if not secret.startswith(SECRET_PREFIX) or len(secret) > SECRET_CHARACTERS_MAX:
        return None
    told = _sha256(secret)
    with ledger.reading() as connection:
        owner = ledger.execute(connection, _OWNER, {"sha256": told}).first()
        row = None if owner is None else read_row(connection, ledger, owner[0], KEYS, owner[1])
    if owner is None or row is None or not hmac.compare_digest(told, row["sha256"]):
        return None
    return Owned(str(owner[0]), _as_key(row))


def find_good(ledger: Ledger, org: str, key_id: str) -> Owned | None:
    """Return a key of which only the name is known; None for one that opens nothing now."""
    with ledger.reading() as connection:
        values = {"org": org, "key": key_id}
        if ledger.execute(connection, _NAMED, values).first() is None:
            return None
        row = read_row(connection, ledger, org, KEYS, key_id)
    return None if row is None else Owned(org, _as_key(row))


def _checked(permissions: Sequence[str]) -> list[str]:
    known = ", ".join(PERMISSIONS)
    for permission in permissions:
        if permission not in PERMISSIONS:
            raise Mistake(f"unknown permission '{permission}'", f"known are {known}")
    if not permissions:
        raise Mistake("a key without a permission opens nothing", f"give one or more of {known}")
    return [known for known in PERMISSIONS if known in permissions]


def _refuse_past(expires_at: str | None, now: str) -> None:
    if expires_at is not None and expires_at <= now:
        raise Mistake(f"a key that expired at {expires_at} opens nothing", "name a later time")


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _enter(connection: Connection, ledger: Ledger, org: str, told: tuple[str, str, Row]) -> None:
    kind, key_id, changes = told
    enter(connection, ledger, org, Event(NO_RUN, 0, kind, {}), (KEYS, Change(key_id, changes)))


def _must_read(connection: Connection, ledger: Ledger, org: str, key_id: str) -> ApiKey:
    row = read_row(connection, ledger, org, KEYS, key_id)
    if row is None:
        raise Mistake(f"key '{key_id}' is not one of org '{org}'", "see 'roundsman keys list'")
    return _as_key(row)


def _as_key(row: Row) -> ApiKey:
    return ApiKey.model_validate({name: row[name] for name in ApiKey.model_fields})
