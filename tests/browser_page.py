"""A real browser, without a screen and without a network, and what is seen in it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",  # containers have little of it
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 120  # seconds; ends a failure, a page that shows what it should is waited for no longer

CONTRAST = """
const luminance = ([r, g, b]) => [r, g, b].map((one) => one / 255)
  .map((one) => (one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4))
  .reduce((sum, one, at) => sum + one * [0.2126, 0.7152, 0.0722][at], 0);
const colour = (text) => text.match(/[\\d.]+/g).map(Number);
const behind = (element) => {
  for (let one = element; one; one = one.parentElement) {
    const [r, g, b, a = 1] = colour(getComputedStyle(one).backgroundColor);
    if (a === 1) return [r, g, b];
  }
  return [255, 255, 255];
};
const bad = [];
for (const element of document.querySelectorAll("body *")) {
  const text = [...element.childNodes].filter((one) => one.nodeType === 3).map((one) => one.data.trim()).join("");
  const box = element.getBoundingClientRect();
  if (!text || element.closest("svg, .unseen, .skip, dialog:not([open])") || box.width < 2 || box.height < 2) continue;
  const style = getComputedStyle(element);
  const [one, other] = [luminance(colour(style.color)), luminance(behind(element))];
  const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  if (ratio < 4.5) bad.push(`${ratio.toFixed(2)} ${element.tagName}.${element.className}: ${text.slice(0, 40)}`);
}
return bad;
"""


class Page:
    """The page in a browser.

    Attributes:
        driver: The browser.
        address: Of the page, with a slash at its end.
    """

    def __init__(self, driver: Any, address: str) -> None:
        self.driver = driver
        self.address = address

    def open(self, path: str = "") -> None:
        self.driver.get(self.address + path)

    def load(self, path: str) -> None:
        """Open a page and wait until all that it asks for is there."""
        self.open(path)
        self.until(lambda: self.texts(".results li, .card, .empty, article.report"), path)
        if "feature=" in path:
            self.until(lambda: self.texts(".detail .similar") and self.texts(".distribution"), path)

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def texts(self, selector: str) -> list[str]:
        """The texts of what is there now; read at once, since the page may replace it meanwhile."""
        script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)"
        texts: list[str] = self.driver.execute_script(script, selector)
        return texts

    def names(self) -> list[str]:
        return self.texts(".results .name")

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """What the condition returns once that is true."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if value := condition():
                return value
            time.sleep(0.05)
        raise AssertionError(f"not within {PATIENCE} s: {what}; it shows: {self.find('body').text[:600]}")

    def until_names(self, *expected: str) -> None:
        self.until(lambda: set(self.names()) == set(expected), f"results {expected}")

    def press(self, *keys: str) -> None:
        """Press keys, as they reach whatever has the focus."""
        from selenium.webdriver import ActionChains

        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def focused(self) -> str:
        script = "const one = document.activeElement; return one.getAttribute('aria-label') ?? one.textContent.trim()"
        return " ".join(str(self.driver.execute_script(script)).split())

    def show_as(self, width: int, height: int = 800, scheme: str = "light") -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def requested(self) -> set[str]:
        """The hosts that were asked for anything since this was last called."""
        hosts = set()
        for line in self.driver.get_log("performance"):
            message = json.loads(line["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = urlsplit(message["params"]["request"]["url"])
                if url.scheme not in ("data", "blob", "about"):
                    hosts.add(str(url.hostname))
        return hosts


@contextmanager
def opened(profile: Path) -> Iterator[Any]:
    """A window; the test is skipped where the machine has no browser.

    Args:
        profile: An empty folder.
    """
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: make test")
    from selenium.webdriver.chrome.service import Service

    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("no Chromium with its driver on this machine: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for one in (*OPTIONS, f"--user-data-dir={profile}"):
        options.add_argument(one)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    window = webdriver.Chrome(options, Service(driver))
    yield window
    window.quit()
