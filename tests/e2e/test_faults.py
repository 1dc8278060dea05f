"""Whichever file operation of a run goes wrong: it ends in one line or goes on, and the next run is right."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from soaked import Search, note

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
SMALL = (
    "model.components.trees.num_boost_round=2",
    "evaluation.baseline.components.linear.inputs=[visit.pages]",
    "evaluation.compare.resamples=20",
    "--pipelines=features,train,evaluate,materialize",
)
COMPARED = ("tables", "feature_tables", "xgboost/training_set", "xgboost/trained_model", "xgboost/trained_baseline",
            "xgboost/evaluation", "xgboost/consistency")  # fmt: skip


class Runs:
    """Runs in children of one process that has done the imports."""

    def __init__(self, shop: Any) -> None:
        self._shop = shop
        command = [sys.executable, str(ROOT / "tests" / "faults.py")]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT)

    def __call__(self, data: Path, kind: str | None = None, at: int = -1) -> dict[str, Any]:
        arguments = ["run", "--conf-source", str(self._shop.conf), f"data_dir={data}", *SMALL]
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps({"arguments": arguments, "data": str(data), "kind": kind, "at": at}) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


@pytest.fixture
def runs(shop: Any) -> Iterator[Runs]:
    started = Runs(shop)
    yield started
    started.process.communicate(timeout=300)


def results(data: Path) -> dict[str, bytes]:
    """What people find: every file of every result."""
    folders = [data / "shop" / name for name in COMPARED]
    return {
        f"{folder.name}/{file.relative_to(folder)}": file.read_bytes()
        for folder in folders
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def look_at(what: str, answer: dict[str, Any]) -> str:
    """Check how a disturbed run ended; returns it in a word."""
    assert "Traceback" not in answer["said"], f"{what}: {answer['said'][-3000:]}"
    if answer["code"] == 0:
        return "survived"
    assert answer["code"] == 2, f"{what}: {answer}"
    assert len(answer["said"].splitlines()) == 1, f"{what}: {answer['said'][-3000:]}"
    return "one line"


TRIALS = [
    pytest.param(("EIO", "ENOSPC", "full"), 40, marks=pytest.mark.slow, id="40 faults"),
    pytest.param(("kill",), 20, marks=pytest.mark.slow, id="20 kills"),
    pytest.param(("kill",), 200, marks=pytest.mark.soak, id="200 kills"),
    pytest.param(("ENOSPC", "full"), 100, marks=pytest.mark.soak, id="100 full disks"),
    pytest.param(("EIO",), None, marks=pytest.mark.soak, id="an error at each operation"),
]
NAMES = {
    ("kill",): "Runs are killed before a random file operation, and the next is right",
    ("ENOSPC", "full"): "The disk is full from a random file operation on, and the next run is right",
    ("EIO",): "An I/O error at one file operation of a run, and the next is right",
}


@pytest.mark.parametrize(("kinds", "count"), TRIALS)
def test_faults_end_in_one_line_and_the_next_run_is_right(
    runs: Runs, tmp_path: Path, kinds: tuple[str, ...], count: int | None
) -> None:
    whole = runs(tmp_path / "whole")
    assert whole["code"] == 0, whole["said"]
    expected, operations = results(tmp_path / "whole"), whole["operations"]
    assert len(expected) > 15
    assert len(operations) > 100
    trials = [f"{kind} {at}" for at in range(len(operations)) for kind in kinds]
    chosen = trials if count is None else random.Random(7).sample(trials, count)
    is_soak = len(chosen) >= 100
    search = Search("-".join(kinds), chosen, is_soak)
    for trial in search.pending():
        kind, at = trial.split()
        data, what = tmp_path / f"{kind}_{at}", f"{kind} at {at}: {operations[int(at)]}"
        disturbed = runs(data, kind, int(at))
        end = "killed" if kind == "kill" and disturbed["code"] == -9 else look_at(what, disturbed)
        if disturbed["code"] == 0:
            assert results(data) == expected, what
        after = runs(data)
        assert after["code"] == 0, f"{what}, then: {after['said']}"
        assert results(data) == expected, what
        assert not list(data.rglob(".writing-*")) + list(data.rglob(".locked-*")), what
        shutil.rmtree(data)
        search.done(trial, end)
    if is_soak and (ends := search.ends()):
        said = {how.replace(" ", "_"): number for how, number in ends.items()}
        note(NAMES[kinds], file_operations=len(operations), faults=len(chosen), wrong=0, **said)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A file system of its own in memory, made with a size in bytes, and made larger by the next call."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = False

    def of_size(size: int) -> Path:
        nonlocal mounted
        options = f"{'remount,' * mounted}size={size}"
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(place)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if not mounted and done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
        assert done.returncode == 0, done.stderr
        mounted = True
        return place

    yield of_size
    if mounted:
        subprocess.run(["umount", "--lazy", str(place)], check=True, timeout=300)


@pytest.mark.parametrize(
    "count", [pytest.param(3, marks=pytest.mark.slow), pytest.param(20, marks=pytest.mark.soak, id="20 sizes")]
)
def test_a_full_disk_of_any_size(runs: Runs, tmp_path: Path, disk: Callable[[int], Path], count: int) -> None:
    whole = runs(tmp_path / "whole")
    assert whole["code"] == 0, whole["said"]
    expected = results(tmp_path / "whole")
    needed = sum(file.lstat().st_size for file in (tmp_path / "whole").rglob("*") if file.is_file())
    ends: Counter[str] = Counter()
    for number in range(count):
        size = needed * (2 * number + 1) // (2 * count)
        place = disk(size)
        disturbed = runs(place / "data")
        what = f"a disk of {size:,} of {needed:,} bytes"
        ends[look_at(what, disturbed)] += 1
        if disturbed["code"] == 0:
            assert results(place / "data") == expected, what
        disk(10 * needed)
        after = runs(place / "data")
        assert after["code"] == 0, f"{what}, then: {after['said']}"
        assert results(place / "data") == expected, what
        assert not list(place.rglob(".writing-*")) + list(place.rglob(".locked-*")), what
        shutil.rmtree(place / "data")
    assert ends["one line"] > 0
    if count == 20:
        said = {how.replace(" ", "_"): number for how, number in ends.items()}
        note("Disks of sizes that do not suffice, and the run after it was made larger is right", sizes=count, **said)
