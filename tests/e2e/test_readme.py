"""README: its example prints what it shows, and its picture is the recording of a run that says what runs say today."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.text import Text

import recording
from kedro_process import run_kedro
from proml_kedro.commands.new import make_project

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
NUMBER = re.compile(r"[+-]?\d[\d,]*(?:\.\d+)?")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def spoken() -> list[str]:
    """The lines of the recording, without colours."""
    events = [json.loads(line) for line in recording.CAST.read_text().splitlines()[1:]]
    return [Text.from_ansi(text.rstrip("\n")).plain for _, _, text in events]


def summary(lines: list[str]) -> list[str]:
    """How each line of a summary begins, behind its title and its verdict, whose words are their own."""
    start = next(place for place, line in enumerate(lines) if " · model " in line)
    found = []
    for line in lines[start + 2 :]:
        begins = re.match(r"  [a-z]+( [a-z]+)+(?=  )|[A-Za-z_]+( [a-z]+)*", line)
        if begins:
            found.append(begins[0])
    return found


def test_the_picture_is_drawn_from_the_recording() -> None:
    picture = recording.PICTURE.read_text()
    assert recording.draw(recording.CAST.read_text()) == picture
    root = ElementTree.fromstring(picture)
    names = {"{http://www.w3.org/2000/svg}text"}
    drawn = [
        "".join(one.text or "" for one in line.iter() if one.tag in names)
        for line in root.iter()
        if "class" in line.attrib
    ]
    assert "".join("".join(drawn[1:]).split()) == "".join("".join(spoken()).split())
    assert max(map(len, drawn)) <= recording.COLUMNS
    assert drawn[0] == "$ kedro run"
    assert not re.search(r"url\(|href|@import|script", picture)


def test_a_run_says_today_what_the_recording_says(finished_shop: Any) -> None:
    today = summary(finished_shop.environment["FINISHED_OUTPUT"].splitlines())
    recorded = [one for one in summary(spoken()) if one != "Data"]  # warnings about the data are their own
    assert len(recorded) > 10
    assert recorded == today


def test_a_line_that_a_run_no_longer_says_would_be_found(finished_shop: Any) -> None:
    today = finished_shop.environment["FINISHED_OUTPUT"].splitlines()
    assert summary([line.replace("Drift verdict:", "Drift of today:") for line in today]) != summary(spoken())


def test_a_recording_is_what_a_terminal_shows(tmp_path: Path) -> None:
    kept = recording.record("printf '\\033[1;32mbold\\033[0m and\\n'; echo plain; exit 3", tmp_path)
    heading, *events = map(json.loads, kept.splitlines())
    assert (heading["version"], heading["exit"], heading["width"]) == (2, 3, recording.COLUMNS)
    assert "".join(text for _, _, text in events) == "\033[1;32mbold\033[0m and\nplain\n"
    picture = recording.draw(kept)
    assert ">bold</text>" in picture
    assert 'font-weight="700">bold' in picture


def close(shown: str, said: str) -> bool:
    """The same words, and figures that differ by less than machines do."""
    numbers = [[float(one.replace(",", "")) for one in NUMBER.findall(text)] for text in (shown, said)]
    words = [NUMBER.sub("#", " ".join(text.split())) for text in (shown, said)]
    return words[0] == words[1] and numbers[0] == pytest.approx(numbers[1], abs=0.003)


@pytest.mark.slow
def test_the_example_prints_what_it_shows(tmp_path: Path) -> None:
    make_project(tmp_path, "shop")
    folder = tmp_path / "shop"
    written = 0
    for block in blocks("yaml"):
        file = folder / re.match(r"# (conf/\S+)\n", block)[1]
        assert file.name == "regulars.yaml" or file.exists(), "what is shown beside the project's own"
        file.parent.mkdir(exist_ok=True)
        file.write_text(block)
        written += len(block.splitlines()) - 1
    assert written <= 25
    (shown,) = (one for one in blocks("console") if "proml_kedro new shop" in one)
    subprocess.run([sys.executable, "generate_tables.py"], cwd=folder, check=True)
    for part in shown.split("$ kedro ")[1:]:
        words, *lines = part.splitlines()
        done = run_kedro(words.split(), folder, {}, 600)
        assert done.returncode == 0, done.stderr
        said = done.stdout.splitlines()
        assert lines
        for line in lines:
            assert any(close(line, one) for one in said), f"{line}\nis not in\n{done.stdout}"
