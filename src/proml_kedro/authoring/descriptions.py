"""What docstrings of specs say of their keys, for references and for editors."""

from __future__ import annotations

import inspect
import re

from pydantic import BaseModel


def described(model: type[BaseModel]) -> dict[str, str]:
    """Return what the docstrings of a model and its bases say of each attribute, each on one line.

    Args:
        model: The model.
    """
    found: dict[str, str] = {}
    for one in reversed(model.__mro__):
        text = inspect.cleandoc(one.__doc__ or "").partition("Attributes:\n")[2]
        for name, words in re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", text, re.MULTILINE):
            found[name] = re.sub(r"\s+", " ", words).replace("``", "`")
    return found


def summary(model: type[BaseModel]) -> str:
    """Return what stands in a model's docstring before its sections."""
    text = inspect.getdoc(model) or ""
    return re.split(r"\n\n?(?:Attributes|Args):", text)[0].replace("``", "`")
