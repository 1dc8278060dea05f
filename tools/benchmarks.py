"""Run benchmarks and write their last figures, with machine and date, into benchmarks/README.md.

    python tools/benchmarks.py                  # all of them, at short sizes
    python tools/benchmarks.py registry run     # some; the figures of the others stay
    python tools/benchmarks.py --write          # none: only write the page from benchmarks/figures.json
    python tools/benchmarks.py --check          # exit with 1 when the page is not what would be written

A benchmark prints tables, and last one line of JSON with its figures; ``figures.json`` keeps the last of each.
"""

from __future__ import annotations

import ast
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "benchmarks"
FIGURES, SOAK, PAGE = FOLDER / "figures.json", FOLDER / "soak.json", FOLDER / "README.md"
SHORT = {
    "tables": ["--rows", "1e6", "--columns", "2000"],
    "predict": ["--rows", "1e6", "--no-flat"],
    "wide": ["--columns", "2000"],
    "mixed": ["--rounds", "1"],
    "mixed_streamed": ["--rows", "1e6"],
    "deep": ["input", "one_row"],
}
"""Arguments that make a benchmark take minutes rather than an hour."""


def names() -> list[str]:
    """Return the names of all benchmarks."""
    return sorted(file.stem for file in FOLDER.glob("*.py"))


def version() -> str:
    """Return the version of the package, without importing it."""
    tree = ast.parse((ROOT / "src/proml_kedro/__init__.py").read_text(encoding="utf-8"))
    (value,) = (one.value for one in tree.body if isinstance(one, ast.Assign) and _target(one) == "__version__")
    return str(ast.literal_eval(value))


def _target(statement: ast.Assign) -> str:
    target = statement.targets[0]
    return target.id if isinstance(target, ast.Name) else ""


def machine() -> str:
    """Describe this machine in words."""
    cpus = Path("/proc/cpuinfo")
    models = [line.partition(": ")[2] for line in cpus.read_text().splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    model = models[0] if models else platform.machine()
    return f"{model}, {os.cpu_count()} processors, {memory:.0f} GB, Python {platform.python_version()}"


def measure(name: str) -> dict[str, Any]:
    """Run a benchmark and return its figures with where, when and how they were measured."""
    command = [sys.executable, str(FOLDER / f"{name}.py"), *SHORT.get(name, [])]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout)
    if done.returncode:
        sys.exit(f"{name} ended with {done.returncode}")
    return {
        "command": " ".join(["python", f"benchmarks/{name}.py", *SHORT.get(name, [])]),
        "version": version(),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "seconds": round(time.perf_counter() - start),
        "figures": json.loads(done.stdout.splitlines()[-1]),
    }


def page(known: Mapping[str, Any], soaks: Mapping[str, Any]) -> Iterator[str]:
    """Yield the page: what each benchmark measures, its command, and its last figures."""
    yield "# Benchmarks\n\nClaims about speed and quality, as commands that measure them. `make benchmarks` writes this"
    yield 'page; `make benchmarks ARGS="NAME…"` measures some. What a figure means stands at the top of the file.\n'
    yield "| benchmark | measured | version | date |\n|---|---|---|---|"
    for name in names():
        one = known.get(name, {})
        day = one.get("date", f"not run in {version()}")
        link = f"[{name}](#{name})" if one else f"[{name}]({name}.py)"
        yield f"| {link} | {purpose(name)} | {one.get('version', '')} | {day} |"
    for name, one in sorted(known.items()):
        yield f"\n## {name}\n\n{purpose(name)} [Source]({name}.py).\n"
        yield f"`{one['command']}`: {one['seconds']} seconds on {one['date']}, version {one['version']};"
        yield f"{one['machine']}.\n"
        yield "| | |\n|---|---:|"
        yield from (f"| {figure} | {value} |" for figure, value in flat(one["figures"]))
    yield "\n## Soak tests\n\n`make soak` searches for rare faults, for minutes to hours. Last counts:\n"
    yield "| | counts | version | date |\n|---|---|---|---|"
    for name, one in sorted(soaks.items()):
        counts = ", ".join(f"{count:,} {what.replace('_', ' ')}" for what, count in one["counts"].items())
        yield f"| {name} | {counts} | {one['version']} | {one['date']} |"
    if not soaks:
        yield f"| none run in {version()} | | | |"


def purpose(name: str) -> str:
    """Return the first line of what a benchmark says of itself."""
    tree = ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    return " ".join((ast.get_docstring(tree) or "").partition("\n\n")[0].split())


def flat(figures: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Yield figures of nested mappings by one name each."""
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from flat(value, f"{above}{name}, ")
        else:
            yield above + name.replace("_", " "), f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def read(file: Path) -> dict[str, Any]:
    """Return what a file of figures holds; nothing when there is none."""
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}


def main(arguments: Sequence[str]) -> int:
    """Measure what is asked for, then write or check the page."""
    known = read(FIGURES)
    chosen = [one for one in arguments if not one.startswith("--")] or ([] if arguments else names())
    if unknown := sorted(set(chosen) - set(names())):
        sys.exit(f"no benchmark {', '.join(unknown)}; there are {', '.join(names())}")
    for name in chosen:
        known[name] = measure(name)
        FIGURES.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    text = "\n".join(page(known, read(SOAK))) + "\n"
    if "--check" in arguments:
        return int(not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text)
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
