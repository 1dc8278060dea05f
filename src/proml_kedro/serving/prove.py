"""Run by :func:`proml_kedro.serving.bento.check_bento` in a process of its own, inside the Bento it checks."""

from __future__ import annotations

import asyncio
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

from proml_kedro.bundle import IntegrityError, Manifest
from proml_kedro.bundle.golden import compare, read_scores
from proml_kedro.errors import UserError
from proml_kedro.results.names import GOLDEN
from proml_kedro.serving.schema import Row, read_answer


def main() -> None:
    """Check the Bento whose folder is the only argument; the last line printed is a report in JSON."""
    folder = Path(sys.argv[1])
    try:
        report = asyncio.run(check(folder))
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
    sys.stdout.write(f"{json.dumps(report)}\n")


async def check(folder: Path) -> dict[str, Any]:
    """Serve a Bento's application in this process and compare its answers with the golden rows.

    Args:
        folder: The Bento.

    Returns:
        ``model``, ``rows`` and ``largest_difference``.

    Raises:
        IntegrityError: An answer is not what it should be.
    """
    import bentoml
    import httpx

    bundle = folder / "src" / "bundle"
    manifest = Manifest.read(bundle)
    expected = read_scores(bundle, manifest)
    rows = golden_rows(bundle, manifest)
    service: Any = bentoml.load(str(folder))
    application = service.to_asgi()
    async with application.router.lifespan_context(application):
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://bento", timeout=60) as client:
            ready = await client.get("/readyz")
            if ready.status_code != 200:
                raise IntegrityError.of(folder, f"it is not ready: /readyz answers {ready.status_code}")
            actual = [
                score for batch in _batches(rows, manifest) for score in await _predict(client, folder, manifest, batch)
            ]
    compare(bundle, actual, expected, manifest.serving.tolerance, manifest.problem.label.task)
    largest = float(abs(np.asarray(actual) - expected).max())
    return {"model": manifest.tag, "rows": len(rows), "largest_difference": largest}


async def _predict(client: Any, folder: Path, manifest: Manifest, rows: list[Row]) -> list[Any]:
    response = await client.post("/predict", json={"instances": rows})
    if response.status_code != 200:
        raise IntegrityError.of(folder, f"/predict answers {response.status_code} to its own golden rows")
    return read_answer(manifest, response.json())


def _batches(rows: list[Row], manifest: Manifest) -> list[list[Row]]:
    size = min(manifest.serving.max_rows, 50)  # well below the limit of a body's size
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def golden_rows(bundle: Path, manifest: Manifest) -> list[Row]:
    """Read the golden rows as a request has them: plain values, None for missing."""
    import pyarrow.parquet as pq

    table = pq.read_table(bundle / GOLDEN, columns=[one.name for one in manifest.rows.inputs])
    return [{name: _plain(value) for name, value in row.items()} for row in table.to_pylist()]


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


if __name__ == "__main__":
    main()
