"""What requests cost whose features are looked up, and rankings, beside a bare server; part of serving.py.

The floor reads the same rows of the same SQLite file by one query, puts them into a matrix with what the request
brings, and asks the same booster. It checks no moment, counts nothing and logs nothing.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from proml_kedro.bundle import Bundle
from served import Server, cost, started

SHOPS, CANDIDATES = 1000, 500
ROUNDS, REQUESTS = 7, 300
RATE, SECONDS = 20, 10  # rankings a second, and how long each server is asked at that rate
CLOSED_SECONDS = 4

FLOOR = """
import json, sqlite3, struct, sys
import numpy as np, orjson, uvicorn, xgboost
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

model = json.loads(open("online.json").read())
booster = xgboost.Booster({"nthread": 1}, model_file=model["file"])
number = lambda known: {one: float(at) for at, one in enumerate(known)} if known else None
inputs = [(name, number(known)) for name, known in model["inputs"]]
at = {name: place for place, name in enumerate(model["stored"])}
store = sqlite3.connect("file:" + model["store"] + "?mode=ro", uri=True, check_same_thread=False)
head = struct.pack("<III", 1, 2, 4) + b"shop" + struct.pack("<II", 4, 8)
key = lambda shop: head + struct.pack("<q", shop)

def scored(rows):
    keys = list({key(row["shop"]) for row in rows})
    query = 'SELECT entity, content FROM "sales.traffic" WHERE entity IN (' + ",".join("?" * len(keys)) + ")"
    found = {one: orjson.loads(content) for one, content in store.execute(query, keys)}
    table = []
    for row in rows:
        stored = found[key(row["shop"])]
        table.append([stored[at[n]] if n in at else row.get(n) if c is None else c.get(row[n]) for n, c in inputs])
    matrix = np.array(table, np.float32)
    margin = booster.inplace_predict(matrix, predict_type="margin", validate_features=False)
    return 1 / (1 + np.exp(-margin.astype(np.float64)))

async def ready(request):
    return Response(b"")

async def predict(request):
    scores = scored(orjson.loads(await request.body())["instances"]).tolist()
    return Response(orjson.dumps({"probabilities": scores, "model": "none"}), media_type="application/json")

async def rank(request):
    body = orjson.loads(await request.body())
    rows = [{**body["common"], **one} for one in body["candidates"]]
    scores = scored(rows)
    order = np.argsort(-scores).tolist()
    items = [{"candidate": one, "score": scores[one], "shop": rows[one]["shop"]} for one in order]
    return Response(orjson.dumps({"items": items}, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")

routes = [Route("/readyz", ready), *(Route("/" + one.__name__, one, methods=["POST"]) for one in (rank, ))]
routes.append(Route("/predict_online", predict, methods=["POST"]))
uvicorn.run(Starlette(routes=routes), host="127.0.0.1", port=int(sys.argv[1]), access_log=False)
"""


def measure_online(scratch: Path) -> dict[str, Any]:
    """Return ``ratio_online``, ``candidates_per_s``, ``rank_p99_ms`` and ``floor_rank_p99_ms``."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from online import make_online

    scratch.mkdir()
    data, bundle, newest, _ = make_online(scratch, 20_000, SHOPS, max_rows=1000, max_body_bytes=1 << 20)
    (scratch / "online.json").write_text(json.dumps(_told(Bundle.load(bundle), data)))
    shared = {one: newest[one] for one in ("visit.city", "visit.price", "visit.items", "visit.member")}
    shared["timestamp"] = newest["event_timestamp"].isoformat()
    one_row = json.dumps({"instances": [{**shared, "shop": 7}]}).encode()
    ranking = json.dumps({"common": shared, "candidates": [{"shop": one} for one in range(CANDIDATES)]}).encode()
    own = [sys.executable, "-m", "proml_kedro", "serve", str(bundle), "serving.standby=false"]
    with ExitStack() as servers:
        store = {"PROML_FEATURE_STORE": os.fspath(data)}
        mine = servers.enter_context(started([*own, "--port"], scratch, **store))
        floor = servers.enter_context(started([sys.executable, "-c", FLOOR], scratch))
        figures = {"ratio_online": _ratio(mine, floor, one_row, "/predict_online", REQUESTS)}
        figures["ratio_rank_500"] = _ratio(mine, floor, ranking, "/rank", 20)
        late = {name: _at_rate(one, ranking) for name, one in (("floor_", floor), ("", mine))}
        figures |= {f"{name}rank_p99_ms": round(float(np.quantile(one, 0.99)), 1) for name, one in late.items()}
    with started([*own, "--workers", "2", "--port"], scratch, **store) as both:
        figures["candidates_per_s"] = round(_closed(both, ranking) * CANDIDATES)
    for name, value in figures.items():
        print(f"{name:>20} {value}")
    return figures


def _told(bundle: Bundle, data: Path) -> dict[str, Any]:
    ((name, component),) = bundle.graph.components.items()
    folder = bundle.path / "components" / name
    known = json.loads((folder / "categories.json").read_text())
    return {
        "file": str((folder / "model.ubj").resolve()),
        "inputs": [(one.name, known.get(one.name)) for one in component.inputs],
        "stored": ["traffic.visits_3h", "traffic.visits_all"],  # as the store has them, one row a key
        "store": str(next(data.glob("feature_store/*/online.db")).resolve()),
    }


def _ratio(mine: Server, floor: Server, body: bytes, path: str, requests: int) -> float:
    """Return the median over the rounds of the processor time of a request, as a share of the floor's."""
    for server in (mine, floor):
        cost(server, body, requests, path)
    ratios = [cost(mine, body, requests, path) / cost(floor, body, requests, path) for _ in range(ROUNDS)]
    return round(statistics.median(ratios), 2)


def _at_rate(server: Server, body: bytes) -> list[float]:
    """Return the milliseconds of rankings that are asked for at fixed moments, counted from those."""
    taken, begun = [], time.perf_counter()
    for number in range(RATE * SECONDS):
        due = begun + number / RATE
        time.sleep(max(0.0, due - time.perf_counter()))
        server.post(body, "/rank")
        taken.append((time.perf_counter() - due) * 1e3)
    return taken


def _closed(server: Server, body: bytes) -> float:
    """Return how many rankings a second four clients get that ask all the time."""
    counts, end = [0] * 4, time.monotonic() + CLOSED_SECONDS

    def ask(client: int) -> None:
        own = server.another()
        while time.monotonic() < end:
            own.post(body, "/rank")
            counts[client] += 1

    clients = [threading.Thread(target=ask, args=(one,)) for one in range(len(counts))]
    for one in clients:
        one.start()
    for one in clients:
        one.join()
    return sum(counts) / CLOSED_SECONDS
