"""Real processes over one data folder at once: what each leaves is what it would have left alone, one after another.

A result's address is a digest of all that it was made from, so that whatever lies at one address has to be equal
whoever made it. Links lead to the results of one run, or of the other; the online store holds what one of them has put
there; a service answers by what was there before, or by what came.
"""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from subprocess import Popen
from typing import Any
from urllib.request import urlopen

import pytest

from kedro_process import Started, start_function, start_kedro
from proml_kedro.result_folder import find_damage, listed_folders
from serving_reader import serve
from soaked import Search, note

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
QUICK = (
    "model.components.trees.num_boost_round=2",
    "evaluation.baseline.components.linear.inputs=[visit.pages]",
    "evaluation.compare.resamples=20",
)
PIPELINES = "--pipelines=features,train,evaluate,materialize"
BEFORE = ("model.components.trees.num_boost_round=1", "--pipelines=features,train,evaluate,bundle,materialize")
"""What lies in the folder when processes begin: a bundle to be served, and a filled online store."""

RUNS: dict[str, tuple[str, ...]] = {
    "a run": QUICK,
    "the same": QUICK,
    "other values": (*QUICK, "features.orders.features.spent.expression=amount*1000"),
    "other features": (*QUICK, "features.orders.features.spent.windows=[2d]", "remove_used_features=true"),
    "another model": ("model=logistic", *QUICK[1:]),
    "another seed": (*QUICK, "seed=1", "model.components.trees.params.subsample=0.5"),
}
OTHERS = ("push", "materialize", "workspace", "serve", "gc")
CUSTOMERS = [f"c{number}" for number in range(1, 9)]
PUSHED = "c0", "2031-01-01T00:00:00Z"
PAGES = ("api/status", "api/models", "api/health", "api/search?q=spent")


@dataclass(frozen=True)
class Left:
    """What a data folder holds.

    Attributes:
        results: Place of a result → its files.
        links: Place of a link → where it leads.
        online: Rows of the online store.
        scores: What a service that starts now answers.
    """

    results: dict[str, dict[str, bytes]]
    links: dict[str, str]
    online: tuple[Any, ...]
    scores: dict[str, list[float]]


class Folder:
    """A data folder that can be brought back to how it was before."""

    def __init__(self, shop: Any) -> None:
        self.shop, self.data, self.template = shop, shop.data, shop.folder / "before"
        self.scratch = shop.folder / "scratch"
        self.begun: list[Any] = []
        self.scratch.mkdir()
        (shop.folder / "fresh.csv").write_text(
            "customer,event_timestamp,spent_7d,spent_all,orders_7d\n" + ",".join((*PUSHED, "1", "2", "3")) + "\n"
        )
        assert self.start("run", *BEFORE).wait().returncode == 0
        shutil.copytree(self.data, self.template, symlinks=True)
        self.base = self.look()
        self._alone: dict[str, Left] = {}

    def start(self, command: str, *arguments: str) -> Started:
        first = command.split()
        where = ["--conf-source", str(self.shop.conf)]
        started = start_kedro([*first, *arguments, *where, f"data_dir={self.data}"], ROOT)
        self.begun.append(started.process)
        return started

    def begin(self, who: str) -> Started:
        """Start one of the processes that end by themselves."""
        if who in RUNS:
            return self.start("run", *RUNS[who], PIPELINES)
        if who == "push":
            return self.start("features push", "orders", str(self.shop.folder / "fresh.csv"))
        if who == "gc":
            return self.start("store gc")
        return self.start("run", BEFORE[0], "--pipelines=materialize")

    def reset(self) -> None:
        shutil.rmtree(self.data)
        shutil.copytree(self.template, self.data, symlinks=True)

    def alone(self, who: str) -> Left:
        """What is there when nobody else was: made once."""
        if who not in self._alone:
            self.reset()
            done = self.begin(who).wait()
            assert done.returncode == 0, done.stderr
            self._alone[who] = self.look()
        return self._alone[who]

    def look(self) -> Left:
        root = self.data / "store"
        results = {}
        for folder in listed_folders(root):
            assert find_damage(folder) is None, folder
            if folder.parent.name != "online_values":  # which says how far somebody has filled the store
                files = sorted(one for one in folder.rglob("*") if one.is_file())
                results[str(folder.relative_to(root))] = {
                    str(one.relative_to(folder)): one.read_bytes() for one in files
                }
        links = {
            str(one.relative_to(self.data)): str(one.resolve().relative_to(root))
            for one in sorted((self.data / "shop").rglob("*"))
            if one.is_symlink()
        }
        service = Serving(self)
        return Left(results, links, self._online(), service.stop())

    def _online(self) -> tuple[Any, ...]:
        connection = sqlite3.connect(self.data / "feature_store" / "shop" / "online.db")
        named = 'JOIN layouts ON layouts.id = "shop.orders".layout'
        query = f'SELECT entity, moment, layouts.layout, content FROM "shop.orders" {named}'
        rows = tuple(sorted(connection.execute(query)))
        connection.close()
        return rows


class Serving:
    """A process that serves the bundle that was live when it began."""

    def __init__(self, folder: Folder) -> None:
        name = f"{time.monotonic_ns()}"
        self._asked, self._answers = folder.scratch / f"{name}.asked", folder.scratch / f"{name}.json"
        link = str(folder.data / "shop" / "xgboost" / "bundle")
        self._process = start_function(serve, link, CUSTOMERS, str(self._asked), str(self._answers))
        folder.begun.append(self._process)
        wait_until(self._answers.exists, self._process.is_alive)

    def stop(self) -> dict[str, list[float]]:
        self._asked.touch()
        self._process.join(120)
        assert self._process.exitcode == 0, "the service has failed"
        found: dict[str, list[float]] = json.loads(self._answers.read_text())
        return found


