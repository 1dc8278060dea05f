"""`kedro workspace` in a real browser, without a screen and without a network."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from proml_kedro.spec.features import FeaturesSpec

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.browser]

ROOT = Path(__file__).parents[2]
KEDRO = Path(sys.executable).with_name("kedro")
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
HOSTILE = '<img src="/nope" onerror="document.title=1">'
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


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: make test")
    from selenium.webdriver.chrome.service import Service

    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("no Chromium with its driver on this machine: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for one in (*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(one)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    window = webdriver.Chrome(options, Service(driver))
    yield window
    window.quit()


@pytest.fixture(scope="module")
def project(finished_shop: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the shop after its run, with a description that would be dangerous as markup."""
    folder = tmp_path_factory.mktemp("workspace") / "shop"
    shutil.copytree(finished_shop.folder, folder, symlinks=True)
    done = type(finished_shop)(folder).run("--pipelines=monitor", "monitoring.current.last=3w")
    assert done.returncode in (0, 1), done.stderr  # a week has too few rows for a verdict
    features = folder / "conf" / "features" / "shop.yaml"
    features.write_text(features.read_text().replace("pages looked at", f"pages looked at {HOSTILE}"))
    return folder


@pytest.fixture(scope="module")
def address(project: Path) -> Iterator[str]:
    command = [str(KEDRO), "workspace", "--no-browser", "--port", "0", "--conf-source", str(project / "conf")]
    server = subprocess.Popen(
        [*command, f"data_dir={project / 'data'}"],
        cwd=ROOT,
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    line = server.stdout.readline()
    assert line.startswith("Workspace: http://127.0.0.1:"), server.communicate(timeout=300)
    yield line.split()[1]
    server.send_signal(signal.SIGINT)
    _, errors = server.communicate(timeout=300)
    assert (server.returncode, errors) == (0, ""), "Ctrl-C is how it is meant to be stopped"


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Page]:
    one = Page(browser, address)
    one.show_as(1280)
    browser.get_log("browser")
    one.requested()
    yield one
    assert [line["message"] for line in browser.get_log("browser")] == []
    assert one.requested() <= {"127.0.0.1"}


def test_typing_finds_and_the_keyboard_does_the_rest(page):
    from selenium.webdriver import Keys

    page.open()
    page.until(lambda: len(page.names()) == 5, "all features")
    page.press("/", "spent")
    page.until_names("orders.spent_7d", "orders.spent_all")
    assert page.find(".count").text.startswith("2 of 5 features · ")
    assert page.find(".count").text.endswith(" ms")
    assert page.driver.current_url == f"{page.address}features?q=spent"
    page.press(" 7")
    page.until_names("orders.spent_7d")
    page.press(Keys.BACKSPACE, Keys.BACKSPACE)
    page.until_names("orders.spent_7d", "orders.spent_all")
    first, second = page.names()
    page.press(Keys.ARROW_DOWN)
    assert page.focused().startswith(first)
    page.press(Keys.ARROW_DOWN)
    assert page.focused().startswith(second)
    page.press(Keys.ENTER)
    page.until(lambda: page.texts(".detail h2") == [second], "the feature")
    page.until(lambda: page.focused() == second, "its heading has the focus")
    assert f"feature=shop/{second}" in page.driver.current_url
    page.until(lambda: page.texts(".distribution .bars"), "its distribution")
    page.press(Keys.ESCAPE)
    page.until(lambda: not page.find(".detail").is_displayed(), "it is closed")
    page.until(lambda: page.focused().startswith(second), "back where it was opened")
    page.press(Keys.ARROW_UP, Keys.ARROW_UP)
    assert page.focused() == "Search features"
    page.press(Keys.ESCAPE)
    page.until(lambda: len(page.names()) == 5, "an empty search")


