"""What a request to the service costs, beside a bare web server that asks the same booster.

All servers run one process on 127.0.0.1 and are asked by one client, in turns, so that a busy machine slows all.
Processor time is counted, not elapsed time. The floor is Starlette with orjson: it puts the same JSON into a matrix,
asks the same booster by `inplace_predict` with one thread, and answers as many numbers; it checks, counts and logs
nothing. `default` is the same booster as BentoML's documentation serves it, with types by pydantic.

    python benchmarks/serving.py                    # a small model that is trained here
    python benchmarks/serving.py --bundle FOLDER    # a bundle of yours, of trees alone

Takes about a minute. Prints a table; the last line is the figures as JSON.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from proml_kedro.bundle import Bundle
from proml_kedro.serving.prove import golden_rows
from proml_kedro.serving.schema import Row
from proml_kedro.serving.scorer import BundleScorer

ROUNDS = 7
REQUESTS = {1: 600, 100: 300}  # a round's requests, by rows in each
READY_SECONDS = 90

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


@dataclass
class Server:
    """A server process with its children."""

    process: subprocess.Popen[bytes]
    connection: http.client.HTTPConnection

    def post(self, body: bytes) -> None:
        """Send one request over the connection that is kept."""
        try:
            answer = self._asked(body)
        except (OSError, http.client.HTTPException):  # it was idle while others were asked
            self.connection.close()
            answer = self._asked(body)
        text = answer.read()
        if answer.status != 200:
            raise SystemExit(f"status {answer.status}: {text[:300]!r}")

    def _asked(self, body: bytes) -> http.client.HTTPResponse:
        self.connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
        return self.connection.getresponse()

    def cpu_seconds(self) -> float:
        """Processor time used so far, by the system on its behalf too."""
        top = psutil.Process(self.process.pid)
        times = [one.cpu_times() for one in (top, *top.children(recursive=True))]
        ended = top.cpu_times()
        return sum(one.user + one.system for one in times) + ended.children_user + ended.children_system

    def memory(self) -> float:
        """Resident memory in megabytes."""
        top = psutil.Process(self.process.pid)
        return sum(one.memory_info().rss for one in (top, *top.children(recursive=True))) / 1e6

    def is_ready(self) -> bool:
        """Whether it answers its probe."""
        try:
            self.connection.request("GET", "/readyz")
            answer = self.connection.getresponse()
            answer.read()
            return answer.status == 200
        except (OSError, http.client.HTTPException):
            self.connection.close()
            return False


@contextmanager
def started(command: list[str], scratch: Path) -> Iterator[Server]:
    """Run a server, its port as the last word of the command, until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "BENTOML_HOME": str(scratch), "BENTOML_DO_NOT_TRACK": "True"}
    environment.pop("PROML_API_TOKEN", None)
    process = subprocess.Popen(
        [*command, str(port)],
        cwd=scratch,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    server = Server(process, http.client.HTTPConnection("127.0.0.1", port, timeout=30))
    try:
        end = time.monotonic() + READY_SECONDS
        while not server.is_ready():
            if time.monotonic() > end or process.poll() is not None:
                raise SystemExit(f"not ready within {READY_SECONDS} s: {' '.join(command)}")
            time.sleep(0.1)
        yield server
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def cost(server: Server, body: bytes, requests: int) -> float:
    """Processor time of one request, in microseconds."""
    before = server.cpu_seconds()
    for _ in range(requests):
        server.post(body)
    return (server.cpu_seconds() - before) / requests * 1e6


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
        own = [sys.executable, "-m", "proml_kedro", "serve", str(bundle.path.resolve()), "--no-online", "--port"]
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
    ratios = {
        "ratio_to_floor_one_row": figures["kedro_ratio_1"],
        "ratio_to_floor_100": figures["kedro_ratio_100"],
        "ratio_to_bentoml": round(figures["kedro_us_1"] / figures["default_us_1"], 2),
    }
    print(json.dumps({"features": len(bundle.inputs), **start_up, **figures, **ratios}))


if __name__ == "__main__":
    main()
