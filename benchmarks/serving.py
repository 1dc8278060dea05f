"""What a request to the service costs, beside a bare web server that asks the same booster.

All servers run one process on 127.0.0.1 and are asked by one client, in turns, so that a busy machine slows all.
Processor time is counted, not elapsed time. The floor is Starlette with orjson: it puts the same JSON into a matrix,
asks the same booster by `inplace_predict` with one thread, and answers as many numbers; it checks, counts and logs
nothing. `default` is the same booster as BentoML's documentation serves it, with types by pydantic.

    python benchmarks/serving.py                    # a small model that is trained here
    python benchmarks/serving.py --bundle FOLDER    # a bundle of yours, of trees alone

Looked-up features, rankings of 500 candidates at 20 a second, and a challenger that hangs are measured on the small
model (serving_online.py, serving_challenger.py).

Takes about two minutes. Prints a table; the last line is the figures as JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from proml_kedro.bundle import Bundle
from proml_kedro.serving.prove import golden_rows
from proml_kedro.serving.schema import Row
from proml_kedro.serving.scorer import BundleScorer
from served import Server, cost, started
from serving_challenger import measure_challenger
from serving_online import measure_online
from serving_places import measure_places

ROUNDS = 7
REQUESTS = {1: 600, 100: 300}  # a round's requests, by rows in each

FLOOR = """
import json, sys
import numpy as np, orjson, uvicorn, xgboost
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

model = json.loads(open("model.json").read())
booster = xgboost.Booster({"nthread": 1}, model_file=model["file"])
number = lambda known: {one: float(at) for at, one in enumerate(known)} if known else None
inputs = [(name, number(known)) for name, known in model["inputs"]]

async def ready(request):
    return Response(b"")

async def predict(request):
    rows = orjson.loads(await request.body())["instances"]
    matrix = np.array([[row[n] if c is None else c.get(row[n]) for n, c in inputs] for row in rows], np.float32)
    margin = booster.inplace_predict(matrix, predict_type="margin", validate_features=False)
    scores = (1 / (1 + np.exp(-margin.astype(np.float64)))).tolist()
    return Response(orjson.dumps({"probabilities": scores, "model": "none"}), media_type="application/json")

routes = [Route("/readyz", ready), Route("/predict", predict, methods=["POST"])]
uvicorn.run(Starlette(routes=routes), host="127.0.0.1", port=int(sys.argv[1]), access_log=False)
"""


DEFAULT = """
import json
from pathlib import Path
import bentoml, numpy as np
from pydantic import BaseModel, Field, create_model

model = json.loads(Path("model.json").read_text())
known = {name: {one: float(at) for at, one in enumerate(known)} if known else None for name, known in model["inputs"]}
fields = {
    f"f{at}": (str | None if known[name] else float | bool | None, Field(alias=name)) for at, name in enumerate(known)
}
Row = create_model("Row", **fields)

@bentoml.service(workers=1)
class Default:
    def __init__(self) -> None:
        import xgboost
        self.booster = xgboost.Booster({"nthread": 1}, model_file=model["file"])

    @bentoml.api
    def predict(self, instances: list[Row]) -> dict[str, list[float]]:
        rows = [one.model_dump(by_alias=True) for one in instances]
        table = [[row[n] if c is None else c.get(row[n]) for n, c in known.items()] for row in rows]
        matrix = np.array(table, np.float32)
        margin = self.booster.inplace_predict(matrix, predict_type="margin", validate_features=False)
        return {"probabilities": (1 / (1 + np.exp(-margin.astype(np.float64)))).tolist()}
