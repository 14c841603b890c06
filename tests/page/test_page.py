"""The page, as somebody in front of a browser uses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import ActionChains, Keys

from roundsman.settings import Settings
from roundsman.store import approvals, findings, keys, runs
from roundsman.store.approvals import Wanted
from tests.api.served import Api, make_settings, serving
from tests.api.test_reading import ask, see
from tests.servers.chromium import PHONE, Browser
from tests.store.words import begin, finish, whole_run

pytestmark = pytest.mark.needs("chromium")
ORG = "default"
TABS_MAX = 60


def sign_in(browser: Browser, api: Api, secret: str, path: str = "#/") -> None:
    browser.driver.get(f"{api.url}/{path}")
    browser.find("#key").send_keys(secret + Keys.ENTER)
    browser.find("#sign-out")


def complaints(browser: Browser) -> list[str]:
    """What the browser found wrong, beside the requests that were meant to be refused."""
    told = [line["message"] for line in browser.driver.get_log("browser")]
    return [line for line in told if "Failed to load resource" not in line]


@pytest.mark.engine
@pytest.mark.usefixtures("run_home")
def test_a_run_is_started_in_the_page_and_seen_to_finish(running: Api, browser: Browser) -> None:
    browser.driver.get(f"{running.url}/#/")
    browser.has("never ran")
    browser.find("a[aria-label='Start looking/quick']").click()
    assert browser.find("#kind-dry").is_selected()
    assert not browser.find("#kind-live").is_enabled()
    browser.find("#go").click()
    browser.until(lambda: "#/runs/" in browser.driver.current_url)
    browser.until(lambda: "success" in browser.find(".state").text)
    assert "healthy" in browser.find(".state").text
    browser.until(lambda: len(browser.run("return [...document.querySelectorAll('.bar')]")) == 3)
    (row,) = runs.history(running.ledger, ORG)[0]
    assert (row.status, row.dry_run) == ("success", True)
    assert row.run_id in browser.driver.current_url
    assert complaints(browser) == []


@pytest.mark.engine
@pytest.mark.usefixtures("run_home")
@pytest.mark.covers("A-078")
def test_an_approval_is_given_in_the_page_and_a_second_run_acts(
    running: Api, browser: Browser, tmp_path: Path
) -> None:
    secret = running.key("read", "write", "approve")
    sign_in(browser, running, secret, "#/start?round=lining%2Flines")
    browser.find("#kind-live").click()
    browser.find("#go").click()
    browser.has("This run is live")
    browser.find("#dialog-yes").click()
    browser.until(lambda: "success" in browser.find(".state").text)
    assert not (tmp_path / "lines").exists()

    browser.driver.get(f"{running.url}/#/approvals")
    browser.has('"line": "hello"')
    (waiting,) = approvals.list_actions(running.ledger, ORG, Wanted(("waiting",)))
    browser.find(f"#approve-{waiting.action_id}").click()
    browser.find("#note").send_keys("agreed with the data team")
    browser.find("#dialog-yes").click()
    browser.until(lambda: "#/runs/" in browser.driver.current_url)
    browser.until(lambda: "success" in browser.find(".state").text)
    row = approvals.get_action(running.ledger, ORG, waiting.action_id)
    assert (row.state, row.review_note) == ("done", "agreed with the data team")
    assert row.reviewed_by == "ann@example.org"
    assert (tmp_path / "lines").read_text().startswith("hello ")

    # From its own view a run is started that looks how it would be undone: here it cannot be.
    browser.has("What it did outside")
    acted = browser.driver.current_url
    browser.find("#look-undo").click()
    browser.until(lambda: browser.driver.current_url != acted)
    browser.has("names no system; it cannot be undone from here")
    undo = runs.history(running.ledger, ORG)[0][0]
    assert (undo.agent_type, undo.dry_run) == ("undo", True)
    assert undo.run_id in browser.driver.current_url
    assert (tmp_path / "lines").read_text().startswith("hello ")
    assert complaints(browser) == []


@pytest.mark.covers("A-032", "B-049")
def test_a_server_that_was_away_is_said_to_be_and_then_caught_up_with(
    tmp_path: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: Settings = make_settings(tmp_path)
    monkeypatch.setenv("ROUNDSMAN_ROUNDS", str(settings.rounds))
    with serving(settings) as api:
        browser.driver.get(f"{api.url}/#/history")
        browser.has("No run matches")
        browser.until(lambda: browser.find("#live").text == "live")
        port = int(api.url.rpartition(":")[2])
    browser.until(lambda: "reconnecting" in browser.find("#live").text)
    assert "What you see may be old" in browser.find("#lost").text
    with serving(settings, port) as api:
        missed = whole_run(api.ledger)
        browser.has(missed[:8])
        assert browser.find("#live").text == "live"
        seen = whole_run(api.ledger)
        browser.has(seen[:8])


def test_an_event_source_receives_how_a_run_began_went_on_and_ended(
    api: Api, browser: Browser
) -> None:
    run_id = whole_run(api.ledger)
    browser.driver.get(f"{api.url}/health")
    heard = browser.driver.execute_async_script(
        """
        const done = arguments[1], heard = [];
        const source = new EventSource(`/agents/events?run_id=${arguments[0]}`);
        for (const kind of ["run_started", "step_started", "step_finished", "run_finished"]) {
          source.addEventListener(kind, (event) => {
            heard.push([kind, JSON.parse(event.data).run_id, Number(event.lastEventId)]);
            if (kind === "run_finished") { source.close(); done(heard); }
          });
        }
        """,
        run_id,
    )
    kinds = [kind for kind, _, _ in heard]
    assert (kinds[0], kinds[-1]) == ("run_started", "run_finished")
    assert {"step_started", "step_finished"} < set(kinds)
    assert {told for _, told, _ in heard} == {run_id}
    assert [seq for _, _, seq in heard] == sorted(seq for _, _, seq in heard)


def test_a_key_is_exchanged_for_a_cookie_that_no_script_reads_and_left_again(
    api: Api, browser: Browser
) -> None:
    secret = api.key("read")
    browser.driver.get(f"{api.url}/#/")
    browser.find("#key").send_keys("rm_wrong" + Keys.ENTER)
    browser.has("this key is unknown, expired or revoked")
    browser.find("#key").clear()
    browser.find("#key").send_keys(secret + Keys.ENTER)
    browser.has("Nothing runs at this moment")
    (cookie,) = browser.driver.get_cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["secure"]) == (True, "Strict", False)
    kept = browser.run(
        "return [location.href, document.cookie, localStorage.length, sessionStorage.length]"
    )
    assert (secret in kept[0], kept[1:]) == (False, ["", 0, 0])
    assert browser.run("return document.documentElement.outerHTML").count(secret) == 0
    browser.find("#sign-out").click()
    browser.find("#key")
    assert browser.driver.get_cookies() == []
    assert browser.run("return fetch('/agents').then((answer) => answer.status)") == 401


def test_a_key_that_is_revoked_ends_what_was_opened_with_it(api: Api, browser: Browser) -> None:
    other, secret = api.key("read", name="other"), api.key("read")
    sign_in(browser, api, secret)
    browser.has("Nothing runs at this moment")
    owned = keys.recognise(api.ledger, secret)
    assert owned is not None
    assert other
    keys.revoke_key(api.ledger, ORG, owned.key.key_id, "ada")
    browser.driver.get(f"{api.url}/#/findings")
    browser.find("#key")


def test_a_page_whose_key_is_revoked_asks_for_one_by_itself(
    api: Api, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roundsman.api.stream.WELCOME_SECONDS", 0.5)
    other, secret = api.key("read", name="other"), api.key("read")
    sign_in(browser, api, secret)
    browser.has("Nothing runs at this moment")
    owned = keys.recognise(api.ledger, secret)
    assert owned is not None
    assert other
    keys.revoke_key(api.ledger, ORG, owned.key.key_id, "ada")
    browser.find("#key")


def test_signing_out_ends_what_another_tab_signed_in_for(api: Api, browser: Browser) -> None:
    other, secret = api.key("read", name="other"), api.key("read")
    sign_in(browser, api, secret)
    entered = """
        return fetch("/session", { method: "POST", body: JSON.stringify({ key: arguments[0] }),
          headers: { "Content-Type": "application/json" } }).then((answer) => answer.status);
    """
    assert browser.driver.execute_script(entered, other) == 200
    browser.find("#sign-out").click()
    browser.find("#key")
    assert browser.driver.get_cookies() == []


def test_who_cannot_sign_out_is_told_that_he_is_signed_in(tmp_path: Path, browser: Browser) -> None:
    with serving(make_settings(tmp_path)) as api:
        sign_in(browser, api, api.key("read"))
    browser.find("#sign-out").click()
    browser.has("You are still signed in")
    assert len(browser.driver.get_cookies()) == 1


def test_by_keyboard_alone_a_finding_is_taken_on(api: Api, browser: Browser) -> None:
    key = see(api)
    sign_in(browser, api, api.key("read", "write"), "#/findings")
    browser.find(f"#ack-{key}")
    browser.run("document.activeElement.blur(); scrollTo(0, 0)")
    press = ActionChains(browser.driver)
    tab_to(browser, f"ack-{key}")
    press.send_keys(Keys.ENTER).perform()
    browser.find("dialog #note")
    assert browser.run("return document.activeElement.id") == "note"
    ActionChains(browser.driver).send_keys("I see to it").perform()
    tab_to(browser, "dialog-yes")
    ActionChains(browser.driver).send_keys(Keys.ENTER).perform()
    browser.has("acknowledged")
    found = findings.get_finding(api.ledger, ORG, key)
    assert (found.state, found.note) == ("acknowledged", "I see to it")


def test_the_first_stop_of_the_keyboard_skips_to_the_content(api: Api, browser: Browser) -> None:
    browser.driver.get(f"{api.url}/#/")
    browser.has("Nothing runs at this moment")
    browser.run("document.activeElement.blur()")
    tab_to(browser, "skip")
    ActionChains(browser.driver).send_keys(Keys.ENTER).perform()
    assert browser.run("return document.activeElement.id") == "main"


def tab_to(browser: Browser, name: str) -> None:
    """Go on by the tabulator until one is there."""
    for _ in range(TABS_MAX):
        ActionChains(browser.driver).send_keys(Keys.TAB).perform()
        if browser.run("return document.activeElement.id") == name:
            outline = browser.run("return getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", "whoever stands there sees where he is"
            return
    raise AssertionError(f"the tabulator does not come to '{name}'")


@pytest.mark.parametrize(
    "path", ["#/", "#/runs/{run}", "#/history", "#/findings", "#/approvals", "#/start", "#/nowhere"]
)
def test_a_phone_of_360_pixels_is_wide_enough(api: Api, browser: Browser, path: str) -> None:
    see(api)
    ask(api)
    long = "a_name_without_any_place_to_break_it_" * 4
    run = begin(api.ledger, objective=long, params={long: long})
    finish(api.ledger, run, "failed", error={"type": "x", "message": long}, verdict=None)
    browser.resize(PHONE)
    browser.driver.get(f"{api.url}/{path.format(run=run)}")
    browser.until(lambda: not browser.run("return document.querySelector('[aria-busy]')"))
    browser.until(lambda: browser.run("return document.querySelector('h1')"))
    wide = browser.run("return [document.documentElement.scrollWidth, innerWidth]")
    assert wide == [PHONE[0], PHONE[0]]


def test_a_report_is_text_whatever_is_written_in_it(api: Api, browser: Browser) -> None:
    browser.driver.get(f"{api.url}/#/")
    browser.has("Nothing runs at this moment")
    source = (
        "# <img src=x onerror=alert(1)>\n\n<script>window.was = 1</script>\n\n"
        "[a](javascript:window.was=2) [b](https://example.org/x) **[c](data:text/html,x)**\n\n"
        "| a | <b>b</b> |\n|---|---|\n| `<i>` | 2 |\n\n- one\n- **two**\n"
    )
    told: dict[str, Any] = browser.driver.execute_async_script(
        """
        import("/page/markdown.js").then(({ markdown }) => {
          const made = markdown(arguments[0]);
          document.body.append(made);
          arguments[1]({
            tags: [...new Set([...made.querySelectorAll("*")].map((one) => one.localName))],
            links: [...made.querySelectorAll("a")].map((one) => one.href),
            text: made.textContent,
            was: window.was === undefined,
          });
        });
        """,
        source,
    )
    assert not {"script", "img", "b", "i"} & set(told["tags"])
    assert {"h3", "table", "li", "strong", "code"} < set(told["tags"])
    assert told["links"] == ["https://example.org/x"]
    assert "<script>window.was = 1</script>" in told["text"]
    assert told["was"]


def test_a_list_within_a_list_is_drawn_as_one(api: Api, browser: Browser) -> None:
    browser.driver.get(f"{api.url}/#/")
    source = "- a\n  1. b\n     more\n  2. c\n- d\n" + "".join(
        f"{' ' * n}- deep\n" for n in range(60)
    )
    told = browser.driver.execute_async_script(
        """
        import("/page/markdown.js").then(({ markdown }) => {
          const made = markdown(arguments[0]);
          const inner = made.querySelector("ul > li > ol");
          arguments[1]([inner.textContent, inner.children.length,
            made.querySelectorAll("ul ul ul ul ul ul ul ul ul").length]);
        });
        """,
        source,
    )
    assert told == ["b morec", 2, 0]


@pytest.mark.parametrize("line", ["[", "-", "*", "`", "[](", "| "])
def test_no_line_of_a_report_keeps_the_browser_busy(api: Api, browser: Browser, line: str) -> None:
    browser.driver.get(f"{api.url}/#/")
    browser.has("Nothing runs at this moment")
    browser.driver.set_script_timeout(20)
    count = browser.driver.execute_async_script(
        """
        import("/page/markdown.js").then(({ markdown }) => {
          arguments[1](markdown(`|a|\n${arguments[0].repeat(150000)}x`).textContent.length);
        });
        """,
        line,
    )
    assert count > 1


def test_no_letter_turns_round_or_hides_what_is_read(api: Api, browser: Browser) -> None:
    browser.driver.get(f"{api.url}/#/")
    told = browser.driver.execute_async_script(
        """
        import("/page/dom.js").then(({ h, pretty }) => {
          const [text, done] = arguments;
          done([h("p", {}, text, h("b", {}, 1)).textContent, pretty({ to: text }).textContent]);
        });
        """,
        "a\u202eb\u200bc\u2066d\U000e0041 שלום 👩‍💻",
    )
    shown = "a\\u202eb\\u200bc\\u2066d\\udb40\\udc41 שלום 👩‍💻"
    assert told == [f"{shown}1", f'{{\n  "to": "{shown}"\n}}']


def test_however_many_tabs_are_open_the_next_one_is_served(api: Api, browser: Browser) -> None:
    # A browser opens six connections to one server, and a stream holds one for as long as it is.
    whole_run(api.ledger)
    for number in range(9):
        if number % 3 == 0:
            browser.driver.switch_to.new_window("tab")
        browser.driver.get("about:blank")
        browser.driver.get(f"{api.url}/#/history")
        browser.has("1 to 1 of 1")
        browser.until(lambda: browser.find("#live").text == "live")


def test_a_view_that_cannot_be_read_says_so_and_can_be_tried_again(
    api: Api, browser: Browser
) -> None:
    browser.driver.get(f"{api.url}/#/runs/00000000-0000-4000-8000-000000000000")
    browser.has("is not in the ledger")
    browser.has("appears here by itself")
    missed = whole_run(api.ledger)
    browser.driver.get(f"{api.url}/#/runs/{missed}")
    browser.has("success")
    browser.driver.get(f"{api.url}/#/nowhere")
    browser.has("There is no such view")
