"""How long a search among 13,413 features takes: as somebody types, with and without filters.

    python benchmarks/marketplace.py

Prints a table, and last one line of JSON. The features are generated: 1,346 views of members, jobs, companies and
so on. Every query is asked once with an empty cache of words, and several times as it would be while typing.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from proml_kedro.features.catalog import Entry
from proml_kedro.features.market import Market

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


def row(name: str, times: Times) -> dict[str, float]:
    """Print one row of the table."""
    wall, cpu = np.array(times).T
    figures = {f"p{one}": float(np.percentile(wall, one)) for one in (50, 99)}
    figures |= {f"cpu_p{one}": float(np.percentile(cpu, one)) for one in (50, 99)}
    cells = " ".join(f"{value:>10.2f}" for value in figures.values())
    print(f"{name:<34} {len(times):>7} {cells}")
    return figures


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        entries = list(islice(generate(), FEATURES))
        started = time.perf_counter()
        Market.build(Path(folder, "market.sqlite"), entries).close()
        build = time.perf_counter() - started
        size = Path(folder, "market.sqlite").stat().st_size / 2**20
        print(f"{FEATURES:,} features: index built in {build:.2f} s, {size:.1f} MB")
        print(f"{'milliseconds':<34} {'queries':>7} {'p50':>10} {'p99':>10} {'CPU p50':>10} {'CPU p99':>10}")
        cold: Times = []
        typing: Times = []
        empty: Times = []
        whole: Times = []
        for filters in FILTERS:
            for query in QUERIES:
                market = Market(Path(folder, "market.sqlite"))
                market.warm()  # once for a process
                cold += measure(market, [query], filters)
                market.close()
            market = Market(Path(folder, "market.sqlite"))
            market.warm()
            for query in QUERIES:
                typing += measure(market, typed(query), filters)
            for _ in range(20):
                whole += measure(market, list(QUERIES), filters)
            empty += measure(market, [""] * 50, filters)
            market.close()
        figures = {
            "whole queries, words never seen": row("whole queries, words never seen", cold),
            "as they are typed": row("as they are typed", typing),
            "whole queries, again": row("whole queries, again", whole),
            "no words": row("no words", empty),
        }
        every = row("all", cold + typing + whole + empty)
    names = {"whole queries, words never seen": "cold", "as they are typed": "typing", "no words": "empty"}
    shown = {
        f"{names[one]}_{key}_ms": round(figures[one][key], 3) for one in names for key in ("p50", "p99", "cpu_p99")
    }
    sums = {f"{key}_ms": round(every[key], 3) for key in ("p50", "p99", "cpu_p99")}
    print(json.dumps({"features": FEATURES, "build_s": round(build, 2), **sums, **shown}))


if __name__ == "__main__":
    main()
