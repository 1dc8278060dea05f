"""Proof that a Bento serves its model: started as users start it, and asked over HTTP."""

from __future__ import annotations

import http.client
import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from proml_kedro.bundle import IntegrityError, Manifest
from proml_kedro.bundle.golden import compare, read_scores
from proml_kedro.results.names import GOLDEN
from proml_kedro.serving.guard import TOKEN_VARIABLE
from proml_kedro.serving.schema import Row, read_answer
from proml_kedro.serving.whole import prove_whole

_READY_SECONDS = 300
_ANSWER_SECONDS = 60
_END_SECONDS = 60
_STEP = 0.1
_ROWS = 50
"""Golden rows in one request, well below the limit of a body's size."""


def check_bento(folder: Path) -> dict[str, Any]:
    """Prove a Bento: ``bentoml serve`` serves it by its own copy of the code, and scores the golden rows over HTTP.

    Args:
        folder: The Bento.

    Returns:
        ``model``, ``rows`` (golden rows scored) and ``largest_difference`` of their scores.

    Raises:
        IntegrityError: It is not whole, does not become ready, or scores differently than the bundle says.
    """
    bundle = folder / "src" / "bundle"
    if not bundle.is_dir():
        raise IntegrityError.of(folder, "no Bento with a bundle")
    prove_whole(folder)
    manifest = Manifest.read(bundle)
    expected, rows = read_scores(bundle, manifest), golden_rows(bundle, manifest)
    with _served(folder.resolve()) as port:
        actual = [one for batch in _batches(rows, manifest) for one in _predict(folder, port, manifest, batch)]
    compare(bundle, actual, expected, manifest.serving.tolerance, manifest.problem.label.task)
    largest = float(abs(np.asarray(actual) - expected).max())
    return {"model": manifest.tag, "rows": len(rows), "largest_difference": largest}


@contextmanager
def _served(folder: Path) -> Iterator[int]:
    """Serve a Bento on a free port while the block runs.

    Raises:
        IntegrityError: It ends before it is ready, or with another exit code than 0.
    """
    with TemporaryDirectory() as home:
        log = Path(home, "log")
        command = [sys.executable, "-m", "bentoml", "serve", str(folder), "--host", "127.0.0.1", "--port", "0"]
        with log.open("wb") as stream:
            process = subprocess.Popen(  # noqa: S603 (our own command, no shell)
                command, cwd=home, env=_environment(home), stdout=subprocess.DEVNULL, stderr=stream
            )
        try:
            yield _port(process, log, folder)
            process.terminate()
            if code := process.wait(_END_SECONDS):
                raise IntegrityError.of(folder, f"its server ended with exit code {code}: {_last(log)}")
        finally:
            process.kill()
            process.wait()


def _port(process: subprocess.Popen[bytes], log: Path, folder: Path) -> int:
    """Wait until the server says where it listens."""
    end = time.monotonic() + _READY_SECONDS
    while not (found := re.search(rb"^serving .* at http://.*:(\d+)$", log.read_bytes(), re.MULTILINE)):
        if process.poll() is not None:
            reason = _last(log) or f"its server ended with exit code {process.returncode}"
            raise IntegrityError.of(folder, f"the Bento does not serve its model: {reason}")
        if time.monotonic() > end:
            raise IntegrityError.of(folder, f"the Bento is not ready within {_READY_SECONDS} s: {_last(log)}")
        time.sleep(_STEP)
    return int(found[1])


def _environment(home: str) -> dict[str, str]:
    """The environment of somebody who has configured nothing; no bytecode is put into the Bento."""
    ours = (TOKEN_VARIABLE, "PYTHONPATH", "BENTOML_CONFIG", "BENTOML_CONFIG_OPTIONS", "BENTOML_CONTAINERIZED")
    inherited = {name: value for name, value in os.environ.items() if name not in ours}
    return {**inherited, "BENTOML_HOME": home, "BENTOML_DO_NOT_TRACK": "True", "PYTHONDONTWRITEBYTECODE": "1"}


def _last(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _predict(folder: Path, port: int, manifest: Manifest, rows: list[Row]) -> list[Any]:
    status, answer = _ask(folder, port, json.dumps({"instances": rows}))
    if status != 200:
        raise IntegrityError.of(folder, f"/predict answers {status} to its own golden rows: {answer.get('error')}")
    return read_answer(manifest, answer)


def _ask(folder: Path, port: int, body: str) -> tuple[int, Mapping[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise IntegrityError.of(folder, f"/predict does not answer: {type(error).__name__}: {error}") from error
    finally:
        connection.close()


def _batches(rows: list[Row], manifest: Manifest) -> list[list[Row]]:
    size = min(manifest.serving.max_rows, _ROWS)
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def golden_rows(bundle: Path, manifest: Manifest) -> list[Row]:
    """Read the golden rows as a request has them: plain values, None for missing."""
    import pyarrow.parquet as pq

    table = pq.read_table(bundle / GOLDEN, columns=[one.name for one in manifest.rows.inputs])
    return [{name: _plain(value) for name, value in row.items()} for row in table.to_pylist()]


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
