"""Credentials by their names, which stand in no configuration that is printed or stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from proml_kedro.errors import Mistake, UserError

Credentials = Callable[[str], Mapping[str, Any]]
"""Gives the values of a name in ``credentials.yml``; raises UserError when there is none."""


def no_credentials(name: str) -> Mapping[str, Any]:
    """Refuse a name: there is no ``credentials.yml`` here.

    Raises:
        UserError: Always.
    """
    raise UserError(Mistake("", f"there are no credentials '{name}' here, where no configuration is open"))
