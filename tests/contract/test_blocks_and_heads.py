"""Every block and head that is registered proves its laws; so do those of a user's package, used from YAML."""

import subprocess
import sys
from typing import Any, ClassVar, Literal

import pytest

from proml_kedro.extensions import blocks, heads, layers
from proml_kedro.models.deep.blocks import Block, flat
from proml_kedro.models.deep.heads import Head
from proml_kedro.testing import check_block, check_head

BLOCKS: dict[str, list[dict[str, Any]]] = {
    "attention": [{}, {"of": "shop.seen", "units": 3}],
    "cosine": [{}, {"scale": 4.0}],
    "cross": [{}, {"rank": 2, "layers": 1}],
    "layer": [
        {"layer": "Dense", "config": {"units": 3}},
        {"layer": "Average", "as_list": True, "of": ["vectors", "shop.city"]},
        {"layer": "GRU", "as_sequence": True, "of": "shop.seen", "config": {"units": 3}},
        {"layer": "GlobalAveragePooling1D", "as_sequence": True, "of": "shop.note"},
    ],
    "linear": [{}, {"of": ["categories", "numbers"], "l2": 0.1}],
    "mlp": [
        {"units": [5, 3]},
        {"units": [4], "dropout": 0.5, "batch_norm": True, "l2": 0.1, "activation": "gelu", "last_activation": "tanh"},
    ],
    "mmoe": [{"tasks": ["click", "sale"], "experts": 3, "units": [4, 3]}],
}
"""Keys of kinds that require some, or have others worth proving; any other kind is proved with its name alone."""

HEADS: dict[str, list[dict[str, Any]]] = {
    "categorical": [{"classes": 3, "label": "color"}],
    "huber": [{}, {"delta": 10.0}],
    "quantile": [{}, {"quantiles": [0.25]}],
}


def configured(names: list[str], given: dict[str, list[dict[str, Any]]], key: str) -> list[dict[str, Any]]:
    return [{key: name, **keys} for name in names for keys in given.get(name, [{}])]


@pytest.mark.parametrize(
    "config", [*configured(blocks.names(), BLOCKS, "block"), *configured(layers.names(), {}, "layer")], ids=str
)
def test_block_obeys_the_laws(config):
    check_block(config)


@pytest.mark.parametrize("config", configured(heads.names(), HEADS, "loss"), ids=str)
def test_head_obeys_the_laws(config):
    check_head(config)


class Wide(Block):
    """Twice what it reads: a block without a flaw."""

    block: Literal["flawed"] = "flawed"
    declared: ClassVar[int] = 20

    def width(self, parts):
        return self.declared

    def build(self, name, values):
        return 2 * flat(values)


class Wider(Wide):
    declared: ClassVar[int] = 21


class Mean(Wide):
    def build(self, name, values):
        from keras import ops

        return flat(values) - ops.mean(flat(values), axis=0, keepdims=True)


class Same(Wide):
    def build(self, name, values):
        return 0 * flat(values)


class Infinite(Wide):
    def build(self, name, values):
        return flat(values) / 0


class Random(Wide):
    def build(self, name, values):
        import numpy as np

        return float(np.random.default_rng().random()) * flat(values)


class Careless(Wide):
    model_config: ClassVar = {"extra": "allow"}


class CutOff(Wide):
    def build(self, name, values):
        import keras

        return flat(values) + 0 * keras.ops.stop_gradient(keras.layers.Dense(20, name=name)(flat(values)))


def test_a_sound_block_of_ones_own_obeys_the_laws():
    with blocks.temporary("flawed", Wide):
        check_block({"block": "flawed"})


@pytest.mark.parametrize(
    ("flawed", "law"),
    [
        (Wider, "declares the width 21 and is 20 wide"),
        (Mean, "depends on the rows beside it"),
        (Same, "the same for every row"),
        (Infinite, "not finite"),
        (Random, "saved and loaded"),
        (Careless, "an unknown key is accepted"),
        (CutOff, "has no gradient"),
    ],
)
def test_the_laws_catch_a_block_that_breaks_them(flawed, law):
    with blocks.temporary("flawed", flawed), pytest.raises(AssertionError, match=law):
        check_block({"block": "flawed"})


class Absolute(Head):
    """The absolute difference: a head without a flaw."""

    tasks: ClassVar = frozenset({"regression"})
    loss: Literal["flawed"] = "flawed"

    @property
    def gives(self):
        return ("margin",)

    def begin(self, label, weight):
        return [0.0], {"center": float(label.mean())}

    def loss_of(self, label, margin, weight, learned):
        import tensorflow as tf

        from proml_kedro.models.deep.heads.base import filled, weighted_mean

        return weighted_mean(tf.abs(filled(label) - margin[:, 0] - learned["center"]), label, weight)

    def finish(self, margin, learned):
        return [margin[:, 0] + learned["center"]]


