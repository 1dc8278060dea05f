"""How training read the examples' table: what a table that is to be scored must be read by, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proml_kedro.features.tables.declared import is_used, words_used
from proml_kedro.results import TablesFacts
from proml_kedro.spec import FeaturesSpec, ProblemSpec


def how_read(config: Mapping[str, Any], tables: TablesFacts | None) -> dict[str, Any]:
    """Return what a bundle's schema says of the examples' table: types, formats of dates, forms of keys.

    Args:
        config: The resolved configuration of the run.
        tables: How the problem's tables were read; nothing is said when it is None.
    """
    if tables is None:
        return {}
    problem, features = (
        ProblemSpec.model_validate(config["problem"]),
        FeaturesSpec.model_validate(config["features"]),
    )
    words = words_used(problem, features)
    columns = tables.columns.get(problem.examples.table, {})
    used = {name: one for name, one in columns.items() if is_used(name, words)}
    return {
        "read_as": {name: one.type for name, one in used.items()},
        "date_format": {name: one.format for name, one in used.items() if one.format},
        "plain_keys": [name for name, one in tables.keys.items() if one.without_zeros],
    }
