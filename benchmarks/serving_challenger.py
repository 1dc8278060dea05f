"""What a challenger in the shadow that hangs costs the champion; part of serving.py."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from proml_kedro.bundle import Manifest
from proml_kedro.serving.prove import golden_rows
from served import Server, started

REQUESTS = 2000


def measure_challenger(scratch: Path) -> dict[str, Any]:
    """Return p50 and p99 of a server alone, and of one whose challenger was stopped, asked in turns."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from small import make_bundle

    few = {"trees": {"kind": "xgboost", "inputs": ["*"], "num_boost_round": 3}}
    champion = make_bundle(scratch / "champion")
    challenger = make_bundle(scratch / "challenger", components=few, version="v2")
    body = json.dumps({"instances": golden_rows(champion, Manifest.read(champion))[:1]}).encode()
    own = [sys.executable, "-m", "proml_kedro", "serve", str(champion), "--no-online"]
    with ExitStack() as servers:
        alone = servers.enter_context(started([*own, "--port"], scratch))
        told = f"serving.challenger.bundle={challenger}"
        beside = servers.enter_context(started([*own, told, "--port"], scratch))
        hanging = _challenger_of(beside)
        os.kill(hanging, signal.SIGSTOP)
        try:
            taken: dict[str, list[float]] = {"alone": [], "hanging": []}
            for _ in range(REQUESTS):
                for name, server in (("alone", alone), ("hanging", beside)):
                    taken[name].append(_seconds(server, body) * 1e3)
        finally:
            os.kill(hanging, signal.SIGCONT)
    figures = {f"p99_{name}_ms": round(float(np.quantile(one, 0.99)), 2) for name, one in taken.items()}
    figures |= {f"p50_{name}_ms": round(float(np.quantile(one, 0.5)), 2) for name, one in taken.items()}
    for name, value in figures.items():
        print(f"{name:>20} {value}")
    return figures


def _challenger_of(server: Server) -> int:
    (process,) = [
        one.pid
        for one in psutil.Process(server.process.pid).children(recursive=True)
        if any("challenger_process" in word for word in one.cmdline())
    ]
    return process


def _seconds(server: Server, body: bytes) -> float:
    begun = time.perf_counter()
    server.post(body)
    return time.perf_counter() - begun
