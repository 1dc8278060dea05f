"""How far columns move by themselves: the measure of what is unusual."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from proml_kedro.health.check import DriftCheck, checks_of
from proml_kedro.health.pairs import pair_columns
from proml_kedro.health.profile import profile
from proml_kedro.health.score_checks import score_checks_of
from proml_kedro.health.statistics import prediction_bound
from proml_kedro.models.component import Columns, Input
from proml_kedro.spec.monitoring import DriftCheckSpec, GateSpec

Check = DriftCheck[DriftCheckSpec]

Movements = Mapping[str, Mapping[str, float]]
"""What the next size of each calibrated check will hardly exceed, by column and check."""

_LEAST_ROWS = 500
_SMALL = 0.1
"""Share of a check's own limit below which sizes are not told apart."""


def calibrate(
    periods: Iterable[tuple[Columns, Columns]], inputs: Sequence[Input], gate: GateSpec | None = None
) -> Movements:
    """Measure how far each column has moved between earlier periods, and what that lets expect of the next one.

    Args:
        periods: Earlier pairs of reference and current data, of the lengths that are to be compared. Pairs with fewer
            than 500 rows on a side are omitted.
        inputs: The columns, and their types.
        gate: Whose checks are calibrated; the default gate when None.
    """
    gate = gate or GateSpec()
    checks = {name: check for name, check in checks_of(gate).items() if check.is_calibrated}
    sizes: dict[tuple[str, str], list[float]] = {}
    for before, after in periods:
        for name, check, size in _sizes(before, after, inputs, checks, gate):
            sizes.setdefault((name, check), []).append(size)
    bounds: dict[str, dict[str, float]] = {}
    for (name, check), measured in sizes.items():
        if check in checks:
            bound = checks[check].expected(measured, _SMALL * checks[check].limit(name, 0.0))
        else:
            bound = prediction_bound(measured, _SMALL * score_checks_of(gate)[check].limit(0.0))
        bounds.setdefault(name, {})[check] = bound
    return bounds


def _sizes(
    before: Columns, after: Columns, inputs: Sequence[Input], checks: Mapping[str, Check], gate: GateSpec
) -> Iterator[tuple[str, str, float]]:
    """Measure each calibrated check: column, check, size."""
    known = profile(before, inputs)
    if min(known.rows, max((len(values) for values in after.values()), default=0)) < _LEAST_ROWS:
        return
    for pair in pair_columns(known, after, inputs):
        if pair.problem is not None:
            continue
        for name, check in checks.items():
            if not pair.is_id_like or check.reads_ids:
                yield pair.name, name, check.size(pair)
        if pair.score is not None:
            for name, one in score_checks_of(gate).items():
                yield pair.name, name, one.size(pair.score)
