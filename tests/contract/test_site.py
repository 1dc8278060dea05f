"""The documentation's site: every page is in it, every link leads somewhere, and no page asks another host."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def pages_in(navigation: Any) -> Iterator[str]:
    if isinstance(navigation, str):
        yield navigation
    else:
        for one in navigation.values() if isinstance(navigation, dict) else navigation:
            yield from pages_in(one)


class Asked(HTMLParser):
    """What a page asks for by itself, without anybody clicking."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        known = dict(attributes)
        if tag in ("script", "img", "iframe", "source", "video"):
            self.found.add(known.get("src") or "")
        elif tag == "link" and known.get("rel") not in ("canonical", "prev", "next", "alternate"):
            self.found.add(known.get("href") or "")


def build(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "tools/site.py"], cwd=root, text=True, capture_output=True, check=False)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("site")
    for name in ("docs", "tools", "benchmarks", "monitoring", "conf", "src"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for one in ROOT.iterdir():
        if one.is_file():
            shutil.copy(one, root)
    (root / ".venv").symlink_to(sys.prefix)
    return root


def test_every_page_is_in_the_navigation() -> None:
    named = list(pages_in(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    there = {one.relative_to(ROOT / "docs").as_posix() for one in (ROOT / "docs").rglob("*.md")}
    beside = {one for one in named if not (ROOT / "docs" / one).exists()}
    assert len(named) == len(set(named))
    assert set(named) - beside == there
    assert {"index.md", "changelog.md", "benchmarks.md"} <= beside


@pytest.mark.slow
def test_it_is_built_strictly_and_asks_no_other_host(copy: Path) -> None:
    done = build(copy)
    assert done.returncode == 0, done.stdout[-3000:]
    pages = list((copy / "site").rglob("*.html"))
    assert len(pages) > 45
    for one in pages:
        asked = Asked()
        asked.feed(one.read_text())
        assert not [place for place in asked.found if re.match("[a-z]+:|//", place)], one
    home = (copy / "site" / "index.html").read_text()
    assert "make run" in home
    assert re.search(r'href="how-to/start-from-your-files(\.html|/)"', home)
    assert 'src="run.svg"' in home
    assert (copy / "site" / "run.svg").exists()
    (answered,) = (copy / "site").glob("academy/200*/index.html")
    assert "<code>" in answered.read_text().partition("<summary>Answer</summary>")[2].partition("</details>")[0]
    assert "cosine_similarity" in (copy / "site" / "search.json").read_text(), "what one can search for"


@pytest.mark.slow
@pytest.mark.parametrize("link", ["[gone](../how-to/gone.md)", "[no such part](../how-to/rank.md#gone)"])
def test_a_link_that_leads_nowhere_ends_the_build(copy: Path, link: str) -> None:
    page = copy / "docs" / "explanation" / "windows.md"
    before = page.read_text()
    page.write_text(f"{before}\n{link}\n")
    try:
        done = build(copy)
    finally:
        page.write_text(before)
    assert done.returncode != 0
    assert "windows.md" in done.stdout + done.stderr
