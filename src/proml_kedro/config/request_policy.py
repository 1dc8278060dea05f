"""What a request to a running service may not override.

A configuration is trusted like code: its SQL is run, its modules are imported, its files are read. The parameters
of a request are not, so they may choose among files of ``conf`` and change plain values only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from proml_kedro.config.overrides import Override
from proml_kedro.errors import Mistake
from proml_kedro.spec.base import texts_in

_CODE = frozenset({"catalog", "hydra", "extensions", "data_dir", "resolved"})
_SQL = frozenset({"problem", "features"})


def refuse_from_requests(overrides: Sequence[Override]) -> list[Mistake]:
    """Find the overrides that could run code, or read or write files of the caller's choice; a mistake for each."""
    return [
        Mistake("", "not allowed in a request", override.where)
        for override in overrides
        if override.path[0] in _CODE
        or (override.path[0] in _SQL and (len(override.path) > 1 or isinstance(override.value, Mapping)))
        or override.path[-1] == "path"
        or override.package is not None
        or any("${" in text for text in texts_in(override.value))
    ]
