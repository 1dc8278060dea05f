"""What a run costs outside of training and joins: the first run, and one that has nothing left to do.

    python benchmarks/run.py

Prints a table, and last one line of JSON. CPU seconds are those of the whole process and its children; commands
that are compared take turns. ``again_allowed`` is what an unchanged run may cost: its imports, in a process that does
nothing else, and twice ``kedro --version``. ``first_line_ratio`` is what it costs in a terminal until the first line,
beside ``kedro --version``; ``first_line_piped_ratio`` the same in a log. ``verifying_share`` is the part of its CPU
seconds that goes into digests of stored results.
"""

from __future__ import annotations

import json
import os
import pty
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

KEDRO = Path(sys.executable).with_name("kedro")
ROOT = Path(__file__).parents[1]
REPEATS = 3


def measure(*arguments: str) -> dict[str, float]:
    """CPU and wall seconds of one command, and the peak memory of its largest process in MB."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([str(KEDRO), *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
    peak = re.search(r"peak memory ([\d.]+) ([MG])B", done.stdout)
    return {
        "exit": done.returncode,
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "wall": wall,
        "memory": float(peak[1]) * {"M": 1, "G": 1000}[peak[2]] if peak else float("nan"),
    }


def median(name: str, *arguments: str) -> dict[str, float]:
    """Medians over a few repeats, printed as a row."""
    runs = [measure(*arguments) for _ in range(REPEATS)]
    return row(name, {key: statistics.median(one[key] for one in runs) for key in runs[0]})


def row(name: str, figures: dict[str, float]) -> dict[str, float]:
    """Print one row of the table."""
    cells = (f"{figures['cpu']:>8.1f}", f"{figures['wall']:>8.1f}", f"{figures['memory']:>10.0f}")
    print(f"{name:<28} {' '.join(cells)} {figures['exit']:>5.0f}")
    return figures


_IMPORTS = """
import importlib, json, os, sys, warnings
warnings.simplefilter("ignore")
for name in json.loads(sys.stdin.read()):
    try:
        importlib.import_module(name)
    except BaseException:
        pass
os._exit(0)
"""
_VERIFYING = """
import atexit, sys, time
from proml_kedro import result_folder
from kedro.framework.cli import main
whole, spent = result_folder._sha256, [0.0]
def timed(file):
    began = time.process_time()
    try:
        return whole(file)
    finally:
        spent[0] += time.process_time() - began
result_folder._sha256 = timed
atexit.register(lambda: print(f"verifying {spent[0]} of {time.process_time()}", file=sys.stderr))
sys.argv[0] = "kedro"
main()
"""


def modules(*arguments: str) -> list[str]:
    """Names of all modules that a command imports, in their order."""
    command = [sys.executable, "-X", "importtime", str(KEDRO), *arguments]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stderr
    lines = [line.rpartition("|")[2].strip() for line in said.splitlines() if line.startswith("import time:")]
    return lines[1:]


def cpu_of_imports(names: list[str]) -> float:
    """CPU seconds of a process that imports modules and ends."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", _IMPORTS], cwd=ROOT, input=json.dumps(names), text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def cpu_until_first_line(open_ends: Callable[[], tuple[int, int]], *arguments: str) -> float:
    """CPU seconds of a command in a terminal or a pipe until it has said something, after which it is ended."""
    ours, theirs = open_ends()
    process = subprocess.Popen([str(KEDRO), *arguments], cwd=ROOT, stdout=theirs, stderr=theirs)
    os.close(theirs)
    os.read(ours, 1)
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    process.kill()
    process.wait()
    os.close(ours)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def verifying_share(*arguments: str) -> float:
    """Part of a run's CPU seconds that goes into digests of what is stored."""
    command = [sys.executable, "-c", _VERIFYING, *arguments]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stderr
    found = re.search(r"verifying (\S+) of (\S+)", said)
    assert found, said
    return float(found[1]) / float(found[2])


def compare(where: str) -> dict[str, float]:
    """What an unchanged run costs beside its imports and ``kedro --version``, in turns."""
    names = modules("run", where)
    turns = [
        {
            "version": measure("--version")["cpu"],
            "again": measure("run", where)["cpu"],
            "imports": cpu_of_imports(names),
            "first_line": cpu_until_first_line(pty.openpty, "run", where),
            "first_line_piped": cpu_until_first_line(os.pipe, "run", where),
            "verifying_share": verifying_share("run", where),
        }
        for _ in range(REPEATS)
    ]
    found = {name: statistics.median(one[name] for one in turns) for name in turns[0]}
    found["again_allowed"] = found["imports"] + 2 * found["version"]
    for name in ("first_line", "first_line_piped"):
        found[f"{name}_ratio"] = found[name] / found["version"]
    print(" ".join(f"{name}={value:.3g}" for name, value in found.items()))
    return found


def main() -> None:
    """Measure and print."""
    os.environ["COLUMNS"] = "200"
    print(f"{'':<28} {'CPU s':>8} {'wall s':>8} {'peak MB':>10} {'exit':>5}")
    with tempfile.TemporaryDirectory() as data:
        where = f"data_dir={data}"
        first = row("first run", measure("run", where))
        again = median("run with nothing left to do", "run", where)
        compared = compare(where)
    usage = median("kedro run --help", "run", "--help")
    mistake = median("a mistake in an override", "run", "model=xgbost")
    figures = {"first": first, "again": again, "help": usage, "mistake": mistake}
    rows = {f"{name}_{key}": round(value, 2) for name, one in figures.items() for key, value in one.items()}
    print(json.dumps(rows | {f"compared_{name}": round(value, 4) for name, value in compared.items()}))


if __name__ == "__main__":
    main()
