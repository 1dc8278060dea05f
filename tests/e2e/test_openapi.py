"""What the server's OpenAPI says, held to what it answers, by schemathesis, which knows that alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from malformed import hammer
from online import make_online
from proml_kedro.bundle import Manifest
from proml_kedro.serving.lookup import STORE_VARIABLE
from proml_kedro.serving.prove import golden_rows
from serve_process import Server, serving

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PROGRAM = Path(sys.prefix) / "bin" / "schemathesis"
TOKEN = "a-token-for-this-test"
CONFIGURATION = """
[checks]
negative_data_rejection.expected-statuses = ["400", "401", "405", "408", "413", "415", "422"]
[[operations]]
include-path-regex = "^/(rank|predict_online|features)$"
checks.positive_data_acceptance.enabled = false  # whether keys were there at a moment no schema can say
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    data, bundle, _, _ = make_online(tmp_path_factory.mktemp("online"), max_body_bytes=1 << 20)
    with serving(bundle, **{STORE_VARIABLE: os.fspath(data), "PROML_API_TOKEN": TOKEN}) as server:
        yield server, bundle


def fuzz(server: Server, folder: Path, examples: int, seed: int) -> subprocess.CompletedProcess[str]:
    (folder / "schemathesis.toml").write_text(CONFIGURATION)
    address = f"http://127.0.0.1:{server.port}/openapi.json"
    options = [
        f"--max-examples={examples}",
        f"--seed={seed}",
        "--no-color",
        "--exclude-path=/admin/reload",
        "--generation-database=none",
    ]
    command = [str(PROGRAM), "run", address, *options, "--header", f"Authorization: Bearer {TOKEN}"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)


def test_answers_are_those_that_the_description_says(served: tuple[Server, Path], tmp_path: Path) -> None:
    server, bundle = served
    done = fuzz(server, tmp_path, examples=40, seed=1)
    assert done.returncode == 0, "\n".join(line[:400] for line in done.stdout.splitlines())
    assert "Tested: 11" in done.stdout
    rows = golden_rows(bundle, Manifest.read(bundle))[:2]
    status, text = server.post("/predict", json.dumps({"instances": rows}).encode(), Authorization=f"Bearer {TOKEN}")
    assert (status, len(json.loads(text)["probabilities"])) == (200, 2)
    assert not any("scoring failed" in line for line in server.lines)


def test_the_server_stays_right_whatever_it_is_sent(served: tuple[Server, Path]) -> None:
    server, bundle = served
    assert hammer(server, golden_rows(bundle, Manifest.read(bundle)), 600, 3, TOKEN) == []