def test_a_facet_narrows_and_back_widens(page):
    page.open()
    page.until(lambda: len(page.names()) == 5, "all features")
    page.find("[id='facet-entity-request']").click()
    page.until_names("visit.pages", "visit.device")
    assert page.texts(".chip") == ["Key: request ×"]
    page.find("[id='facet-dtype-str']").click()
    page.until_names("visit.device")
    page.find(".results a").click()
    page.until(lambda: page.texts(".detail h2") == ["visit.device"], "the feature")
    page.until(lambda: page.texts(".categories th[scope=row]"), "its categories")
    shared = page.driver.current_url
    page.driver.back()
    page.until(lambda: not page.find(".detail").is_displayed(), "closed")
    page.driver.back()
    page.until_names("visit.pages", "visit.device")
    page.driver.back()
    page.until(lambda: len(page.names()) == 5, "all features")
    page.driver.get(shared)
    page.until(lambda: page.texts(".detail h2") == ["visit.device"], "what was shared")
    page.until_names("visit.device")


def test_what_is_known_of_a_feature(page):
    page.open("features?feature=shop/orders.spent_7d")
    page.until(lambda: page.texts(".similar li"), "similar features")
    page.until(lambda: page.texts(".lineage .node"), "lineage")
    said = page.find(".lineage svg").get_attribute("aria-label")
    assert said.startswith("Lineage: orders, then orders.spent_7d, read by ")
    assert "xgboost" in said
    assert "shop-xgboost:" in said
    assert "orders.spent_all" in page.texts(".similar .name")
    figures = dict(zip(page.texts(".figures dt"), page.texts(".figures dd"), strict=True))
    assert "2024-0" in figures["Newest value"]
    assert figures["Missing"].endswith("of the examples")
    assert "%" in figures["Importance"]
    assert figures["Drift"].endswith("last check")
    assert page.texts(".lineage a.node")


def test_copied_yaml_declares_the_feature(page):
    page.open("features?feature=shop/orders.spent_7d")
    permissions = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"], "origin": page.address.rstrip("/")}
    page.driver.execute_cdp_cmd("Browser.grantPermissions", permissions)
    button = page.until(lambda: page.driver.find_elements("css selector", ".declaration button"), "the button")[0]
    button.click()
    page.until(lambda: button.text == "Copied", "it says so")
    read = "navigator.clipboard.readText().then(arguments[arguments.length - 1])"
    copied = page.driver.execute_async_script(read)
    assert copied.strip() == page.find(".yaml").text.strip()
    spec = FeaturesSpec.model_validate(yaml.safe_load(copied))
    assert list(spec.columns()) == ["orders.spent_7d", "orders.spent_all"]


def test_text_stays_text(page):
    page.open("features?q=pages")
    page.until(lambda: HOSTILE in "".join(page.texts(".description")), "the description as it is written")
    page.find(".results a").click()
    page.until(lambda: HOSTILE in "".join(page.texts(".lead")), "here too")
    assert page.texts("main img") == []


def test_models_and_health(page):
    page.open("models")
    page.until(lambda: page.texts(".metrics .meaning"), "metrics beside the baseline's")
    assert "auc" in page.texts(".metrics th[scope=row]")
    assert {"train", "validation", "test"} <= set(page.texts(".metrics th[scope=row]"))
    assert page.texts(".unreadable") == [], "what runs write today is what is read here"
    page.find(".shares a").click()
    page.until(lambda: page.texts(".detail h2"), "a feature that the model relies on")
    page.press("3")
    page.until(lambda: "Health" in page.texts("h1") and page.texts(".verdict"), "the verdict")
    assert page.texts(".unreadable") == []
    assert {"visit.pages", "orders.spent_7d", "score"} <= set(page.texts(".columns th[scope=row]"))
    report = page.find("a[href$='/drift/drift.html']").get_attribute("href")
    page.driver.get(report)
    page.until(lambda: "Drift" in page.find("body").text, "Evidently's report, drawn by its own scripts")