class Reading:
    """The workspace, of which every page is read over and over."""

    def __init__(self, folder: Folder) -> None:
        self._started = folder.start("workspace", "--port", "0", "--no-browser")
        wait_until(lambda: "http://" in self._started.said(), lambda: self._started.running)
        self._address = "http://" + self._started.said().partition("http://")[2].split()[0].rstrip("/")
        self.read = 0

    def look(self) -> None:
        for page in PAGES:
            with urlopen(f"{self._address}/{page}", timeout=60) as answer:
                json.loads(answer.read())
                self.read += 1

    def stop(self) -> None:
        self.look()
        self._started.end()
        assert "Traceback" not in self._started.said("err"), self._started.said("err")
        self._started.folder.cleanup()


def wait_until(is_so: Callable[[], bool], goes_on: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not is_so():
        assert goes_on(), "it has ended"
        assert time.monotonic() < end
        time.sleep(0.02)


def at_once(folder: Folder, who: tuple[str, ...]) -> int:
    """Let processes begin at once, and prove what they leave; returns how many results were looked at."""
    alone = {one: folder.alone(one) for one in who if one not in ("workspace", "serve", "gc")}
    folder.reset()
    services = [Serving(folder) for one in who if one == "serve"]
    readers = [Reading(folder) for one in who if one == "workspace"]
    started = [folder.begin(one) for one in who if one not in ("workspace", "serve")]
    while any(one.process.exitcode is None for one in started):
        for reader in readers:
            reader.look()
        time.sleep(0.02)
    for one in started:
        done = one.wait()
        assert done.returncode == 0, f"{who}: {done.stderr[-2000:]}"
    answers = [one.stop() for one in services]
    for reader in readers:
        reader.stop()
    left, was = folder.look(), [folder.base, *alone.values()]
    known = {place: files for one in was for place, files in one.results.items()}
    for place, files in left.results.items():
        assert place in known or of_a_state(place, who), f"{who}: nobody alone has made {place}"
        assert known.get(place, files) == files, f"{who}: {place}"
    if "gc" not in who:
        assert {one for one in known if not of_a_state(one, who)} <= left.results.keys(), who
    links = [without_verdicts(one, who) for one in in_any_order(folder.base, list(alone.values()))]
    assert without_verdicts(left.links, who) in links, who
    assert left.online in [with_push(one.online, alone) for one in was], who
    for answer in answers:
        for customer, scores in answer.items():
            assert set(scores) <= {score for one in was for score in one.scores[customer]}, who
    return len(left.results)


def of_a_state(place: str, who: tuple[str, ...]) -> bool:
    """Whether a result is a verdict on a state of the online store, to which a push may have come or not."""
    return "push" in who and "/consistency/" in place


def without_verdicts(links: dict[str, str], who: tuple[str, ...]) -> dict[str, str]:
    return {place: to for place, to in links.items() if not of_a_state(to, who)}


def in_any_order(base: Left, others: list[Left]) -> list[dict[str, str]]:
    """The links after some have moved theirs, one after another: those that a run leaves as they are it moves too."""
    found = []
    for order in permutations(others):
        links = dict(base.links)
        for one in order:
            links |= {place: to for place, to in one.links.items() if moved(place, one, base, others)}
        found.append(links)
    return found


def moved(place: str, one: Left, base: Left, others: list[Left]) -> bool:
    """Whether a run has moved a link: it leads elsewhere than before, or the run is of that model."""
    model = place.split("/")[1]
    of_model = any(key.startswith(f"shop/{model}/") and one.links[key] != base.links.get(key) for key in one.links)
    shared = model in ("tables", "feature_tables") and one.links != base.links
    return one.links[place] != base.links.get(place) or of_model or shared


def with_push(rows: tuple[Any, ...], alone: dict[str, Left]) -> tuple[Any, ...]:
    """Rows of a store to which the push came too."""
    if "push" not in alone:
        return rows
    (pushed,) = [row for row in alone["push"].online if row[1] > max(one[1] for one in rows if one[0] != row[0])]
    return tuple(sorted([*(one for one in rows if one[0] != pushed[0]), pushed]))


@pytest.fixture(scope="module")
def folder(new_shop: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    made = Folder(new_shop(tmp_path_factory.mktemp("at_once")))
    yield made
    for process in made.begun:  # whoever a failed test has left: Python would wait for them for ever
        if isinstance(process, Popen) or process.is_alive():
            process.kill()


PAIRS = [("a run", "the same"), ("other values", "push"), ("other values", "serve"), ("materialize", "workspace")]


@pytest.mark.slow
@pytest.mark.parametrize("who", PAIRS, ids=" and ".join)
def test_pairs(folder: Folder, who: tuple[str, ...]) -> None:
    assert at_once(folder, who) > 5


@pytest.mark.soak
def test_random_pairs_and_three_at_once(folder: Folder) -> None:
    order = random.Random(13)
    chosen = [tuple(order.sample([*RUNS, *OTHERS], 2)) for _ in range(30)]
    chosen += [tuple(order.sample([*RUNS, *OTHERS], 3)) for _ in range(3)]
    chosen = [one if set(one) & {*RUNS, "push", "materialize"} else (*one[1:], "a run") for one in chosen]
    trials = {f"{number}: {' and '.join(who)}": who for number, who in enumerate(chosen)}
    search = Search("at-once", list(trials), keep=True)
    for trial in search.pending():
        search.done(trial, str(at_once(folder, trials[trial])))
    if ends := search.ends():
        compared = sum(int(results) * times for results, times in ends.items())
        note(
            "Processes of random kinds at once leave what they leave alone",
            pairs=30,
            threes=3,
            results_compared=compared,
        )
