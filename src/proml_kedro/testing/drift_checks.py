"""The laws of drift checks."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.health.check import DriftCheck, checks_of
from proml_kedro.health.drift import check_drift
from proml_kedro.models.component import Columns, Input
from proml_kedro.spec.monitoring import STANDARD_CHECKS, DriftCheckSpec, GateSpec

Array = npt.NDArray[Any]

_NAME = "checked"
_SPLITS = 60
_INPUTS = (
    Input("normal", "float"),
    Input("skewed", "float"),
    Input("weekday", "int"),
    Input("rain", "float"),
    Input("member", "bool"),
    Input("city", "str"),
)


def check_drift_check(kind: str, limits: Mapping[str, Any] | None = None) -> None:
    """Prove the laws for one kind of drift check.

    In a test of your own::

        class MedianLimits(DriftCheckSpec):
            factor: float = 2.0


        @drift_checks.register("median")
        class Median(DriftCheck[MedianLimits]):
            # A median that is several times larger.
            Limits = MedianLimits

            def size(self, pair):
                before, after = pair.reference.median, pair.current.median
                return after / before if before and after and before > 0 else math.nan

            def limit(self, column, movement):
                return self.limits.factor

            def describe(self, pair, size, limit):
                return f"the median is {size:.3g} times larger"

            def example(self):
                return np.full(900, 2.0), np.full(900, 5.0)


        def test_median():
            check_drift_check("median", {"factor": 1.9})

    Args:
        kind: Its name in the registry.
        limits: The keys of its YAML; its defaults when None.

    Raises:
        AssertionError: A law is broken; the message names it.
    """
    is_standard = kind in STANDARD_CHECKS and limits is None
    name = kind if is_standard else _NAME
    own = {} if is_standard else {_NAME: {"kind": kind, **(limits or {})}}
    gate = GateSpec.model_validate({"checks": own, "min_rows": 30, "fail_on": [name]})
    check = checks_of(gate)[name]
    assert type(check).__doc__, "the check says nowhere what it finds"
    _check_example(check, name, gate)
    _check_same_data(name, gate)
    _check_false_alarms(check, name, gate)
    _check_rare_columns(gate)


def _reasons(reference: Columns, current: Columns, inputs: tuple[Input, ...], gate: GateSpec) -> list[tuple[str, ...]]:
    """Find the reasons for drift in each column, the columns in their order."""
    result = check_drift(reference, current, inputs, gate)
    json.dumps(result.as_dict(), allow_nan=False)
    by_name = {one.name: one.reasons for one in result.columns}
    return [by_name.get(one.name, ()) for one in inputs]


def _check_example(check: DriftCheck[DriftCheckSpec], name: str, gate: GateSpec) -> None:
    reference, current = check.example()
    inputs = (Input("column", "str" if reference.dtype == object else "float"),)
    (found,) = _reasons({"column": reference}, {"column": current}, inputs, gate)
    assert name in found, f"it does not find drift in its own example; found there: {found}"
    (found,) = _reasons({"column": reference}, {"column": reference}, inputs, gate)
    assert name not in found, "it finds drift between its example's reference and the same values"


def _check_same_data(name: str, gate: GateSpec) -> None:
    columns = _draw(3000, np.random.default_rng(1))
    shuffled = {column: np.random.default_rng(2).permutation(values) for column, values in columns.items()}
    for same in (columns, shuffled):
        for one, found in zip(_INPUTS, _reasons(columns, same, _INPUTS, gate), strict=True):
            assert name not in found, f"it finds drift between the column '{one.name}' and itself"


def _check_false_alarms(check: DriftCheck[DriftCheckSpec], name: str, gate: GateSpec) -> None:
    """Split samples of one distribution at random; the bound is the declared rate and three standard errors."""
    generator = np.random.default_rng(3)
    alarms = 0
    for number in range(_SPLITS):
        rows = (600, 1500, 4000)[number % 3]
        found = _reasons(_draw(rows, generator), _draw(600 + rows // 2, generator), _INPUTS, gate)
        alarms += sum(name in one for one in found)
    columns, rate = _SPLITS * len(_INPUTS), check.false_alarms
    allowed = rate * columns + 3 * math.sqrt(rate * (1 - rate) * columns)
    assert alarms <= allowed, (
        f"{alarms} false alarms in {columns} columns of one distribution; at the declared rate of {rate} there may be "
        f"{allowed:.1f}"
    )


def _check_rare_columns(gate: GateSpec) -> None:
    """Compare whatever may come; a check that raises here would take the whole verdict with it."""
    for one, usual in ((Input("column", "float"), _draw(600, np.random.default_rng(4))["normal"]), _cities()):
        for values in _rare(one):
            for reference, current in ((usual, values), (values, usual), (values, values)):
                with np.errstate(all="ignore"):
                    _reasons({"column": reference}, {"column": current}, (one,), gate)
        _reasons({"column": usual}, {}, (one,), gate)


def _cities() -> tuple[Input, Array]:
    return Input("column", "str"), _draw(600, np.random.default_rng(4))["city"]


def _rare(one: Input) -> Iterator[Array]:
    yield np.full(600, None, object)
    if one.is_categorical:
        yield np.full(600, "", object)
        yield np.full(600, "one", object)
        yield np.array([f"id {number}" for number in range(600)], object)
        yield np.zeros(0, object)
        return
    yield np.full(600, np.nan)
    yield np.full(600, np.inf)
    yield np.full(600, 7.0)
    yield np.zeros(600)
    yield 1e308 * np.linspace(-1, 1, 600)
    yield np.linspace(1e-310, 1e-300, 600)
    yield np.where(np.arange(600) == 5, 1.0, np.nan)
    yield np.zeros(0)


def _draw(rows: int, generator: np.random.Generator) -> dict[str, Array]:
    """Draw columns: smooth, skewed, of few values, mostly zero, of two values, and categories, some with nulls."""
    city = np.array([f"city {number}" for number in range(30)], object)
    cities = city[np.minimum(generator.geometric(0.15, rows), 30) - 1]
    cities[generator.random(rows) < 0.03] = None
    normal = generator.normal(50, 10, rows)
    normal[generator.random(rows) < 0.05] = np.nan
    return {
        "normal": normal,
        "skewed": np.exp(generator.normal(0, 2, rows)),
        "weekday": generator.integers(1, 8, rows).astype(np.float64),
        "rain": np.where(generator.random(rows) < 0.9, 0.0, generator.exponential(2.0, rows)),
        "member": (generator.random(rows) < 0.2).astype(np.float64),
        "city": cities,
    }