def test_reports_are_read_here(page):
    page.open("models")
    page.until(lambda: page.texts(".reports a"), "links to reports")
    page.find(".reports a[href*='card.md']").click()
    page.until(lambda: page.texts("article.report h1") == ["shop-xgboost"], "the model card")
    assert {"What it predicts", "Limits"} <= set(page.texts("article.report h2"))
    assert "orders.spent_7d" in page.texts("article.report td code")
    assert not [text for text in page.texts("article.report *") if "**" in text or "|" in text or "```" in text]
    page.driver.back()
    page.until(lambda: page.texts("h1") == ["Models"], "back")
    page.find(".reports a[href*='report.md']").click()
    loaded = "return [...document.images].map((one) => one.complete && one.naturalWidth > 0)"
    page.until(lambda: len(found := page.driver.execute_script(loaded)) > 3 and all(found), "its plots")


def test_the_page_follows_the_project(page, project):
    features = project / "conf" / "features" / "shop.yaml"
    importance = project / "data" / "shop" / "xgboost" / "evaluation" / "importance.json"
    kept, shares = features.read_text(), importance.read_text()
    page.open("features?q=device")
    page.until_names("visit.device")
    try:
        features.write_text(kept.replace("{dtype: str}", "{dtype: str, description: what they hold in hand}"))
        page.until(lambda: "what they hold in hand" in page.texts(".description"), "the new description")
        features.write_text(kept.replace("dtype: str", "dtype: strr"))
        page.until(lambda: any("shop.yaml:5" in one for one in page.texts("#banner p")), "the mistake, with its line")
        assert page.names() == ["visit.device"], "what was sound is still there"
        features.write_text(kept)
        page.until(lambda: not page.texts("#banner p"), "it is mended")
        importance.write_text("{")
        features.write_text(kept + "\n")
        page.until(lambda: any("importance.json" in one for one in page.texts("#banner p")), "what cannot be read")
        page.open("models")
        page.until(lambda: any("importance.json cannot be read" in one for one in page.texts(".unreadable p")), "here")
    finally:
        importance.write_text(shares)
        features.write_text(kept)


PLACES = (
    "features?q=sp",
    "features?feature=shop/orders.spent_7d",
    "features?q=zzz",
    "models",
    "health",
    "report?at=shop/xgboost/bundle/card.md",
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(page, scheme):
    page.show_as(1280, scheme=scheme)
    for place in PLACES:
        page.load(place)
        page.press("?")
        assert page.driver.execute_script(CONTRAST) == [], place


@pytest.mark.parametrize("width", [1440, 1280, 1000, 640, 400, 320])
def test_nothing_is_wider_than_the_window(page, width):
    """640 is a window of 1280 at 200 %."""
    page.show_as(width)
    for place in PLACES:
        page.load(place)
        assert page.driver.execute_script("return document.documentElement.scrollWidth <= innerWidth"), place


def test_everything_has_a_name(page):
    for place in PLACES:
        page.load(place)
        tree = page.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        found = [(one["role"]["value"], one.get("name", {}).get("value", "")) for one in tree if not one["ignored"]]
        wanted = {"button", "link", "searchbox", "image", "img", "dialog", "region", "navigation", "article", "table"}
        nameless = [role for role, name in found if role in wanted - {"table"} and not name.strip()]
        assert nameless == [], place
        assert ("main", "") in found or any(role == "main" for role, _ in found)
        assert any(role == "heading" for role, _ in found), place


def test_the_tab_key_leads_through_the_page_and_is_seen(page):
    from selenium.webdriver import Keys

    page.open("features?q=spent")
    page.until_names("orders.spent_7d", "orders.spent_all")
    seen = []
    for _ in range(40):
        page.press(Keys.TAB)
        seen.append(page.focused())
        script = (
            "const one = document.activeElement; const style = getComputedStyle(one);"
            "return one === document.body || style.outlineStyle !== 'none' || one.closest('svg') !== null"
        )
        assert page.driver.execute_script(script), f"no outline: {seen[-1]}"
        if seen[-1].startswith("orders."):
            break
    expected = ["Skip to content", "workspace", "Features", "Models", "Health", "Keyboard shortcuts", "Search features"]
    assert seen[:7] == expected
    assert seen[-1].startswith(page.names()[0]), "then the facets, then the first result"
    page.press("?")
    page.until(lambda: page.find("#help").is_displayed(), "the shortcuts")
    page.press(Keys.ESCAPE)
    page.until(lambda: not page.find("#help").is_displayed(), "closed")
