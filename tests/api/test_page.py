"""Who is given the page, and how somebody comes in by it: a cookie, and the word beside it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from roundsman.api.page import FOLDER, MEDIA_TYPES
from roundsman.store import keys
from roundsman.store.keys import NewKey
from roundsman.store.sessions import open_session, recognise_session
from tests.api.served import Api
from tests.store.words import begin, whole_run

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def enter(api: Api, secret: str, **headers: str) -> httpx.Response:
    return api.post("/session", json={"key": secret}, headers=headers)


@pytest.mark.covers("B-006")
def test_a_browser_is_given_the_page_and_everybody_else_the_name(api: Api) -> None:
    page = api.get("/", headers=HTML)
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Vary"] == "Accept"
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert api.get("/").json() == {"status": "ok", "service": "roundsman"}


def test_the_page_asks_nobody_but_this_server() -> None:
    for path in FOLDER.iterdir():
        if path.suffix in MEDIA_TYPES and path.suffix != ".svg":
            # The name of a kind of element, which nobody fetches.
            text = path.read_text().replace("http://www.w3.org/2000/svg", "")
            assert "http://" not in text, path.name
            assert "https://" not in text, path.name
            assert "innerHTML" not in text, path.name
            assert " style=" not in text, path.name


@pytest.mark.parametrize("name", ["nothing.js", "__init__.py", "..%2fapp.py", "%2e%2e/app.py"])
def test_only_the_files_of_the_page_are_given_out(api: Api, name: str) -> None:
    assert api.get(f"/page/{name}").status_code == 404
    assert api.get("/page/main.js").headers["Content-Type"].startswith("text/javascript")


def test_a_cookie_reads_like_its_key_and_changes_only_with_the_word_beside_it(api: Api) -> None:
    run_id = begin(api.ledger)
    told = enter(api, api.key("read", "write")).json()
    assert (told["name"], told["permissions"]) == ("ann@example.org", ["read", "write"])
    assert api.get("/session").json()["csrf"] == told["csrf"]
    assert api.get("/agents/history").json()["total"] == 1
    cancel = f"/agents/runs/{run_id}/cancel"
    for headers in ({}, {"X-CSRF-Token": "wrong"}, {"X-CSRF-Token": "é".encode("latin-1")}):
        before = api.events()
        refused = api.post(cancel, headers=headers)
        assert refused.status_code == 403
        assert "needs the header X-CSRF-Token" in refused.json()["error"]
        assert api.events() == before
    assert api.post(cancel, headers={"X-CSRF-Token": told["csrf"]}).status_code == 202


def test_a_cookie_opens_no_more_than_its_key(api: Api) -> None:
    told = enter(api, api.key("read")).json()
    begun = begin(api.ledger)
    word = {"X-CSRF-Token": told["csrf"]}
    refused = api.post(f"/agents/runs/{begun}/cancel", headers=word)
    assert (refused.status_code, "no permission 'write'" in refused.json()["error"]) == (403, True)


@pytest.mark.covers("D-106")
def test_a_cookie_opens_the_rows_of_its_key_s_org(api: Api) -> None:
    whole_run(api.ledger)
    theirs = begin(api.ledger, org="acme")
    assert enter(api, api.key("read", org="acme")).json()["org"] == "acme"
    assert [row["run_id"] for row in api.get("/agents/history").json()["runs"]] == [theirs]


@pytest.mark.parametrize("secret", ["rm_wrong", "x", "rm_" + "x" * 100])
def test_a_wrong_key_is_given_no_cookie(api: Api, secret: str) -> None:
    refused = enter(api, secret)
    assert (refused.status_code, "set-cookie" in refused.headers) == (401, False)
    assert secret not in refused.json()["error"].split()


def test_guessing_keys_is_slowed_down(serve: Callable[..., Api]) -> None:
    api = serve(api_requests_per_minute=3)
    assert [enter(api, "rm_guess").status_code for _ in range(4)] == [401, 401, 401, 429]


def test_a_foreign_page_signs_nobody_in(api: Api) -> None:
    refused = enter(api, api.key("read"), Origin="https://evil.example")
    assert (refused.status_code, "set-cookie" in refused.headers) == (403, False)


def test_the_cookie_is_for_this_site_only_and_over_tls_for_tls_only(
    serve: Callable[..., Api],
) -> None:
    api = serve(public_url="https://rounds.example.org")
    secret = api.key("read")
    plain = enter(api, secret).headers["set-cookie"].lower()
    assert {"httponly", "samesite=strict", "path=/"} <= set(plain.split("; "))
    assert "secure" not in plain.split("; ")
    public = enter(api, secret, Host="rounds.example.org").headers["set-cookie"].lower()
    assert "secure" in public.split("; ")


def test_leaving_has_the_browser_forget(api: Api) -> None:
    told = enter(api, api.key("read")).json()
    headers = {"Content-Type": "application/json", "X-CSRF-Token": told["csrf"]}
    assert (
        api.call("DELETE", "/session", headers={"Content-Type": "application/json"}).status_code
        == 403
    )
    left = api.call("DELETE", "/session", headers=headers)
    assert left.json()["csrf"] is None
    assert api.get("/agents").status_code == 401


def test_without_any_key_the_page_reads_and_starts_dry_runs_as_the_api_does(api: Api) -> None:
    told = api.get("/session").json()
    assert (told["permissions"], told["csrf"], told["name"]) == ([], None, "me@here.org")
    api.key("read")
    assert api.get("/session").status_code == 401


def test_a_revoked_key_ends_its_sessions(api: Api) -> None:
    other, secret = api.key("read", name="other"), api.key("read")
    assert other
    enter(api, secret)
    owned = keys.recognise(api.ledger, secret)
    assert owned is not None
    assert api.get("/agents").status_code == 200
    keys.revoke_key(api.ledger, owned.org, owned.key.key_id, "ada")
    assert api.get("/agents").status_code == 401


def test_a_session_ends_with_its_key_and_a_changed_one_is_none(api: Api) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    _, secret = keys.create_key(api.ledger, "default", NewKey("ann", ["read"], soon, "tests"))
    owned = keys.recognise(api.ledger, secret)
    assert owned is not None
    session = open_session(api.ledger, owned)
    assert session.expires_at <= soon
    known = recognise_session(api.ledger, session.token)
    assert known is not None
    assert known[0] == owned
    body, _, seal = session.token.partition(".")
    for wrong in (body, f"{body}x.{seal}", f"{body}.{seal[:-1]}", "", ".", "é.é", "x" * 5_000):
        assert recognise_session(api.ledger, wrong) is None


def test_a_session_lasts_half_a_day(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    owned = keys.recognise(api.ledger, api.key("read"))
    assert owned is not None
    monkeypatch.setattr("roundsman.store.sessions.SESSION_HOURS", -1)
    over = open_session(api.ledger, owned)
    assert recognise_session(api.ledger, over.token) is None
    monkeypatch.undo()
    left = open_session(api.ledger, owned).expires_at - datetime.now(UTC)
    assert timedelta(hours=11) < left <= timedelta(hours=12)


def test_prefect_s_pages_are_named_without_what_opens_them(serve: Callable[..., Api]) -> None:
    api = serve(prefect_api_url="http://ann:secret@127.0.0.1:4200/api")
    assert api.get("/session").json()["prefect_url"] == "http://127.0.0.1:4200"


def test_rounds_are_listed_with_their_last_run_and_next_start(api: Api) -> None:
    whole_run(api.ledger, agent_type="looking", round="looking/quick")
    last = whole_run(api.ledger, agent_type="looking", round="looking/quick")
    begin(api.ledger, org="acme", agent_type="looking", round="looking/quick")
    found = {one["name"]: one for one in api.get("/rounds").json()["rounds"]}
    assert set(found) == {"looking/quick", "noting/noting", "straying/straying"}
    quick = found["looking/quick"]
    assert quick["last_run"]["run_id"] == last
    start = datetime.fromisoformat(quick["next_start"])
    assert timedelta() < start - datetime.now(UTC) <= timedelta(days=1)
    assert (start.hour, start.minute) == (6, 0)
    assert (found["noting/noting"]["last_run"], found["noting/noting"]["next_start"]) == (
        None,
        None,
    )
