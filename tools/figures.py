"""Print how long files and functions of ``src`` are, and fail where one is longer than the house allows.

    python tools/figures.py            # figures, and what goes beyond a limit
    python tools/figures.py --words    # also each docstring whose first word is doubtful

Limits: 400 lines of a file, 60 of a function, 7 parameters of a function; over all together a median file of 130
lines, a median function of 7, and 20 at the 90th percentile. A function's lines are those from ``def`` to its end;
``self`` and ``cls`` are no parameters. Compiled kernels (functions of a package ``kernels``, or decorated by a
compiler) count as part of their file only.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
SOURCE = "src/proml_kedro"
FILE_LINES, FUNCTION_LINES, PARAMETERS = 400, 60, 7
MEDIAN_FILE, MEDIAN_FUNCTION, PERCENTILE_FUNCTION = 130, 7, 20
COMPILERS = {"njit", "jit", "vectorize", "guvectorize", "cfunc", "compiled", "_inlined"}
"""Last part of the decorators that make a function a kernel."""

PRESCRIBED = {"pull_latest_from_table_or_query", "pull_all_from_table_or_query"}
"""Methods of Feast's interface, whose parameters are Feast's."""

DOUBTFUL = re.compile(
    r"(an?|the|what|how|whether|where|which|whom?|when|if|as|of|in|that|those|these|this|it|note|so|one|some|all|each|every"
    r"|not?|has|is|are)",
    re.IGNORECASE,
)
"""First words of a function's docstring that are no verb; a class's and a property's may begin with an article."""

PROPERTIES = {"property", "cached_property"}
"""Last part of the decorators that make a function an attribute, whose docstring says what it is, not what it does."""


@dataclass(frozen=True)
class Function:
    """A function or method, where it stands and how large it is."""

    where: str
    name: str
    lines: int
    parameters: int
    docstring: str | None
    kernel: bool
    attribute: bool


@dataclass(frozen=True)
class File:
    """A module: its path, its lines, its functions, and the docstrings of its classes by name."""

    path: str
    lines: int
    functions: tuple[Function, ...]
    classes: tuple[tuple[str, str], ...]


def read_file(file: Path, root: Path) -> File:
    """Measure one module."""
    text, path = file.read_text(encoding="utf-8"), str(file.relative_to(root))
    tree = ast.parse(text)
    compiled = "kernels" in file.parts
    functions = tuple(_measure(node, path, compiled) for node in ast.walk(tree) if isinstance(node, _DEFINITION))
    classes = tuple(
        (f"{path}:{node.lineno} {node.name}", ast.get_docstring(node) or "")
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    )
    return File(path, len(text.splitlines()), functions, classes)


_DEFINITION = (ast.FunctionDef, ast.AsyncFunctionDef)


def _measure(node: ast.FunctionDef | ast.AsyncFunctionDef, path: str, compiled: bool) -> Function:
    arguments = node.args
    names = [one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    decorators = {_last(one) for one in node.decorator_list}
    return Function(
        where=f"{path}:{node.lineno}",
        name=node.name,
        lines=(node.end_lineno or node.lineno) - node.lineno + 1,
        parameters=len([one for one in names if one not in ("self", "cls")]),
        docstring=ast.get_docstring(node),
        kernel=compiled or bool(decorators & COMPILERS),
        attribute=bool(decorators & PROPERTIES),
    )


def _last(decorator: ast.expr) -> str:
    inner = decorator.func if isinstance(decorator, ast.Call) else decorator
    return inner.attr if isinstance(inner, ast.Attribute) else inner.id if isinstance(inner, ast.Name) else ""


def too_large(files: Iterable[File]) -> Iterator[str]:
    """Yield one line for each file or function beyond a limit."""
    for file in files:
        if file.lines > FILE_LINES:
            yield f"{file.path}: {file.lines} lines; at most {FILE_LINES}"
        for function in file.functions:
            if function.kernel:
                continue
            if function.lines > FUNCTION_LINES:
                yield f"{function.where}: {function.name} has {function.lines} lines; at most {FUNCTION_LINES}"
            if function.parameters > PARAMETERS and function.name not in PRESCRIBED:
                yield f"{function.where}: {function.name} has {function.parameters} parameters; at most {PARAMETERS}"


def above_medians(files: Sequence[File]) -> Iterator[str]:
    """Yield one line for each figure of the whole that is too high."""
    lengths = sorted(one.lines for file in files for one in file.functions if not one.kernel)
    for name, value, limit in (
        ("median of files", median(one.lines for one in files), MEDIAN_FILE),
        ("median of functions", median(lengths), MEDIAN_FUNCTION),
        ("90th percentile of functions", percentile(lengths, 0.9), PERCENTILE_FUNCTION),
    ):
        if value > limit:
            yield f"{name}: {value:g} lines; at most {limit}"


def percentile(ordered: Sequence[int], share: float) -> int:
    """Return the smallest value that at least this share of the ordered values does not exceed."""
    return ordered[max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1)]


def doubtful_words(files: Iterable[File]) -> Iterator[str]:
    """Yield each public function whose docstring begins with no verb, as far as its first word tells."""
    for file in files:
        for function in file.functions:
            first = (function.docstring or "").split(" ", 1)[0]
            public = not (function.attribute or function.name.startswith("_"))
            if public and DOUBTFUL.fullmatch(first):
                yield f"{function.where}: {function.name}: {(function.docstring or '').splitlines()[0]}"


def summary(files: Sequence[File]) -> Iterator[str]:
    """Yield the figures, one line for each sort of thing that is measured."""
    functions = [one for file in files for one in file.functions if not one.kernel]
    lengths, sizes = sorted(one.lines for one in functions), [one.lines for one in files]
    tenth = percentile(lengths, 0.9)
    yield f"files       {len(files)}: median {median(sizes):g}, max {max(sizes)} lines"
    yield f"functions   {len(lengths)}: median {median(lengths):g}, 90th percentile {tenth}, max {lengths[-1]} lines"
    yield f"parameters  max {max(one.parameters for one in functions if one.name not in PRESCRIBED)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures, and return 1 when a limit is broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--words", action="store_true", help="print docstrings whose first word is doubtful")
    options = parser.parse_args(arguments)
    files = [read_file(one, ROOT) for one in sorted((ROOT / SOURCE).rglob("*.py"))]
    words = list(doubtful_words(files))
    print(*summary(files), sep="\n")
    print(f"docstrings  {len(words)} of public functions begin with no verb" + ", see --words" * (not options.words))
    if options.words:
        print(*words, sep="\n")
    broken = [*too_large(files), *above_medians(files)]
    print(*broken, sep="\n", end="\n" if broken else "", file=sys.stderr)
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
