"""How long a search among 13,413 features takes: as somebody types, with and without filters.

    python benchmarks/marketplace.py

Prints a table, and last one line of JSON. The features are generated: 1,346 views of members, jobs, companies and
so on. Every query is asked once with an empty cache of words, and several times as it would be while typing; then all
of it once more from the workspace's server, a process of its own, over a connection that stays open as a browser's.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from itertools import islice
from pathlib import Path
from urllib.parse import urlencode

import numpy as np

from proml_kedro.marketplace.entry import Entry
from proml_kedro.marketplace.index import Market
from proml_kedro.results import Places
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.workspace.server import open_port, serve
from proml_kedro.workspace.snapshot import LiveSnapshot, Snapshot

FEATURES = 13_413
ENTITIES = ("member", "job", "company", "search", "article", "group", "skill", "member,job", "member,company")
ACTIONS = ("click", "view", "apply", "share", "like", "follow", "message", "endorse", "hire", "bounce", "impression")
PLACES = ("feed", "mobile", "desktop", "mail", "search", "profile", "notification", "ads")
WINDOWS = ("1h", "3h", "24h", "7d", "28d", "90d", "all")
SECONDS = {"1h": 3600, "3h": 10800, "24h": 86400, "7d": 604800, "28d": 2419200, "90d": 7776000, "all": -1}
AGGREGATES = ("count", "sum", "mean", "min", "max", "rate")
QUERIES = (
    "member click",
    "click last 7 days",
    "bounce rate",
    "job apply mobile count",
    "hire",
    "skill endorse sum 28d",
    "distinct query",
    "m",
    "view feed mean",
    "company follow last 24h",
    "c",
    "member job apply 7d mail",
    "last",
    "nothing like it zzz",
)
NAMES = {
    "cold": "whole queries, words never seen",
    "typing": "as they are typed",
    "again": "whole queries, again",
    "empty": "no words",
}
FILTERS: tuple[dict[str, str | int], ...] = ({}, {"entity": "member", "feature_type": "numerical"}, {"window": "7d"})


def generate() -> Iterator[Entry]:
    """Features like those of a network of members and jobs."""
    pick = random.Random(7)
    for number in range(1_346):
        entity, action, place = pick.choice(ENTITIES), pick.choice(ACTIONS), pick.choice(PLACES)
        view = f"{entity.replace(',', '_')}_{place}_{number}"
        owner = f"team{pick.randrange(40)}@example.com"
        for _ in range(10):
            aggregate, window = pick.choice(AGGREGATES), pick.choice(WINDOWS)
            action = pick.choice(ACTIONS)
            yield Entry(
                name=f"{view}.{action}_{aggregate}_{pick.randrange(1000)}_{window}",
                problem=f"problem{number % 12}",
                view=view,
                dtype="int" if aggregate == "count" else "float",
                feature_type="numerical" if pick.random() < 0.9 else "categorical",
                entity=entity,
                window=window,
                window_seconds=SECONDS[window],
                owner=owner,
                description=f"{aggregate} of {action}s of the {entity} in {place}, last {window}",
                aggregate=aggregate,
                expression=action,
                table=f"{action}s",
                models=",".join(f"model{one}" for one in range(pick.randrange(4))),
            )


def typed(query: str) -> list[str]:
    """The query as it grows under somebody's fingers, from its second letter."""
    return [query[:end] for end in range(2, len(query) + 1)]


Times = list[tuple[float, float]]
"""Wall and CPU milliseconds of each search."""


def measure(market: Market, queries: list[str], filters: dict[str, str | int]) -> Times:
    """Time each search."""
    times = []
    for query in queries:
        wall, cpu = time.perf_counter(), time.thread_time()
        market.search(query, filters)
        times.append(((time.perf_counter() - wall) * 1e3, (time.thread_time() - cpu) * 1e3))
    return times


