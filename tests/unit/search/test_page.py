"""The page of a search: whole, and nothing that somebody has written can break out of it."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from proml_kedro.config.folders import Folders
from proml_kedro.config.sweeps import read_sweeps
from proml_kedro.results.trial import SearchFacts, Trial
from proml_kedro.search.page import as_page
from proml_kedro.search.space import Space

FACTS = SearchFacts(
    problem="p<b>",
    model="m",
    metric="auc",
    higher_is_better=True,
    space=(),
    overrides=(),
    sampler="tpe",
    seed=0,
    made_from="",
)


class Parsed(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [str(value) for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "line", "polyline"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("line", "polyline"):
            assert self.open.pop() == tag


def test_every_trial_is_there_and_what_was_written_is_text() -> None:
    _, dimensions, _ = read_sweeps(
        ["a=tag(log,interval(0.001,1))", "b='<script>',y", "c=range(1,3)"], Folders(Path("no"))
    )
    space = Space(tuple(dimensions), {(): frozenset("abc")}, ("a", "b", "c"))
    points = [{"a": 10.0**-number, "b": float(number % 2), "c": 0.0} for number in range(4)]
    trials = [
        Trial(number=place, point=point, overrides=space.overrides(point), state="done", value=0.5 + place / 100)
        for place, point in enumerate(points, 1)
    ]
    trials.append(replace(trials[0], number=5, state="failed", value=None, error="<img src=x>"))
    page = as_page(space, FACTS, trials, ["<i>one</i>"], "a: '<script>'")
    parsed = Parsed()
    parsed.feed(page)
    parsed.close()
    assert (parsed.open, parsed.links) == ([], [])
    assert not {"script", "img", "i", "b"} & set(parsed.tags)
    assert parsed.tags.count("polyline") == 4
    assert parsed.tags.count("tr") == 6
    assert "nan" not in page.lower()