class Unweighted(Absolute):
    def loss_of(self, label, margin, weight, learned):
        return super().loss_of(label, margin, weight * 0 + 1, learned)


class Missing(Absolute):
    def loss_of(self, label, margin, weight, learned):
        import tensorflow as tf

        return tf.reduce_mean(tf.where(tf.math.is_nan(label), 1.0, tf.abs(label - margin[:, 0])))


class Upwards(Absolute):
    def loss_of(self, label, margin, weight, learned):
        import tensorflow as tf

        loss = super().loss_of(label, margin, weight, learned)
        return 2 * tf.stop_gradient(loss) - loss


class TwoOutputs(Absolute):
    def finish(self, margin, learned):
        return [margin[:, 0], margin[:, 0]]


class Unjudged(Absolute):
    metrics: ClassVar = ("rmse",)


def test_a_sound_head_of_ones_own_obeys_the_laws():
    with heads.temporary("flawed", Absolute):
        check_head({"loss": "flawed"})


@pytest.mark.parametrize(
    ("flawed", "law"),
    [
        (Unweighted, "weight 2"),
        (Missing, "without a label"),
        (Upwards, "does not lower the loss"),
        (TwoOutputs, "gives 2 outputs"),
        (Unjudged, "judges an output that it does not give"),
    ],
)
def test_the_laws_catch_a_head_that_breaks_them(flawed, law):
    with heads.temporary("flawed", flawed), pytest.raises(AssertionError, match=law):
        check_head({"loss": "flawed"})


USERS_CODE = '''
"""A block, a layer and a head that a user has written."""

from typing import ClassVar, Literal

from proml_kedro.models.deep.blocks import Block, flat
from proml_kedro.models.deep.heads import Head


class Gate(Block):
    block: Literal["users_gate"]

    def width(self, parts):
        if len(parts) < 2:
            raise ValueError("users_gate needs at least two vectors")
        return parts[-1]

    def build(self, name, values):
        import keras

        *others, last = values
        return keras.layers.Dense(last.shape[-1], activation="sigmoid", name=name)(flat(others)) * last


def scale(name, factor=1.0):
    import keras

    return keras.layers.Rescaling(factor, name=name)


class Hinge(Head):
    tasks: ClassVar = frozenset({"binary"})
    metrics: ClassVar = ("auc",)
    loss: Literal["users_hinge"]

    @property
    def gives(self):
        return ("margin", "probability")

    def begin(self, label, weight):
        return [0.0], {}

    def loss_of(self, label, margin, weight, learned):
        import tensorflow as tf

        known = tf.where(tf.math.is_nan(label), 0.0, weight)
        losses = tf.nn.relu(1 - (2 * tf.where(tf.math.is_nan(label), 0.0, label) - 1) * margin[:, 0])
        return tf.math.divide_no_nan(tf.reduce_sum(losses * known), tf.reduce_sum(known))

    def finish(self, margin, learned):
        import tensorflow as tf

        return [margin[:, 0], tf.sigmoid(2 * margin[:, 0])]
'''

USERS_ENTRY_POINTS = """\
[proml_kedro.blocks]
users_gate = users_blocks:Gate

[proml_kedro.layers]
users_scale = users_blocks:scale

[proml_kedro.heads]
users_hinge = users_blocks:Hinge
"""

USERS_MODEL = """\
kind: deep
features: {embed: 4}
graph:
  deep: {block: mlp, of: [numbers, embeddings], units: [8]}
  gated: {block: users_gate, of: [embeddings, deep]}
  scaled: {layer: users_scale, of: gated, config: {factor: 2.0}}
head: {of: scaled, loss: users_hinge}
training: {epochs: 15, batch_size: 128, learning_rate: 0.02, early_stopping: {metric: auc}}
"""

USERS_TEST = """\
import sys
from pathlib import Path

import yaml

from proml_kedro.testing import check_block, check_component, check_head

check_block({"block": "users_gate"})
check_block({"layer": "users_scale"})
check_head({"loss": "users_hinge"})
saved = Path(sys.argv[2])
saved.mkdir()
check_component(yaml.safe_load(Path(sys.argv[1]).read_text()), saved, every_input=True)
print("proved")
"""


@pytest.mark.slow
def test_an_installed_package_brings_blocks_layers_and_heads_for_yaml(tmp_path, monkeypatch):
    """None of our files is touched, and no module is imported by hand."""
    (tmp_path / "users_blocks.py").write_text(USERS_CODE)
    metadata = tmp_path / "users_blocks-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: users-blocks\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(USERS_ENTRY_POINTS)
    (tmp_path / "net.yaml").write_text(USERS_MODEL)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    arguments = [sys.executable, "-c", USERS_TEST, str(tmp_path / "net.yaml"), str(tmp_path / "saved")]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "proved\n"
