"""However often writers are killed, and whenever: what is in the store is whole."""

from __future__ import annotations

import itertools
import random
import shutil
import subprocess
import sys

import pytest

from proml_kedro.artifacts import ArtifactStore
from soaked import note

WORK = """
import sys
from pathlib import Path
from proml_kedro.artifacts import ArtifactStore

def write(folder, *checkpoints):
    print("writing", flush=True)
    for number in range(40):
        (folder / f"file_{number}").write_text("x" * 4096)
        print(number, flush=True)

store = ArtifactStore(Path(sys.argv[1]))
store.remove_abandoned()
for value in range(int(sys.argv[2])):
    store.build("short", {"value": value}, write)
    store.build_resumably("long", {"value": value}, write)
"""
RESULTS = 3


def command(folder):
    return [sys.executable, "-c", WORK, str(folder), str(RESULTS)]


def kill_two(folder, order):
    """Start two writers, and kill each after some number of lines of what it prints."""
    writers = [subprocess.Popen(command(folder), stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for writer in writers:
        with writer:
            list(itertools.islice(writer.stdout, order.randrange(1, 120)))
            writer.kill()


def finished(folder):
    """Results under their own names, which only whole ones have."""
    for result in folder.glob("store/*/*"):
        if result.is_dir() and not result.name.startswith(".") and result.suffix != ".unfinished":
            yield result


@pytest.mark.parametrize("rounds", [1, pytest.param(400, marks=pytest.mark.soak)])
def test_killed_writers_leave_a_whole_store(tmp_path, rounds):
    """In each round eight are killed, two at a time, then one may finish."""
    order, found = random.Random(rounds), 0
    for number in range(rounds):
        folder = tmp_path / str(number)
        for _ in range(4):
            kill_two(folder, order)
            for result in finished(folder):
                found += 1
                assert len(list(result.glob("file_*"))) == 40, result
        subprocess.run(command(folder), check=True, capture_output=True)
        store = ArtifactStore(folder)
        for name, value in itertools.product(("short", "long"), range(RESULTS)):
            assert len(list(store.build(name, {"value": value}, pytest.fail).path.glob("file_*"))) == 40
        assert [one.name for one in folder.rglob("*") if one.name.startswith(".") or "unfinished" in one.name] == []
        shutil.rmtree(folder)
    if rounds > 1:
        note("Killed writers leave a whole store", writers_killed=8 * rounds, whole_results_seen=found)
