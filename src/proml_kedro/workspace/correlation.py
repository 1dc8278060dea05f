"""Features whose values go along with those of another one."""

from __future__ import annotations

import math
from collections.abc import Iterator

from proml_kedro.engine.duckdb import quote
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import connect
from proml_kedro.features.tables.stored import Tables
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.workspace.columns import FeatureColumn, is_number

_SAMPLED_ROWS = 50_000
_MOST_COLUMNS = 500
_LEAST_PAIRS = 30


def correlations(column: FeatureColumn, hardware: HardwareSpec, least: float = 0.9) -> dict[str, float]:
    """Find features of the same training set whose numbers are correlated with these, by Pearson's correlation.

    Args:
        column: A column of a training set.
        hardware: The machine.
        least: The least absolute correlation.

    Returns:
        Name of the feature → correlation, over at most 50,000 rows.
    """
    if "." not in column.name:
        return {}
    with connect(hardware) as session:
        relation = Tables(session, column.file.parent).relation(column.file.stem)
        types = {name: type_ for name, type_ in relation.schema.items() if "." in name}
        numbers = [name for name, type_ in types.items() if is_number(type_)]
        if column.name not in numbers:
            return {}
        others = [one for one in numbers if one != column.name][:_MOST_COLUMNS]
        return dict(_correlated(relation, column.name, others, least)) if others else {}


def _correlated(relation: Relation, name: str, others: list[str], least: float) -> Iterator[tuple[str, float]]:
    chosen = ", ".join(f"CAST({quote(one)} AS DOUBLE) AS {quote(one)}" for one in (name, *others))
    sample = f"(SELECT {chosen} FROM {relation} USING SAMPLE reservoir({_SAMPLED_ROWS} ROWS) REPEATABLE (1))"
    pairs = ", ".join(
        f"regr_count({quote(name)}, {quote(one)}), regr_r2({quote(name)}, {quote(one)}), "
        f"covar_pop({quote(name)}, {quote(one)})"
        for one in others
    )
    found = relation.engine.row(f"SELECT {pairs} FROM {sample}")
    for position, one in enumerate(others):
        count, squared, covariance = found[3 * position : 3 * position + 3]
        if count < _LEAST_PAIRS or squared is None or covariance is None or math.isnan(squared):
            continue
        correlation = math.copysign(math.sqrt(min(squared, 1.0)), covariance)
        if covariance and abs(correlation) >= least:
            yield one, correlation
