"""How far columns move by themselves: the measure of what is unusual."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from proml_kedro.health.check import ColumnPair, checks_of
from proml_kedro.health.profile import count, profile
from proml_kedro.health.schema_check import schema_problem
from proml_kedro.models.component import Columns, Input
from proml_kedro.spec.monitoring import GateSpec

Movements = Mapping[str, Mapping[str, float]]
"""The largest size of each calibrated check between earlier periods, by column and check."""

_LEAST_ROWS = 500


def calibrate(
    periods: Iterable[tuple[Columns, Columns]], inputs: Sequence[Input], gate: GateSpec | None = None
) -> Movements:
    """Measure how far each column has moved between earlier periods.

    Args:
        periods: Earlier pairs of reference and current data, of the lengths that are to be compared. Pairs with fewer
            than 500 rows on a side are omitted.
        inputs: The columns, and their types.
        gate: Whose checks are calibrated; the default gate when None.
    """
    checks = {name: check for name, check in checks_of(gate or GateSpec()).items() if check.is_calibrated}
    movements: dict[str, dict[str, float]] = {}
    if not checks:
        return movements
    for before, after in periods:
        for pair in _pairs(before, after, inputs):
            largest = movements.setdefault(pair.name, dict.fromkeys(checks, 0.0))
            for name, check in checks.items():
                # max() keeps its first argument when the second one is NaN: nothing to compare is no movement.
                largest[name] = max(largest[name], check.size(pair))
    return movements


def _pairs(before: Columns, after: Columns, inputs: Sequence[Input]) -> Iterable[ColumnPair]:
    known = profile(before, [one for one in inputs if schema_problem(after, one) is None])
    if min(known.rows, max((len(values) for values in after.values()), default=0)) < _LEAST_ROWS:
        return ()
    return (ColumnPair(name, one, count(one, after[name])) for name, one in known.columns.items())
