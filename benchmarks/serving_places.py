"""What a hop to a place costs: the same model with one component elsewhere, and all of it here; part of serving.py."""

from __future__ import annotations

import json
import socket
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from proml_kedro.bundle import Manifest
from proml_kedro.serving.prove import golden_rows
from served import cost, started

ROUNDS, REQUESTS = 9, 300


def measure_places(scratch: Path) -> dict[str, Any]:
    """Return ``hop_us``: processor microseconds that server and place need more for a row than a server alone."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from places import MIXED
    from small import make_bundle

    scratch.mkdir()
    bundle = make_bundle(scratch / "made", components=MIXED)
    body = json.dumps({"instances": golden_rows(bundle, Manifest.read(bundle))[:1]}).encode()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = [sys.executable, "-m", "proml_kedro", "serve", str(bundle), "serving.standby=false"]
    there = f"serving.places.entities={{components: [personal], url: 'http://127.0.0.1:{port}'}}"
    with ExitStack() as servers:
        alone = servers.enter_context(started([*own, "--no-online", "--port"], scratch))
        place = servers.enter_context(started([*own, there, "--place", "entities", "--port"], scratch, port=port))
        front = servers.enter_context(started([*own, there, "--no-online", "--port"], scratch))
        more = []
        for number in range(ROUNDS + 1):
            before = place.cpu_seconds()
            in_front = cost(front, body, REQUESTS)
            both = in_front + (place.cpu_seconds() - before) / REQUESTS * 1e6
            if number:  # the first round warms up
                more.append(both - cost(alone, body, REQUESTS))
    figures = {"hop_us": round(statistics.median(more))}
    print(f"{'hop_us':>20} {figures['hop_us']}   {' '.join(f'{one:.0f}' for one in more)}")
    return figures


if __name__ == "__main__":
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as temporary:
        measure_places(Path(temporary) / "places")
