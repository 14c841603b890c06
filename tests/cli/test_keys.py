"""`roundsman keys`: the secret is said once, and what it opens is told."""

from __future__ import annotations

import pytest

from roundsman.store import keys


@pytest.mark.covers("D-068")
def test_a_key_is_made_listed_and_revoked(roundsman, past):
    made = roundsman("keys", "create", "ci@example.org", "-p", "read", "-p", "write")
    secret = made.out.splitlines()[-1]
    owned = keys.recognise(past.ledger, secret)
    assert owned is not None
    assert (made.code, owned.org, owned.key.permissions) == (0, "default", ("read", "write"))
    (listed,) = roundsman("keys", "list", "--json").document["keys"]
    assert (listed["key_id"], listed["last_four"]) == (owned.key.key_id, secret[-4:])
    assert secret not in roundsman("keys", "list").out
    assert "good" in roundsman("keys", "list").out
    assert roundsman("keys", "revoke", owned.key.key_id).code == 0
    assert keys.recognise(past.ledger, secret) is None
    assert "revoked by" in roundsman("keys", "list").out


def test_a_key_that_expires_says_when(roundsman):
    made = roundsman("keys", "create", "ci", "-p", "read", "--expires", "90d", "--json").document
    assert made["key"].startswith("rm_")
    assert made["expires_at"] is not None
    assert "good until 20" in roundsman("keys", "list").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("create", "ci", "-p", "fly"), "unknown permission 'fly'; known are read"),
        (("create", "ci", "-p", "read", "--expires", "soon"), "'soon' is no length of time"),
        (("create", "ci", "-p", "read", "--expires", "0d"), "opens nothing"),
        (("revoke", "nobody"), "key 'nobody' is not one of org 'default'"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(roundsman, words, said):
    ended = roundsman("keys", *words)
    assert ended.code == 2
    assert said in ended.err


def test_without_keys_it_is_said_what_is_open(roundsman):
    assert "open for reading and for dry runs" in roundsman("keys", "list").out


def test_no_address_of_others_is_served_while_no_key_exists(roundsman):
    ended = roundsman("serve", "--host", "0.0.0.0")
    assert ended.code == 2
    assert "not served on '0.0.0.0' while no key exists" in ended.err
