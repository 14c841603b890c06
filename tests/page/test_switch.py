"""The switch that halts all actions, and requests that are reopened, in the page."""

from __future__ import annotations

import pytest

from roundsman.store import approvals
from tests.api.served import Api
from tests.api.test_reading import ask
from tests.page.test_page import ORG, sign_in
from tests.servers.chromium import Browser

pytestmark = pytest.mark.needs("chromium")


def test_all_actions_are_stopped_and_resumed_and_every_view_says_so(
    api: Api, browser: Browser
) -> None:
    sign_in(browser, api, api.key("read", "approve"))
    browser.find("#switch-stop").click()
    browser.find("#reason").send_keys("the warehouse is being moved")
    browser.find("#dialog-yes").click()
    browser.has("All actions are stopped by ann@example.org")
    switch = approvals.switch_of(api.ledger, ORG)
    assert switch is not None
    assert (switch.is_on, switch.reason) == (True, "the warehouse is being moved")
    browser.driver.get(f"{api.url}/#/history")
    browser.has("the warehouse is being moved")
    browser.find("#switch-resume").click()
    browser.find("#dialog-yes").click()
    browser.until(lambda: "All actions are stopped" not in browser.text)
    switch = approvals.switch_of(api.ledger, ORG)
    assert switch is not None
    assert not switch.is_on


def test_who_may_not_approve_sees_the_stop_and_turns_nothing(api: Api, browser: Browser) -> None:
    approvals.halt(api.ledger, ORG, approvals.Review("ada", "a quiet night"))
    sign_in(browser, api, api.key("read", "write"))
    browser.has("All actions are stopped by ada")
    assert not browser.find("#switch-resume").is_enabled()


@pytest.mark.covers("A-078")
def test_what_was_denied_is_reopened_and_waits_again(api: Api, browser: Browser) -> None:
    key = ask(api)
    approvals.deny(api.ledger, ORG, key, approvals.Review("ada", "not now"))
    sign_in(browser, api, api.key("read", "approve"), "#/approvals?all=1")
    browser.find(f"#reopen-{key}").click()
    browser.find("#dialog-yes").click()
    browser.find(f"#approve-{key}")
    assert approvals.get_action(api.ledger, ORG, key).state == "waiting"
