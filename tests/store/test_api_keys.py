"""Keys to the API: made once, recognised by their hash, ended for good, and told in the chain."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from roundsman.errors import Mistake
from roundsman.store import Ledger, keys
from roundsman.store.keys import ApiKey, NewKey
from roundsman.store.verify import verify
from tests.store.words import ORG, change, rows


def make(ledger: Ledger, *permissions: str, org: str = ORG, **more: object) -> tuple[ApiKey, str]:
    wanted = NewKey("ci", permissions or ("read",), None, "ada")._replace(**more)
    return keys.create_key(ledger, org, wanted)


@pytest.mark.covers("D-067", "D-068")
def test_a_key_is_recognised_with_its_org_and_its_permissions(ledger: Ledger) -> None:
    key, secret = make(ledger, "write", "read", org="acme")
    assert keys.recognise(ledger, secret) == keys.Owned("acme", key)
    assert key.permissions == ("read", "write")
    assert (key.may("read"), key.may("approve"), key.last_four) == (True, False, secret[-4:])


def test_an_admin_may_everything(ledger: Ledger) -> None:
    key, _ = make(ledger, "admin")
    assert all(key.may(permission) for permission in keys.PERMISSIONS)


def test_the_secret_has_256_bits_and_is_kept_nowhere(ledger: Ledger) -> None:
    _, secret = make(ledger)
    assert secret.startswith("rm_")
    assert len(secret) == 3 + 43
    stored = json.dumps([str(row) for row in rows(ledger, "SELECT * FROM api_keys")])
    told = json.dumps([str(row) for row in rows(ledger, "SELECT payload FROM events")])
    assert secret[3:] not in stored + told


def test_a_wrong_a_revoked_and_an_expired_key_open_nothing(ledger: Ledger) -> None:
    assert keys.recognise(ledger, "rm_" + "A" * 43) is None
    assert keys.recognise(ledger, "") is None
    assert keys.recognise(ledger, "rm_" + "A" * 10_000) is None
    key, secret = make(ledger)
    keys.revoke_key(ledger, ORG, key.key_id, "bob")
    assert keys.recognise(ledger, secret) is None
    late, short = make(ledger, expires_at=datetime.now(UTC) + timedelta(hours=1))
    assert keys.recognise(ledger, short) is not None
    past = "'2020-01-01T00:00:00.000000Z'"
    change(ledger, f"UPDATE api_keys SET expires_at = {past} WHERE key_id = '{late.key_id}'")
    assert keys.recognise(ledger, short) is None
    assert not keys.has_keys(ledger, ORG)


def test_the_orgs_that_have_a_key_are_known(ledger: Ledger) -> None:
    assert keys.orgs_with_keys(ledger) == []
    make(ledger, org="acme")
    make(ledger, org="zeta")
    assert keys.orgs_with_keys(ledger) == ["acme", "zeta"]
    assert keys.has_keys(ledger, "acme")
    assert not keys.has_keys(ledger, ORG)


def test_a_key_is_revoked_once_and_by_its_own_org(ledger: Ledger) -> None:
    key, _ = make(ledger)
    with pytest.raises(Mistake, match="is not one of org 'acme'"):
        keys.revoke_key(ledger, "acme", key.key_id, "bob")
    assert keys.revoke_key(ledger, ORG, key.key_id, "bob").revoked_by == "bob"
    with pytest.raises(Mistake, match="was revoked before, by bob"):
        keys.revoke_key(ledger, ORG, key.key_id, "bob")
    assert [known.key_id for known in keys.list_keys(ledger, ORG)] == [key.key_id]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"permissions": ("fly",)}, "unknown permission 'fly'; known are read, write"),
        ({"permissions": ()}, "a key without a permission opens nothing"),
        ({"name": " "}, "cannot name a key"),
        ({"name": "x" * 101}, "cannot name a key"),
        ({"name": "a\nb"}, "cannot name a key"),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "opens nothing; name a later time"),
    ],
)
def test_a_key_that_cannot_be_is_refused_and_leaves_nothing(
    ledger: Ledger, more: dict[str, object], said: str
) -> None:
    with pytest.raises(Mistake, match=said):
        make(ledger, **more)
    assert not rows(ledger, "SELECT * FROM events")


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE api_keys SET permissions = '[\"admin\"]'",
        "UPDATE api_keys SET org_id = 'acme'",
        "UPDATE api_keys SET sha256 = 'mine'",
        "DELETE FROM api_keys",
    ],
)
def test_a_key_that_was_edited_behind_our_back_is_named(ledger: Ledger, edit: str) -> None:
    make(ledger)
    assert verify(ledger, ORG).ok
    change(ledger, edit)
    assert str(verify(ledger, ORG).first_bad).startswith("api_keys")
