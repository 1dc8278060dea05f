"""Write docs/reference/python.md: what a notebook or a script may use, from the docstrings.

python tools/api.py            # write the page
python tools/api.py --check    # exit with 1 when the page is not what would be written
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "python.md"
FACES = {
    "proml_kedro.notebook": ("open_project", "OpenedProject", "Frame"),
    "proml_kedro.notebook.features": ("Features",),
    "proml_kedro.notebook.training": ("TrainingSet",),
    "proml_kedro.notebook.runs": ("Runs", "Compared"),
    "proml_kedro.notebook.made": ("Made",),
    "proml_kedro.notebook.plots": ("Plots", "Plot"),
    "proml_kedro.notebook.opened_bundle": ("OpenedBundle",),
    "proml_kedro.errors": ("UserError", "Mistake", "RetriableError"),
}
"""What is described, by the module that it is described from; of bundles and projects inherited methods too."""

_SECTION = re.compile(r"^(Args|Returns|Raises|Attributes|Yields):$", re.MULTILINE)
_ENTRY = re.compile(r"^ {4}(\*{0,2}\w+): ", re.MULTILINE)
_ROLE = re.compile(r":(?:class|meth|func|attr|data|mod):`~?([^`]+)`")


def page() -> str:
    """Write the page."""
    parts = [
        "# Python",
        "<!-- written by tools/api.py -->",
        "What a notebook or a script may use. [How](../how-to/use-from-python.md) shows it at work.",
    ]
    for module, names in FACES.items():
        for name in names:
            parts += described(getattr(import_module(module), name), name)
    return "\n\n".join(parts) + "\n"


def described(thing: Any, name: str) -> Iterator[str]:
    """Describe a function, or a class with its public methods."""
    yield f"## `{name}`"
    if not inspect.isclass(thing):
        yield from of_function(thing, name)
        return
    yield from text_of(thing, name)
    for method in sorted(public_methods(thing)):
        value = inspect.getattr_static(thing, method)
        if isinstance(value, property) or not callable(getattr(thing, method)):
            yield f"### `{name}.{method}`"
            yield from text_of(getattr(value, "fget", None) or getattr(value, "func", None), f"{name}.{method}")
        else:
            yield f"### `{name}.{method}()`"
            yield from of_function(getattr(thing, method), method)


def public_methods(kind: type) -> set[str]:
    """Name the methods and properties that proml_kedro itself gives a class."""
    return {
        name
        for base in kind.__mro__
        if base.__module__.startswith("proml_kedro")
        for name, value in vars(base).items()
        if not name.startswith("_")
        and (isinstance(value, FunctionType | classmethod | property) or hasattr(value, "func"))
    }


def of_function(function: Any, name: str) -> Iterator[str]:
    """Describe a function: how it is called, and its docstring."""
    shown = inspect.signature(function)
    kept = [one.replace(annotation=inspect.Parameter.empty) for one in shown.parameters.values() if one.name != "self"]
    yield f"```text\n{name}{shown.replace(parameters=kept, return_annotation=inspect.Signature.empty)}\n```"
    yield from text_of(function, name)


def text_of(thing: Any, name: str) -> Iterator[str]:
    """Convert a docstring to Markdown: its text, then a list for each section.

    Raises:
        ValueError: There is none.
    """
    text = inspect.getdoc(thing)
    if not text:
        raise ValueError(f"{name} has no docstring")
    first, *sections = _SECTION.split(text)
    yield plain(first)
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        entries = _ENTRY.split(body)
        if title == "Returns" or len(entries) < 3:
            yield f"*{title}*: {plain(body)}"
            continue
        lines = [f"- `{key}`: {plain(value)}" for key, value in zip(entries[1::2], entries[2::2], strict=True)]
        yield f"*{title}*:\n\n" + "\n".join(lines)


def plain(text: str) -> str:
    """Join the lines of a paragraph, and write roles as code."""
    paragraphs = [" ".join(one.split()) for one in text.strip().split("\n\n")]
    return _ROLE.sub(r"`\1`", "\n\n".join(paragraphs)).replace("``", "`")


def main() -> int:
    """Write or check the page."""
    text = page()
    if "--check" in sys.argv[1:]:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
            return 0
        print("docs/reference/python.md is not up to date: run python tools/api.py", file=sys.stderr)
        return 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
