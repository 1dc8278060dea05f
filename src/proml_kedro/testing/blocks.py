"""The laws of blocks of a deep component."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from proml_kedro.models.component import Array, Columns, Input
from proml_kedro.models.deep.blocks import Block, Width
from proml_kedro.models.deep.build import build
from proml_kedro.models.deep.check_graph import find_widths
from proml_kedro.models.deep.devices import limit_tensorflow
from proml_kedro.models.deep.features_spec import DeepFeaturesSpec
from proml_kedro.models.deep.graph import vectors_of
from proml_kedro.models.deep.layout import Layout, lay_out
from proml_kedro.models.deep.preprocess import Preprocess
from proml_kedro.models.deep.spec import DeepSpec
from proml_kedro.models.deep.statistics import Statistics, learn
from proml_kedro.testing.keys import check_unknown_key

BLOCK_INPUTS = (
    Input("shop.price", "float"),
    Input("shop.visits", "int"),
    Input("shop.city", "str"),
    Input("shop.embedding", "vector[4]"),
    Input("shop.note", "str"),
    Input("shop.seen", "str"),
)
"""What a block may read in :func:`check_block`: two numbers, a category, a vector, a text and a sequence. All numbers
together, the vector and each embedding are 4 wide."""

_FEATURES = {
    "embed": 4,
    "text": {"shop.note": {"words": 3}},
    "sequences": {"shop.seen": {"items": 5}},
}
_REFERENCES: Sequence[Sequence[str]] = (
    ["numbers", "vectors", "embeddings"],
    ["shop.city", "shop.embedding"],
    ["shop.seen", "shop.city"],
    ["shop.seen"],
)
_NAME = "block"
_ROWS = 24


def check_block(config: Mapping[str, Any]) -> None:
    """Prove the laws for one configured block.

    In a test of your own::

        def test_my_block():
            check_block({"block": "gate"})

    Args:
        config: Its YAML as a mapping; ``of`` may name some of :data:`BLOCK_INPUTS` and groups of them. When it is left
            out, it is the first of several choices that the block's width accepts.

    Raises:
        AssertionError: A law is broken; the message names it.
    """
    limit_tensorflow(1)
    spec = _choose_inputs(config)
    check_unknown_key(_component, {**config, "of": spec.graph[_NAME].of})
    trial = _Trial.build(spec, seed=1)
    made = trial.run(slice(None))
    _check_outputs(trial, made)
    _check_rows_are_computed_alone(trial, made)
    _check_weights_are_all_there_is(spec, trial, made)
    _check_gradients(trial)


def _choose_inputs(config: Mapping[str, Any]) -> DeepSpec:
    """Make a component around the block, with inputs that it accepts."""
    objections = []
    for of in [config["of"]] if "of" in config else _REFERENCES:
        spec = _component({**config, "of": of})
        found = find_widths(spec.graph, lay_out(spec.features, _dtypes()))[1]
        if not found:
            return spec
        objections.append(found[_NAME])
    raise AssertionError(f"no inputs suit the block; name some under of: {'; '.join(dict.fromkeys(objections))}")


def _component(config: Mapping[str, Any]) -> DeepSpec:
    head = {"of": ["rest"]}
    rest = {"block": "mlp", "of": ["numbers", "vectors", "embeddings"], "units": [2]}
    graph = {_NAME: dict(config), "rest": rest}
    return DeepSpec.model_validate(
        {"kind": "deep", "inputs": ["*"], "features": _FEATURES, "graph": graph, "head": head}
    )


def _dtypes() -> dict[str, str]:
    return {one.name: one.dtype for one in BLOCK_INPUTS}


@dataclass(frozen=True)
class _Trial:
    """A block, built behind inputs whose values it is given.

    Attributes:
        block: The block.
        widths: Declared width of each of its vectors.
        model: ``keras.Model`` from the packed matrices to the block's vectors.
        numbers: float32 of shape (n, width).
        ids: int32 of shape (n, columns).
    """

    block: Block
    widths: Sequence[Width]
    model: Any
    numbers: Array
    ids: Array

    @classmethod
    def build(cls, spec: DeepSpec, seed: int) -> _Trial:
        import keras

        inputs = _encode()
        keras.utils.set_random_seed(seed)
        network = build(spec, inputs.layout, inputs.statistics, {"head": [0.0]}, "model")
        block = spec.graph[_NAME]
        vectors = vectors_of(_NAME, block)
        model = keras.Model(network.model.inputs, [network.tensors[one] for one in vectors])
        widths = find_widths(spec.graph, inputs.layout)[0]
        return cls(block, [widths[one] for one in vectors], model, inputs.numbers, inputs.ids)

    def run(self, rows: slice) -> list[Array]:
        made = self.model([self.numbers[rows], self.ids[rows]], training=False)
        return [np.asarray(one) for one in (made if isinstance(made, list | tuple) else [made])]


@dataclass(frozen=True)
class _Inputs:
    """The inputs as a network reads them.

    Attributes:
        layout: Their order.
        statistics: What has been learned about them.
        numbers: float32 of shape (n, width).
        ids: int32 of shape (n, columns).
    """

    layout: Layout
    statistics: Statistics
    numbers: Array
    ids: Array


@cache
def _encode() -> _Inputs:
    """Encode the inputs, which are the same for all blocks."""
    layout = lay_out(DeepFeaturesSpec.model_validate(_FEATURES), _dtypes())
    columns = _make_columns()
    statistics = learn([columns], layout, "model")
    return _Inputs(layout, statistics, *Preprocess(layout, statistics).encode(columns))


def _make_columns() -> Columns:
    """Make values of the inputs, with missing ones in each, and a row in which all are missing."""
    generator = np.random.default_rng(0)
    words = np.array(["rain", "snow", "sun", "wind"], dtype=object)

    def lists(separator: str) -> Array:
        picked = [separator.join(generator.choice(words, generator.integers(0, 7))) or None for _ in range(_ROWS)]
        return np.array(picked, dtype=object)

    columns = {
        "shop.price": generator.normal(20, 5, _ROWS),
        "shop.visits": generator.poisson(3, _ROWS).astype(np.float64),
        "shop.city": generator.choice(np.array(["Bern", "Lima", "Oslo", None], dtype=object), _ROWS),
        "shop.embedding": generator.normal(size=(_ROWS, 4)),
        "shop.note": lists(" "),
        "shop.seen": lists(","),
    }
    for values in columns.values():
        values[0] = None if values.dtype == object else np.nan
    return columns


def _check_outputs(trial: _Trial, made: Sequence[Array]) -> None:
    for declared, values in zip(trial.widths, made, strict=True):
        assert values.ndim == 2, f"a block gives vectors, of shape (n, width), not of shape {values.shape}"
        assert len(values) == _ROWS, f"it gives {len(values)} rows for {_ROWS}"
        if declared is not None:
            assert values.shape[1] == declared, f"it declares the width {declared} and is {values.shape[1]} wide"
        assert np.isfinite(values).all(), "its output is not finite for every row"
        assert np.ptp(values, axis=0).max() > 0, "its output is the same for every row"


def _check_rows_are_computed_alone(trial: _Trial, made: Sequence[Array]) -> None:
    for rows in (slice(0, 1), slice(3, 10), slice(None, None, -1)):
        for expected, values in zip(made, trial.run(rows), strict=True):
            difference = float(np.abs(expected[rows] - values).max())
            assert difference <= 1e-5, f"a row's output depends on the rows beside it: it differs by {difference:.3g}"


def _check_gradients(trial: _Trial) -> None:
    import tensorflow as tf

    weights = trial.model.trainable_variables
    with tf.GradientTape() as tape:
        made = trial.model([trial.numbers, trial.ids], training=True)
        total = tf.add_n([tf.reduce_sum(one**2) for one in (made if isinstance(made, list | tuple) else [made])])
    for weight, gradient in zip(weights, tape.gradient(total, weights), strict=True):
        assert gradient is not None, f"the weight '{weight.path}' has no gradient"
        assert np.isfinite(tf.convert_to_tensor(gradient)).all(), f"the gradient of '{weight.path}' is not finite"


def _check_weights_are_all_there_is(spec: DeepSpec, trial: _Trial, made: Sequence[Array]) -> None:
    """Build it again from its own YAML, with the same weights: that is how a component is loaded."""
    again = _Trial.build(DeepSpec.model_validate(spec.model_dump(mode="json")), seed=2)
    assert again.block == trial.block, "written as YAML and read again it is another block"
    again.model.set_weights(trial.model.get_weights())
    for expected, values in zip(made, again.run(slice(None)), strict=True):
        difference = float(np.abs(expected - values).max())
        assert difference <= 1e-6, f"saved and loaded it gives something else: it differs by {difference:.3g}"
