"""Secrets in the configuration: it is printed, and stored with every result, so none belongs into it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

from proml_kedro.errors import NAMED_SECRET, Mistake, has_url_password, hide, masked

_NAMED = re.compile(rf"\$\{{\s*oc\.env\s*:\s*['\"]?({NAMED_SECRET})", re.IGNORECASE)
"""An interpolation of a variable whose name says that it is a secret."""

_VARIABLE = re.compile(r"\$\{\s*oc\.env\s*:\s*['\"]?(\w+)")

_OWN_MESSAGE = "online_store"
"""Its kind of store says in which variable the password belongs."""


def refuse_secrets(values: Any) -> Iterator[Mistake]:
    """Find passwords in URLs, and variables of the environment that are called like secrets.

    Args:
        values: The composed values, interpolations as they were written.
    """
    for key, text in _texts(values, ""):
        if named := _NAMED.search(text):
            message = (
                f"${{oc.env:{named[1]}}} is a secret by its name; a configuration is printed and stored: {_INSTEAD}"
            )
            yield Mistake(key, message)
        elif key == _OWN_MESSAGE:
            continue
        elif leaking := next(filter(_holds_password, _VARIABLE.findall(text)), None):
            message = f"${{oc.env:{leaking}}} has a password in it; a configuration is printed and stored: {_INSTEAD}"
            yield Mistake(key, message)
        elif masked(text) != text:
            yield Mistake(
                key, f"a password does not belong into a configuration, which is printed and stored: {_INSTEAD}"
            )


_INSTEAD = "let the program that needs it read it from the environment, or from credentials.yml"


def _holds_password(variable: str) -> bool:
    """Tell whether the value of a variable of the environment is a URL with a password."""
    return has_url_password(os.environ.get(variable, ""))


def environment(*arguments: Any) -> Any:
    """Resolve ``oc.env`` as OmegaConf does; from then on messages show the interpolation in place of the value."""
    from omegaconf.resolvers import oc

    value = oc.env(*arguments)
    name = str(arguments[0])
    if isinstance(value, str) and os.environ.get(name) == value:
        hide(value, f"${{oc.env:{name}}}")
    return value


def _texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, child in children:
        yield from _texts(child, f"{key}.{name}".lstrip("."))
