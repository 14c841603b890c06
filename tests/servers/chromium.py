"""Chromium without a screen, driven as a person would use it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

WAIT_SECONDS_MAX = 60
DESK = (1280, 900)
PHONE = (360, 740)


def available() -> bool:
    """Whether the browser and its driver, which come in two packages, are on this machine."""
    return all(shutil.which(name) for name in ("chromium", "chromedriver"))


class Browser(NamedTuple):
    """One window."""

    driver: Chrome

    def until(self, look: Callable[[], Any], said: str = "") -> Any:
        """What `look` gives once it gives something, while the page may be drawn anew."""
        wait = WebDriverWait(
            self.driver, WAIT_SECONDS_MAX, 0.05, ignored_exceptions=[WebDriverException]
        )
        return wait.until(lambda _: look(), said or self.text)

    def find(self, css: str) -> WebElement:
        """One element, once it is there to be seen."""
        found: WebElement = self.until(
            lambda: next(
                (
                    one
                    for one in self.driver.find_elements(By.CSS_SELECTOR, css)
                    if one.is_displayed()
                ),
                None,
            ),
            f"no {css}",
        )
        return found

    def has(self, words: str) -> None:
        """Wait until the page says this."""
        self.until(lambda: words in self.text, f"'{words}' is not on the page")

    @property
    def text(self) -> str:
        """What the page says."""
        return self.driver.find_element(By.TAG_NAME, "body").text

    def run(self, script: str, *values: Any) -> Any:
        """What a script gives."""
        return self.driver.execute_script(script, *values)

    def look_dark(self) -> None:
        """As somebody whose system is dark sees it."""
        features = [{"name": "prefers-color-scheme", "value": "dark"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def resize(self, size: tuple[int, int]) -> None:
        """As wide as a device, which may be narrower than any window."""
        width, height = size
        of = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", of)


@contextmanager
def browsing(folder: Path) -> Iterator[Browser]:
    """A browser with a profile of its own."""
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in (
        "--headless=new",
        # Its sandbox refuses to start as root.
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--disable-background-networking",
        "--no-first-run",
        "--no-proxy-server",
        f"--user-data-dir={folder / 'profile'}",
        f"--window-size={DESK[0]},{DESK[1]}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # Named, so that selenium looks for no driver elsewhere.
    driver = Chrome(options, ChromeService(shutil.which("chromedriver")))
    try:
        driver.set_script_timeout(WAIT_SECONDS_MAX)
        yield Browser(driver)
    finally:
        driver.quit()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """A browser that nobody used before."""
    with browsing(tmp_path / "browser") as one:
        yield one