"""


def told(bundle: Bundle) -> dict[str, object]:
    """What the other servers are told of a model of trees.

    Raises:
        SystemExit: The model is none.
    """
    ((name, component),) = bundle.graph.components.items()
    folder = bundle.path / "components" / name
    if not (folder / "model.ubj").exists() or component.spec.learns_order:
        raise SystemExit("the floor is for a binary model of XGBoost's trees alone")
    known = json.loads((folder / "categories.json").read_text())
    inputs = [(one.name, known.get(one.name)) for one in component.inputs]
    return {"file": str((folder / "model.ubj").resolve()), "inputs": inputs}


def scoring_cost(scorer: BundleScorer, rows: list[Row], calls: int) -> float:
    """Processor time of scoring rows without any server, in microseconds."""
    scorer.score(rows)
    before = time.process_time()
    for _ in range(calls):
        scorer.score(rows)
    return (time.process_time() - before) / calls * 1e6


def measure(services: dict[str, Server], floor: Server, scorer: BundleScorer, row: Row) -> dict[str, float]:
    """Cost of requests to each, and the median of the ratio to the floor over the rounds, all asked in turns."""
    figures: dict[str, float] = {}
    head = f"{'rows':>5} {'server':>8} {'µs':>7} {'of it model':>12} {'floor µs':>9} {'ratio':>6}"
    print(f"{head}   (ratio of each round)")
    for rows, requests in REQUESTS.items():
        body = json.dumps({"instances": [row] * rows}).encode()
        for server in (*services.values(), floor):
            cost(server, body, 50)
        costs: dict[str, list[float]] = {name: [] for name in services}
        bare: list[float] = []
        for _ in range(ROUNDS):
            for name, server in services.items():
                costs[name].append(cost(server, body, requests))
            bare.append(cost(floor, body, requests))
        model = scoring_cost(scorer, [row] * rows, requests)
        figures[f"floor_us_{rows}"] = round(statistics.median(bare))
        for name, mine in costs.items():
            ratios = [one / other for one, other in zip(mine, bare, strict=True)]
            middle, ratio = statistics.median(mine), statistics.median(ratios)
            seen = " ".join(f"{one:.2f}" for one in ratios)
            bottom = figures[f"floor_us_{rows}"]
            print(f"{rows:>5} {name:>8} {middle:>7.0f} {model:>12.0f} {bottom:>9.0f} {ratio:>6.2f}   {seen}")
            figures |= {f"{name}_us_{rows}": round(middle), f"{name}_ratio_{rows}": round(ratio, 2)}
    return figures


def small_bundle(folder: Path) -> Path:
    """Train a small model."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from small import make_bundle

    return make_bundle(folder, max_rows=1000, max_body_bytes=1 << 20)


def main() -> None:
    """Build a Bento, serve it beside the floor, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path)
    with TemporaryDirectory() as temporary, ExitStack() as servers:
        scratch = Path(temporary)
        scorer = BundleScorer(parser.parse_args().bundle or small_bundle(scratch))
        bundle = scorer.bundle
        own = [
            sys.executable,
            "-m",
            "proml_kedro",
            "serve",
            str(bundle.path.resolve()),
            "serving.standby=false",
            "--no-online",
            "--port",
        ]
        (scratch / "model.json").write_text(json.dumps(told(bundle)))
        (scratch / "default.py").write_text(DEFAULT)
        default = [sys.executable, "-m", "bentoml", "serve", "default:Default", "--host", "127.0.0.1", "--port"]
        services = {}
        for name, command in (("kedro", own), ("default", default)):
            services[name] = service = servers.enter_context(started(command, scratch))
            print(f"{name}: start-up {service.cpu_seconds():.1f} processor seconds, {service.memory():.0f} MB resident")
        start_up = {f"{name}_start_up_cpu_s": round(one.cpu_seconds(), 1) for name, one in services.items()}
        floor = servers.enter_context(started([sys.executable, "-c", FLOOR], scratch))
        print(
            f"model {bundle.manifest.tag}, {len(bundle.inputs)} features, {bundle.manifest.serving.workers} worker(s)"
        )
        figures = measure(services, floor, scorer, golden_rows(bundle.path, bundle.manifest)[0])
        others = {**measure_online(scratch / "online"), **measure_challenger(scratch)}
        others |= measure_places(scratch / "places")
    ratios = {
        "ratio_to_floor_one_row": figures["kedro_ratio_1"],
        "ratio_to_floor_100": figures["kedro_ratio_100"],
        "ratio_to_bentoml": round(figures["kedro_us_1"] / figures["default_us_1"], 2),
        **others,
    }
    print(json.dumps({"features": len(bundle.inputs), **start_up, **figures, **ratios}))


if __name__ == "__main__":
    main()