class Generated:
    """What the workspace shows: an index, and nothing that was run.

    Args:
        file: The index.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def stamp(self) -> str:
        """It never changes."""
        return "generated"

    def load(self) -> Snapshot:
        """The index in an empty project."""
        places = Places(str(self._file.parent), "problem0", "model0")
        return Snapshot.of(Market(self._file), places, HardwareSpec(), lambda problem: {})


def answer(file: Path) -> None:
    """Serve the workspace until interrupted; prints its port."""
    with open_port(0) as listening:
        port = listening.getsockname()[1]
        serve(LiveSnapshot(Generated(file)), listening, lambda address: print(port, flush=True))


@contextmanager
def server(file: Path) -> Iterator[HTTPConnection]:
    """A connection to a workspace in another process."""
    process = subprocess.Popen([sys.executable, __file__, "--serve", str(file)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    connection = HTTPConnection("127.0.0.1", int(process.stdout.readline()))
    try:
        yield connection
    finally:
        connection.close()
        process.send_signal(signal.SIGINT)
        process.wait(10)


def ask(connection: HTTPConnection, queries: list[str], filters: dict[str, str | int]) -> Times:
    """Time each search, from the question to the last byte of the answer; CPU is that of asking alone."""
    times = []
    for query in queries:
        path = f"/api/search?{urlencode({'q': query, **filters})}"
        wall, cpu = time.perf_counter(), time.thread_time()
        connection.request("GET", path)
        found = json.loads(connection.getresponse().read())
        times.append(((time.perf_counter() - wall) * 1e3, (time.thread_time() - cpu) * 1e3))
        assert found["of"] == FEATURES
    return times


def row(name: str, times: Times) -> dict[str, float]:
    """Print one row of the table."""
    wall, cpu = np.array(times).T
    figures = {f"p{one}": float(np.percentile(wall, one)) for one in (50, 99)}
    figures |= {f"cpu_p{one}": float(np.percentile(cpu, one)) for one in (50, 99)}
    cells = " ".join(f"{value:>10.2f}" for value in figures.values())
    print(f"{name:<34} {len(times):>7} {cells}")
    return figures


def measure_in_process(file: Path) -> dict[str, Times]:
    """Each sort of query, asked of the index itself."""
    times: dict[str, Times] = {"cold": [], "typing": [], "again": [], "empty": []}
    for filters in FILTERS:
        for query in QUERIES:
            market = Market(file)
            market.warm()  # once for a process
            times["cold"] += measure(market, [query], filters)
            market.close()
        market = Market(file)
        market.warm()
        for query in QUERIES:
            times["typing"] += measure(market, typed(query), filters)
        for _ in range(20):
            times["again"] += measure(market, list(QUERIES), filters)
        times["empty"] += measure(market, [""] * 50, filters)
        market.close()
    return times


def measure_page(file: Path) -> Times:
    """The same queries, asked of the page's API; the first of each sort with an empty cache of words."""
    times: Times = []
    for filters in FILTERS:
        with server(file) as connection:
            times += ask(connection, list(QUERIES), filters)
            for query in QUERIES:
                times += ask(connection, typed(query), filters)
            times += ask(connection, [""] * 50, filters)
    return times


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "market.sqlite")
        entries = list(islice(generate(), FEATURES))
        started = time.perf_counter()
        Market.build(file, entries).close()
        build = time.perf_counter() - started
        print(f"{FEATURES:,} features: index built in {build:.2f} s, {file.stat().st_size / 2**20:.1f} MB")
        print(f"{'milliseconds':<34} {'queries':>7} {'p50':>10} {'p99':>10} {'CPU p50':>10} {'CPU p99':>10}")
        times = measure_in_process(file)
        figures = {name: row(NAMES[name], found) for name, found in times.items()}
        every = row("all", [one for found in times.values() for one in found])
        page = row("through the page's API", measure_page(file))
    shown = {
        f"{name}_{key}_ms": round(figures[name][key], 3)
        for name in ("cold", "typing", "empty")
        for key in ("p50", "p99", "cpu_p99")
    }
    sums = {f"{key}_ms": round(every[key], 3) for key in ("p50", "p99", "cpu_p99")}
    api = {f"api_{key}_ms": round(page[key], 3) for key in ("p50", "p99")}
    print(json.dumps({"features": FEATURES, "build_s": round(build, 2), **sums, **shown, **api}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        answer(Path(sys.argv[2]))
    else:
        main()
