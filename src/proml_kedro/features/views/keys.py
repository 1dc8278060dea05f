"""The type that an entity's key has in every table."""

from __future__ import annotations

import re

from proml_kedro.features.tables.stored import Tables
from proml_kedro.spec.problem import ProblemSpec

_WHOLE = r"U?(TINYINT|SMALLINT|INTEGER|BIGINT)|HUGEINT"


def key_types(problem: ProblemSpec, tables: Tables) -> dict[str, str]:
    """Return the SQL type of each entity's key: whole numbers ``BIGINT``, all else ``VARCHAR``.

    Args:
        problem: The problem.
        tables: Its tables.
    """
    examples = tables.relation(problem.examples.table)
    return {
        name: "BIGINT" if re.fullmatch(_WHOLE, examples.type_of(name) or "") else "VARCHAR"
        for name in problem.examples.entities
    }
