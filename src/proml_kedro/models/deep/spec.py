"""The YAML of ``kind: deep``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from proml_kedro.errors import Mistake
from proml_kedro.models.deep.blocks import AnyBlock, References
from proml_kedro.spec.base import Name, Spec
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.model import ComponentSpec
from proml_kedro.spec.problem import ProblemSpec

Numeric = Literal["standardize", "log", "quantile"]


class DeepFeaturesSpec(Spec):
    """How inputs become tensors. Text is embedded; a number enters as it is scaled, or bucketed and embedded.

    A setting is one value, or values by input: names or patterns, of which the last that matches holds.

    Attributes:
        embed: Dimension of the embeddings.
        numeric: How numbers are scaled: ``standardize`` by mean and deviation; ``log`` the same after log(1 + |x|)
            with the sign of x; ``quantile`` to their rank, from -1 to 1.
        missing: ``indicator`` gives each number a second column that says that it is missing; ``mean`` does not.
        buckets: Numbers that become categories, by how many buckets of equal counts.
        min_count: A category that occurs less often in training is unknown.
        tables: Embedding tables by name, each with the text inputs that share it and its vocabulary.
    """

    embed: PositiveInt | dict[str, PositiveInt] = 16
    numeric: Numeric | dict[str, Numeric] = "standardize"
    missing: Literal["indicator", "mean"] = "indicator"
    buckets: dict[str, Annotated[int, Field(ge=2, le=1000)]] = {}
    min_count: PositiveInt | dict[str, PositiveInt] = 1
    tables: dict[Name, Annotated[list[str], Field(min_length=1)]] = {}


class HeadSpec(Spec):
    """The margin: the sum of what it reads, each wider than 1 through a dense layer, and a bias.

    Attributes:
        of: Blocks, and whatever else a block can read.
    """

    of: References


class EarlyStoppingSpec(Spec):
    """When to stop; the best weights are kept.

    Attributes:
        metric: By which the validation period is judged.
        patience: Epochs without improvement to wait for.
    """

    metric: Literal["auc", "logloss"] = "logloss"
    patience: PositiveInt = 2


class DeepTrainingSpec(Spec):
    """How the network is trained, by Adam (Kingma and Ba, ICLR 2015).

    Attributes:
        epochs: Most times that each example is seen.
        batch_size: Examples a step; all of them when there are fewer.
        learning_rate: Of the optimiser.
        weight_decay: Share of each weight that a step takes away, in units of the learning rate.
        early_stopping: When to stop; never when left out.
        refit: Train again on training and validation period together, for the number of epochs that was found.
    """

    epochs: PositiveInt = 10
    batch_size: PositiveInt = 4096
    learning_rate: PositiveFloat = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    early_stopping: EarlyStoppingSpec | None = None
    refit: bool = False


class DeepSpec(ComponentSpec):
    """A neural network.

    Attributes:
        features: How inputs become tensors.
        graph: Named blocks, in any order.
        head: What the margin is made of.
        training: How it is trained.
    """

    kind: Literal["deep"]
    features: DeepFeaturesSpec = DeepFeaturesSpec()
    graph: Annotated[dict[Name, AnyBlock], Field(min_length=1)]
    head: HeadSpec
    training: DeepTrainingSpec = DeepTrainingSpec()

    def check(self, inputs: Mapping[str, Dtype], problem: ProblemSpec) -> list[Mistake]:
        """Whatever is wrong with features, graph and head that can be found without data and TensorFlow."""
        from proml_kedro.models.deep.check import check  # it needs this module

        return check(self, inputs)
