"""`kedro workspace` in a real browser, without a screen and without a network."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from browser_page import CONTRAST, Page, opened
from proml_kedro.spec.features import FeaturesSpec

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.browser]

ROOT = Path(__file__).parents[2]
KEDRO = Path(sys.executable).with_name("kedro")
HOSTILE = '<img src="/nope" onerror="document.title=1">'


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with opened(tmp_path_factory.mktemp("profile")) as window:
        yield window


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
