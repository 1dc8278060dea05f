"""The laws of producers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from proml_kedro.models.component import Array, Columns, Input
from proml_kedro.models.kinds import component_of
from proml_kedro.spec.model import ComponentSpec, spec_of
from proml_kedro.testing.compare import check_batches, check_rows_alone, check_types, check_untouched, same

PRODUCER_INPUTS = (
    Input("shop.price", "float"),
    Input("shop.visits", "int"),
    Input("shop.city", "str"),
    Input("shop.country", "str"),
    Input("shop.embedding", "vector[4]"),
    Input("member.embedding", "vector[4]"),
    Input("member.seen", "str"),
    Input("shop.opened", "str"),
)
"""Two numbers, two categories, two vectors and two dates as text, with missing values, zeros and huge numbers in them,
and among the dates what is none."""


def check_producer(config: Mapping[str, Any], folder: Path) -> None:
    """Prove the laws for one configured producer.

    The output has its declared dtype and shape; it is missing or finite, whatever is missing, zero or huge; a row's
    value does not depend on the rows beside it, and batches of rows have the values of all rows together; float32 and
    float64 inputs have nearly the same value; the inputs stay as they are; neither computing nor saving keeps a state.

    Args:
        config: Its YAML as a mapping; ``of`` may name some of :data:`PRODUCER_INPUTS`, and is as many as the producer
            takes, of the types that it can read, when omitted.
        folder: An empty folder.

    Raises:
        AssertionError: A law is broken; the message names it.
    """
    spec_type = spec_of(config["kind"])
    named = {"of": _default_inputs(spec_type)} if spec_type.model_fields["inputs"].is_required() else {}
    spec = spec_type.model_validate({**named, **config})
    assert not spec.learns, "a producer learns nothing"
    inputs = [one for name in spec.inputs for one in PRODUCER_INPUTS if one.name == name]
    producer, columns = component_of(spec.kind)(spec, inputs), _columns(inputs, np.float64)
    before = repr(vars(producer))
    values = producer.score(columns)
    check_types(values, spec.outputs("binary"), _ROWS)
    for name, one in values.items():
        assert one.dtype == object or not np.isinf(one).any(), f"output '{name}' is infinite where it can be missing"
        assert any(_known(one)), f"output '{name}' is missing in every row"
    check_untouched(columns, _columns(inputs, np.float64), "computing")
    check_rows_alone(producer.score, columns, values)
    check_batches(producer.score, columns, values)
    _check_precision(values, producer.score(_columns(inputs, np.float32)))
    assert repr(vars(producer)) == before, "computing changed the producer: it has a state"
    producer.save(folder)
    assert not any(folder.iterdir()), "a producer writes no state"
    same("a loaded producer computes the same", values, type(producer).load(spec, inputs, folder).score(columns))


_ROWS = 60
_TEXTS = ("Bern", "Lima", "", "a b", None)
_DATES = ("2024-02-29", "2023-12-31T23:30:00-05:00", "2026-06-01 12:00:00.25", "0001-01-01", "yesterday", "", None)


def _default_inputs(spec: type[ComponentSpec]) -> list[str]:
    readable = [one.name for one in PRODUCER_INPUTS if spec.can_read(one.dtype)]
    return readable[: getattr(spec, "count", None)]


def _columns(inputs: list[Input], precision: Any) -> Columns:
    """Columns of 60 rows, the same each time."""
    generator = np.random.default_rng(0)
    made: dict[str, Array] = {}
    for one in PRODUCER_INPUTS:
        if one.is_categorical:
            texts = _DATES if one.name in ("member.seen", "shop.opened") else _TEXTS
            values = generator.choice(np.array(texts, object), _ROWS)
        else:
            shape = (_ROWS,) if one.size is None else (_ROWS, one.size)
            values = generator.normal(0, 5, shape).round(3).astype(precision)
            for row, special in enumerate((np.nan, 0.0, 1e30, -1e30, 1e-30)):
                values[generator.permutation(_ROWS)[:3] if row else 0] = special
        made[one.name] = values
    return {one.name: made[one.name] for one in inputs}


def _known(values: Array) -> Array:
    if values.dtype == object:
        return np.array([one is not None for one in values], np.bool_)
    return ~np.isnan(values)


def _check_precision(values: Mapping[str, Array], single: Mapping[str, Array]) -> None:
    """Check values from float32 inputs, but for rows with numbers whose square float32 cannot hold."""
    for name, expected in values.items():
        if expected.dtype == object:
            continue
        known = _known(expected) & _known(single[name])
        law = f"output '{name}' from float32 inputs differs from that of float64 inputs"
        np.testing.assert_allclose(single[name][known], expected[known], rtol=1e-3, atol=1e-5, err_msg=law)
