"""A secret never comes out of the redactor, and what is no secret comes out unchanged."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundsman.rules.redaction import (
    forget_secrets,
    is_secret_key,
    redact,
    redact_text,
    register_secret,
)

SECRET = "Hunter22hunter"


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    forget_secrets()


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("postgresql://u:{s}@h:5432/d", "postgresql://u:***@h:5432/d"),
        (
            "https://elastic:{s}@127.0.0.1:9200/x failed",
            "https://elastic:***@127.0.0.1:9200/x failed",
        ),
        ("redis://:{s}@h/0", "redis://:***@h/0"),
        ("https://u:p@ss{s}@h/x", "https://u:***@h/x"),
        ("https://u:12345@h/x", "https://u:***@h/x"),
        ("GET /x?api_key={s}&days=7", "GET /x?api_key=***&days=7"),
        ("GET /x?days=7&access_token={s}", "GET /x?days=7&access_token=***"),
        ("Authorization: Bearer {s}", "Authorization: Bearer ***"),
        ("authorization: ApiKey {s}==", "authorization: ApiKey ***"),
        ("{'Authorization': 'Basic {s}'}", "{'Authorization': 'Basic ***'}"),
        ("Authorization={s}", "Authorization=***"),
        ("sent bearer {s}.x-y_z ok", "sent bearer *** ok"),
        ("Cookie: a={s}; b={s}", "Cookie: ***"),
        ("x-api-key: {s}", "x-api-key: ***"),
        ("password={s}", "password=***"),
        ("password='my {s} word' next", "password='***' next"),
        ('{"api_key": "{s}", "days": 7}', '{"api_key": "***", "days": 7}'),
        ("ES_API_KEY={s} make", "ES_API_KEY=*** make"),
        ("client_secret: {s}", "client_secret: ***"),
        ("-----BEGIN PRIVATE KEY-----\n{s}\n-----END PRIVATE KEY-----", "***"),
        ("-----BEGIN RSA PRIVATE KEY-----\n{s} cut", "***"),
        ("token eyJhbGciOiJI.eyJzdWIiOiIx.{s}", "token ***"),
        ("ghp_abcdefghijklmnopqrst0123 pushed", "*** pushed"),
        ("AKIAABCDEFGHIJKLMNOP used", "*** used"),
        ("postgresql://ann:123/4x@db/x", "postgresql://ann:***@db/x"),
        ("postgresql://ann.lee:123?4x@db/x", "postgresql://ann.lee:***@db/x"),
        ("http://u:12#4@h", "http://u:***@h"),
        ("http://u:p'w@h/", "http://u:***@h/"),
        ('["http://u:p\'w@h/","a@b.org"]', '["http://u:***@h/","a@b.org"]'),
        ("https://ghtoken1234@github.com/x", "https://***@github.com/x"),
        ("https://token@host", "https://***@host"),
        ("PGPASSWORD=hunter", "PGPASSWORD=***"),
        ("pass=hunter", "pass=***"),
        ("DB_PASS='hunter two'", "DB_PASS='***'"),
        ("dbt --password hunter run", "dbt --password *** run"),
        ("x --db-api-key 'a b' y", "x --db-api-key '***' y"),
        ("X-API-Key: hunterhunter", "X-API-Key: ***"),
        ("SecretAccessKey: wJalrXUtnFEMI", "SecretAccessKey: ***"),
        ("SecretAccessKey: hunterhunter", "SecretAccessKey: ***"),
        ("sk_live_abcdefghijklmnop1234", "***"),
        ("curl -u ada:{s} http://es:9200/x", "curl -u ada:*** http://es:9200/x"),
        ("curl -sS -uada:hunter http://es:9200", "curl -sS -uada:*** http://es:9200"),
        ("curl -u 'ada:my hunter' x", "curl -u 'ada:***' x"),
        ('curl -u "ada:{s}" x', 'curl -u "ada:***" x'),
        ("curl --user ada:hunter x", "curl --user ada:*** x"),
        ("curl --user=ada:12345 x", "curl --user=ada:*** x"),
        ("curl --proxy-user ada:p@ss/w:rd x", "curl --proxy-user ada:*** x"),
        ("curl -U ada:hunter x", "curl -U ada:*** x"),
        ("run `curl -u :hunter`", "run `curl -u :***`"),
        ("['curl', '-u', 'ada:hunter', 'x']", "['curl', '-u', 'ada:***', 'x']"),
        (r'"[\"-u\", \"ada:hunter\"]"', r'"[\"-u\", \"ada:***\"]"'),
        ("password is hunter2", "password is ***"),
        ("password is hunter", "password is ***"),
        ("The Password is: hunter, she said", "The Password is: ***, she said"),
        ("the password was 'x'", "the password was '***'"),
        ('the passphrase was "two words" then', 'the passphrase was "***" then'),
        ("the PGPASSWORD is {s}", "the PGPASSWORD is ***"),
        ("passwort: x", "passwort: ***"),
        ("Das Passwort ist hunter", "Das Passwort ist ***"),
        ("Kennwort = hunter", "Kennwort = ***"),
        ("password: hunter", "password: ***"),
        ("api key = x", "api key = ***"),
        ("API key: hunter", "API key: ***"),
        ("the api key is {s}", "the api key is ***"),
        ("the token is 'x'", "the token is '***'"),
        ("password is 'required'", "password is '***'"),
        ("dbt --password valid run", "dbt --password *** run"),
        ("X-API-Key: correct", "X-API-Key: ***"),
        ("its secret was {s}.", "its secret was ***"),
    ],
)
def test_secrets_of_known_shape_are_cut_out(text: str, clean: str) -> None:
    text = text.replace("{s}", SECRET)
    assert redact_text(text) == clean
    assert redact_text(clean) == clean


@pytest.mark.parametrize(
    "text",
    [
        "",
        "search 'emails-*' refused (403); grant read or set search='local'",
        "http://127.0.0.1:9200/emails/_search?q=a@b.org",
        "https://example.org/a:b/c@d",
        "mailto:ada@example.org",
        "unexpected token: FROM at line 3",
        "password: required",
        "basic authentication is off",
        "a bearer of bad news",
        "primary key: order_id",
        "max_tokens=100",
        "key_field=order_id time_field=at",
        "2026-11-21T02:29:43Z 15,000 of 15,100 rows",
        "the cookie jar",
        "Done. PASS=12 WARN=0 ERROR=0 SKIP=0 TOTAL=12",
        "set --password or ROUNDSMAN_TOKEN",
        "use --token to sign in",
        "api_key: required",
        "ssh://git@github.com/x",
        "tests pass: 14",
        '{"url":"http://es:9200","mail":"ann@b.org"}',
        "['http://es:9200', 'ann@b.org']",
        "http://localhost:9200/x?q=a@b.org",
        "docker run -u 1000:1000 image",
        "sudo -u postgres psql",
        "x -u http://es:9200/emails",
        "the option -u takes name:password",
        "python -update:true",
        "password is required",
        "password is wrong/invalid/expired/empty/missing",
        "the password is wrong.",
        "password is invalid: ask for another one",
        "password is expired",
        "password is empty",
        "password is missing",
        "Password is not set; set ES_PASSWORD",
        "the password was rejected by the server",
        "the password is stored in the keyring",
        "the password is 12 characters long",
        "the password is (optional)",
        "Passwort ist falsch",
        "password: must be longer",
        "password: ${ES_PASSWORD}",
        "def sign_in(user: str, password: bytes) -> None",
        "passwort: erforderlich",
        "api key is required",
        "api key: missing",
        "the token is FROM",
        "unexpected token was found",
        "the secret is out",
        "an access key is what you need",
        "chain key '/keys/chain.key' is not the one that wrote ledger 'ledger.db'",
    ],
)
def test_ordinary_sentences_stay_as_they_are(text: str) -> None:
    assert redact_text(text) == text


def test_nested_values_lose_secrets_by_their_key_and_keep_their_shape() -> None:
    value = {
        "url": f"https://u:{SECRET}@h",
        "systems": [{"api_key": SECRET, "password": None, "token": "", "name": "prod"}],
        "clientSecret": SECRET,
        "credentials": {"file": "x"},
        "tokens": 12,
        "max_tokens": 100,
        "is_secret": True,
        "pair": (1, 2.5),
    }
    assert redact(value) == {
        "url": "https://u:***@h",
        "systems": [{"api_key": "***", "password": None, "token": "", "name": "prod"}],
        "clientSecret": "***",
        "credentials": "***",
        "tokens": 12,
        "max_tokens": 100,
        "is_secret": True,
        "pair": [1, 2.5],
    }


@pytest.mark.parametrize(
    ("key", "secret"),
    [
        ("password", True),
        ("ES_API_KEY", True),
        ("apiKey", True),
        ("x-api-key", True),
        ("Authorization", True),
        ("private_key", True),
        ("refresh_token", True),
        ("database_dsn", True),
        ("PGPASSWORD", True),
        ("passwort", True),
        ("API key", True),
        ("SecretAccessKey", True),
        ("X-API-Key", True),
        ("key", False),
        ("key_field", False),
        ("tokens", False),
        ("secretary", False),
        ("password_age_days", False),
    ],
)
def test_a_key_tells_by_its_last_word(key: str, secret: bool) -> None:
    assert is_secret_key(key) is secret


def test_registered_values_are_cut_out_in_every_spelling() -> None:
    register_secret("p@ss/w0rd")
    encoded = base64.b64encode(b"p@ss/w0rd").decode()
    for spelling in ("p@ss/w0rd", "p%40ss%2Fw0rd", encoded):
        assert redact_text(f"a {spelling} b") == "a *** b"
    assert redact({"p@ss/w0rd": ["x p@ss/w0rd"]}) == {"***": ["x ***"]}


def test_registered_values_are_cut_out_of_what_was_escaped() -> None:
    secret = "pa\"ss\\w'örd"
    register_secret(secret)
    inner = json.dumps({"x": secret})
    for said in (
        repr(secret),
        repr([secret, '"']),
        ascii(secret),
        repr(secret.encode()),
        inner,
        json.dumps({"x": secret}, ensure_ascii=False),
        json.dumps({"body": inner}),
    ):
        assert "***" in redact_text(said)
        assert "rd" not in redact_text(said)


@pytest.mark.parametrize("secret", ["it's me", 'say "so"', "back\\slash", "größe", "tab\there"])
@pytest.mark.parametrize("around", ["", "'", '"', "'\""])
def test_registered_values_do_not_come_out_of_any_literal(secret: str, around: str) -> None:
    register_secret(secret)
    text = f"{around}{secret}{around}"
    for said in (repr(text), ascii(text), repr(text.encode()), json.dumps(text)):
        assert redact_text(said).count("***") == 1


def test_the_longer_of_two_registered_values_goes_first() -> None:
    register_secret("abcd")
    register_secret("abcdefgh")
    assert redact_text("abcdefgh abcd") == "*** ***"


def test_values_too_short_to_be_secrets_tear_no_words_apart() -> None:
    register_secret("abc")
    register_secret("")
    assert redact_text("abcdef") == "abcdef"


def test_what_is_nested_without_an_end_is_cut() -> None:
    value: Any = "x"
    for _ in range(200):
        value = [value]
    assert "***" in json.dumps(redact(value))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_redacting_twice_changes_nothing_more(value: Any) -> None:
    once = redact(value)
    assert redact(once) == once


@given(st.text(alphabet="abcXYZ019-_.!$", min_size=4, max_size=30), st.text(max_size=20))
def test_a_registered_value_never_comes_out(secret: str, around: str) -> None:
    forget_secrets()
    register_secret(secret)
    cleaned = redact_text(f"{around} {secret} {around}")
    assert secret not in cleaned.replace("***", "")


def test_long_hostile_texts_take_no_long_time() -> None:
    for text in (
        "://" * 20_000,
        "://a:" * 10_000,
        "password=" * 10_000,
        '"' * 50_000 + "=",
        "a:" * 50_000,
        "http://a:1/" * 10_000,
        "://a:'b" * 10_000,
        "http://a:" + "'b" * 40_000,
        "--" * 40_000,
        "-a-" * 30_000,
        "--password " * 10_000,
        "http://" + "a" * 80_000,
        "password" + " " * 80_000,
        "password is " * 10_000,
        "password is" + " " * 80_000,
        "curl -u" * 10_000,
        "-u a:" * 20_000,
        "-u " + "a" * 80_000,
        "curl " + "-ua:b " * 10_000,
    ):
        start = time.perf_counter()
        redact_text(text)
        assert time.perf_counter() - start < 5
