"""Anomalies on the page: an answer that is clicked is stored, and nobody but the page may send one."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

from browser_page import CONTRAST, Page, opened
from proml_kedro.health.anomalies.boards import answers_of, keep_board
from proml_kedro.health.anomalies.page import page_of
from proml_kedro.results.anomalies import ALL, Anomalies, Anomaly, Board, Chart, Watched
from proml_kedro.workspace.app import make_app
from proml_kedro.workspace.server import hosts_of, open_port
from proml_kedro.workspace.snapshot import LiveSnapshot

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
HOSTILE = '<img src="/nope" onerror="document.title=1">'


def board() -> Board:
    """Sixty days of two figures, of which one has two anomalies and a value that would be dangerous as markup."""
    found = tuple(
        Anomaly(id_, "visits", dimension, value, BEGIN + day * DAY, BEGIN + (day + 2) * DAY, 2, 40.0, 80.0, 3.0, 1.0)
        for id_, dimension, value, day in (("aaaaaaaaaa", "town", HOSTILE, 50), ("bbbbbbbbbb", ALL, "", 30))
    )
    values = [80.0 + day % 7 for day in range(60)]
    values[30] = values[31] = 40.0
    bands = [tuple(one + width for one in [83.0] * 60) for width in (0.0, -10.0, 10.0)]
    charts = tuple(
        Chart("visits", one.dimension, one.value, BEGIN, 86_400.0, (*values[:-1], None), *bands) for one in found
    )
    seen = (Watched("visits", 2, 60, 0.9, BEGIN, BEGIN + 60 * DAY),)
    return Board("shop", BEGIN + 60 * DAY, Anomalies(found, seen, ("town: 3 rarer values are not looked at",)), charts)


@pytest.fixture
def watched(site: Any) -> Any:
    """The shop with anomalies that were found."""
    keep_board(site.data, board())
    answers_of(site.data, "shop").remember(board().found.anomalies)
    return site


OWN = {"origin": "http://127.0.0.1:4242", "content-type": "application/json"}


def answer(site: Any, content: Any, headers: dict[str, str] | None = None) -> Any:
    body = content if isinstance(content, bytes) else json.dumps(content)
    return site.client().post("/api/answer", content=body, headers=OWN if headers is None else headers)


def test_an_answer_is_stored_and_shown(watched):
    done = answer(watched, {"problem": "shop", "id": "aaaaaaaaaa", "answer": "false-alarm", "note": "a feast"})
    assert (done.status_code, done.json()["answer"]) == (200, "false-alarm")
    (said,) = answers_of(watched.data, "shop").answered()
    assert (said.id, said.answer, said.note) == ("aaaaaaaaaa", "false-alarm", "a feast")
    first, second = watched.ask("anomalies")["boards"][0]["found"]["anomalies"]
    assert (first["answer"]["answer"], second["answer"]) == ("false-alarm", None)


def test_nobody_but_the_page_may_answer(watched):
    content = {"problem": "shop", "id": "aaaaaaaaaa", "answer": "anomaly"}
    for headers in (
        {"content-type": "application/json"},
        {**OWN, "origin": "http://evil.example"},
        {**OWN, "origin": "null"},
        {**OWN, "content-type": "text/plain"},
        {**OWN, "content-type": "application/x-www-form-urlencoded"},
    ):
        assert answer(watched, content, headers).status_code == 403, headers
    assert answer(watched, content, {**OWN, "host": "evil.example"}).status_code == 421
    assert answers_of(watched.data, "shop").answered() == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is not JSON"),
        ([], "write texts"),
        ({"problem": "shop", "id": 1, "answer": "anomaly"}, "write texts"),
        ({"problem": "shop", "id": "aaaaaaaaaa", "answer": "maybe"}, "one of anomaly"),
        ({"problem": "shop", "id": "nope", "answer": "anomaly"}, "no anomaly 'nope'"),
        ({"problem": "nope", "id": "aaaaaaaaaa", "answer": "anomaly"}, "no anomaly"),
        ({"problem": "shop", "id": "aaaaaaaaaa", "answer": "anomaly", "note": "x" * 501}, "at most 500"),
    ],
)
def test_what_is_no_answer_is_refused(watched, content, message):
    done = answer(watched, content)
    assert done.status_code == 400
    assert message in done.json()["message"]
    assert answers_of(watched.data, "shop").answered() == []


def test_a_board_that_cannot_be_read_is_named(watched):
    (watched.data / "anomalies.boards" / "other.json").write_text("{")
    found = watched.ask("anomalies")
    assert [one["problem"] for one in found["boards"]] == ["shop"]
    assert "other.json" in found["unreadable"][0]


def test_the_file_of_a_run_needs_nothing_else(watched):
    answer(watched, {"problem": "shop", "id": "bbbbbbbbbb", "answer": "new-trend"})
    text = page_of(board(), answers_of(watched.data, "shop").answered())
    tags: list[tuple[str, dict[str, Any]]] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.append((tag, dict(attrs)))  # type: ignore[method-assign]
    parser.feed(text)
    assert {"script", "img", "link", "a"}.isdisjoint(tag for tag, _ in tags)
    assert not [attrs for _, attrs in tags if {"src", "href", "onerror"} & set(attrs)]
    assert [tag for tag, attrs in tags].count("tr") == 3
    assert sum(tag == "circle" for tag, _ in tags) == 2, "two days below the band, of the anomaly that has them"
    for one in ("Current average", "Baseline average", "Duration", "-50.0%", "2 d", "new trend", "rarer values"):
        assert one in text
    assert "kedro anomalies label aaaaaaaaaa" in text


@pytest.fixture
def page(watched: Any, tmp_path: Any) -> Iterator[Page]:
    import uvicorn

    with open_port(0) as listening, opened(tmp_path / "profile") as window:
        port = listening.getsockname()[1]
        app = make_app(LiveSnapshot(watched), hosts_of(port))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", ws="none"))
        thread = threading.Thread(target=lambda: server.run(sockets=[listening]))
        thread.start()
        try:
            yield Page(window, f"http://127.0.0.1:{port}/")
        finally:
            server.should_exit = True
            thread.join()


@pytest.mark.slow
@pytest.mark.browser
def test_a_label_clicked_is_a_label_stored(page, watched):
    from selenium.webdriver import Keys

    page.show_as(1280)
    page.requested()  # what the browser's own first page asked for
    page.open("health")
    page.until(lambda: page.texts(".anomalies tbody tr"), "the anomalies")
    headings = ["metric", "dimension", "from", "duration", "current average", "baseline average", "change"]
    assert page.texts(".anomalies th[scope=col]")[:7] == headings
    assert HOSTILE in page.texts(".anomalies tbody tr")[0]
    assert page.texts("main img") == []
    row = "tr[data-id=bbbbbbbbbb]"
    assert page.texts(f"{row} .answers button") == ["True anomaly", "New trend", "False alarm", "To be determined"]
    page.find(f"{row} [data-answer=new-trend]").click()
    pressed = f"{row} [aria-pressed=true]"
    page.until(lambda: page.texts(pressed) == ["New trend"], "it is shown as the answer")
    stored = {one.id: one.answer for one in answers_of(watched.data, "shop").answered()}
    assert stored == {"bbbbbbbbbb": "new-trend"}
    page.press(Keys.TAB, Keys.ENTER)
    page.until(lambda: page.texts(pressed) == ["False alarm"], "the keyboard does it too")
    assert answers_of(watched.data, "shop").answered()[0].answer == "false-alarm"
    page.open("health")
    page.until(lambda: page.texts(pressed) == ["False alarm"], "after it is opened anew")
    page.find(f"{row} button.link").click()
    page.until(lambda: page.texts(".drawn h3") == ["visits, all rows"], "its chart")
    assert len(page.texts("svg.band circle")) == 2
    for width, scheme in ((1280, "light"), (390, "light"), (390, "dark")):
        page.show_as(width, scheme=scheme)
        time.sleep(0.2)
        assert page.driver.execute_script("return document.documentElement.scrollWidth <= innerWidth"), width
        assert page.driver.execute_script(CONTRAST) == [], (width, scheme)
    assert [line["message"] for line in page.driver.get_log("browser")] == []
    assert page.requested() <= {"127.0.0.1"}
