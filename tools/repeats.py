"""Find blocks of ten lines that ``src`` holds twice, under other names too.

    python tools/repeats.py

Lines that hold code count: no comments, docstrings, imports, blank lines or declarations of fields. Names are numbered
in the order in which they come within a block, so that a copy with other names is one; numbers and texts have to be
equal. Ten lines of which each is like the next, such as calls that register commands, are a list and no block.
"""

from __future__ import annotations

import ast
import io
import keyword
import sys
import tokenize
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LENGTH = 10
Line = tuple[int, tuple[str, ...]]
"""Number of a line of a file, and its tokens."""

_SILENT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def code_lines(text: str) -> list[Line]:
    """Read the lines of a module that hold code."""
    skipped = {
        number
        for node in ast.walk(ast.parse(text))
        for one in _no_code(node)
        for number in range(one.lineno, (one.end_lineno or one.lineno) + 1)
    }
    found: dict[int, list[str]] = defaultdict(list)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _SILENT and token.start[0] not in skipped:
            found[token.start[0]].append(token.string)
    return [(number, tuple(tokens)) for number, tokens in sorted(found.items())]


def _no_code(node: ast.AST) -> Iterator[ast.stmt]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield node
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        yield node
    if isinstance(node, ast.ClassDef):
        yield from (one for one in node.body if isinstance(one, ast.AnnAssign))


def _shape(lines: Sequence[Line]) -> tuple[tuple[str | int, ...], ...]:
    """Replace each name by the place at which it comes first."""
    names: dict[str, int] = {}
    return tuple(
        tuple(
            names.setdefault(one, len(names)) if one.isidentifier() and not keyword.iskeyword(one) else one
            for one in tokens
        )
        for _, tokens in lines
    )


def repeats(files: Sequence[Path], root: Path) -> list[str]:
    """Name the blocks that stand in more than one place, one line for each."""
    places: dict[tuple[tuple[str | int, ...], ...], list[str]] = defaultdict(list)
    for file in files:
        lines = code_lines(file.read_text(encoding="utf-8"))
        for start in range(len(lines) - LENGTH + 1):
            block = lines[start : start + LENGTH]
            if len({_shape([one]) for one in block}) == 1:
                continue
            places[_shape(block)].append(f"{file.relative_to(root)}:{block[0][0]}-{block[-1][0]}")
    return [f"{one[0]}: stands in {', '.join(one[1:])} too" for one in places.values() if len(one) > 1]


def main() -> int:
    """Print the blocks, and return 1 when there are any."""
    found = repeats(sorted((ROOT / "src").rglob("*.py")), ROOT)
    print(*found, f"{len(found)} blocks of {LENGTH} lines stand twice", sep="\n")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
