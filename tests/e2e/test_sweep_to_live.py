"""What README says: search, compare, make live, serve, take back; each is one command."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from proml_kedro.bundle import Bundle, Manifest
from proml_kedro.cli import cli
from proml_kedro.serving.prove import golden_rows
from searched import DEPTH, RATE, write_project
from serve_process import Server, serving

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def command(*words: str) -> Any:
    result = CliRunner().invoke(cli, list(words))
    assert result.exit_code == 0, result.output
    return result


def answered_by_another(server: Server, body: bytes, before: tuple[int, bytes]) -> tuple[int, bytes]:
    """Ask until another model answers than before."""
    deadline = time.monotonic() + 120
    while (answer := server.post("/predict", body)) == before:
        assert time.monotonic() < deadline, server.lines
        time.sleep(0.1)
    return answer


def test_from_a_search_to_what_is_live_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write_project(tmp_path))
    conf = ("--conf-source", str(tmp_path / "conf"))
    first = command("run", "--multirun", f"{DEPTH}=1", "seed=1,2", "hardware.threads=1", *conf)
    command("model", "register", first.stdout.rpartition("kedro model register ")[2].strip(), *conf)
    command("model", "promote", *conf)

    found = json.loads(
        command("sweep", f"{DEPTH}=range(3,6)", f"{RATE}=0.1,0.3", "hardware.threads=1", "--register", "--json", *conf)
        .stdout
    )  # fmt: skip
    assert len(found["trials"]) == 6
    release = tmp_path / "data" / "release" / "calls"
    bundles = {number: release / str(number) / "bundle" for number in (1, 2)}
    assert Bundle.load(bundles[2]).digest == Bundle.load(Path(found["bundle"])).digest
    assert "better" in command("compare", str(bundles[1]), str(bundles[2]), *conf).stdout
    rows = golden_rows(bundles[2], Manifest.read(bundles[2]))[:3]
    body = json.dumps({"instances": rows}).encode()
    with serving(Path("calls"), "--no-online", folder=tmp_path) as server:
        before = server.post("/predict", body)
        promoted = command("model", "promote", "--why", "the search", *conf).stdout
        assert "comparison:" in promoted
        assert "better" in promoted
        after = answered_by_another(server, body, before)
        command("model", "rollback", "--why", "to see", *conf)
        assert answered_by_another(server, body, after) == before
    assert before[0] == after[0] == 200
