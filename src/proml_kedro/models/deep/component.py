"""``kind: deep`` as a component: learns statistics, builds the network, trains it, saves it as data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from proml_kedro.errors import UserError
from proml_kedro.hardware import limit_tensorflow
from proml_kedro.models.columns import sigmoid
from proml_kedro.models.component import Columns, Component, Examples, FitContext, Input
from proml_kedro.models.deep.build import build
from proml_kedro.models.deep.check import check
from proml_kedro.models.deep.layout import lay_out
from proml_kedro.models.deep.spec import DeepSpec
from proml_kedro.models.deep.statistics import Encoder, Statistics, learn
from proml_kedro.models.deep.train import Packed, Scorer, best_epoch
from proml_kedro.models.deep.train import train as train_network
from proml_kedro.spec.model import ComponentSpec


@dataclass(frozen=True)
class _Network:
    """Everything that was learned.

    Attributes:
        statistics: Of the inputs.
        encoder: Columns to matrices, by the statistics.
        model: ``keras.Model`` from the matrices to the margin.
        scorer: The model as one traced function.
    """

    statistics: Statistics
    encoder: Encoder
    model: Any
    scorer: Scorer


class Deep(Component):
    """A neural network over scaled numbers and embedded categories.

    Raises:
        UserError: The configuration has mistakes that show without data; their keys begin inside of the component.
    """

    Spec: ClassVar[type[ComponentSpec]] = DeepSpec
    spec: DeepSpec
    _network: _Network

    def __init__(self, spec: ComponentSpec, inputs: Sequence[Input]) -> None:
        super().__init__(spec, inputs)
        dtypes = {one.name: one.dtype for one in inputs}
        if mistakes := check(self.spec, dtypes):
            raise UserError(*mistakes)
        self._layout = lay_out(self.spec.features, dtypes)
        self._epochs = 0

    def fit(self, train: Examples, validation: Examples, context: FitContext) -> None:
        """Train until the validation period stops improving, then refit on both periods if that is asked for.

        Raises:
            UserError: Keras refuses a layer, a table stays without categories, or the validation period cannot be
                judged by AUC.
        """
        self._check_metric(validation, context.key)
        limit_tensorflow(context.hardware.threads)
        training = self.spec.training
        history = self._fit(train, validation, training.epochs, context)
        self._epochs = best_epoch(history) if history else training.epochs
        if training.refit and context.final and history:
            self._fit(train.join(validation), None, self._epochs, context)

    def _check_metric(self, validation: Examples, key: str) -> None:
        stopping = self.spec.training.early_stopping
        if stopping and stopping.metric == "auc" and not 0 < validation.label.mean() < 1:
            message = "the validation period has one class only; write logloss"
            raise UserError.at(f"{key}.training.early_stopping.metric", message)

    def _fit(self, train: Examples, validation: Examples | None, epochs: int, context: FitContext) -> list[float]:
        import keras

        statistics = learn(train.columns, self._layout, context.key)
        keras.utils.set_random_seed(context.seed)
        rate = float(np.clip(train.label.mean(), 1e-6, 1 - 1e-6))
        self._network = network = self._build(statistics, float(np.log(rate / (1 - rate))), context.key)

        def pack(examples: Examples) -> Packed:
            encoder = network.encoder
            return Packed(encoder.numbers(examples.columns), encoder.ids(examples.columns), examples.label)

        watched = pack(validation) if validation else None
        return train_network(network.model, pack(train), watched, self.spec.training, epochs, context.seed)

    def _build(self, statistics: Statistics, prior: float, key: str) -> _Network:
        model = build(self.spec, self._layout, statistics, prior, key)
        return _Network(statistics, Encoder(self._layout, statistics), model, Scorer(model))

    def score(self, columns: Columns) -> dict[str, npt.NDArray[np.float64]]:
        """Margin (log-odds) and probability."""
        network = self._network
        margin = network.scorer(network.encoder.numbers(columns), network.encoder.ids(columns))
        return {"margin": margin, "probability": sigmoid(margin)}

    def save(self, folder: Path) -> None:
        """``weights.npz``, arrays in the order in which the network is built, and ``statistics.json``."""
        weights = {str(position): values for position, values in enumerate(self._network.model.get_weights())}
        np.savez(folder / "weights.npz", **weights)
        learned = {"epochs": self._epochs, **self._network.statistics.as_json()}
        (folder / "statistics.json").write_text(json.dumps(learned))

    @classmethod
    def load(cls, spec: ComponentSpec, inputs: Sequence[Input], folder: Path) -> Self:
        """What :meth:`save` wrote: the network is built again from its declaration. It scores with one thread."""
        limit_tensorflow(1)
        component = cls(spec, inputs)
        learned = json.loads((folder / "statistics.json").read_text())
        component._epochs = learned.pop("epochs")
        component._network = component._build(Statistics(**learned), 0.0, "model")
        with np.load(folder / "weights.npz", allow_pickle=False) as weights:
            component._network.model.set_weights([weights[str(position)] for position in range(len(weights.files))])
        return component

    def summary(self) -> dict[str, Any]:
        """How many weights there are, and how often each example was seen."""
        return {"weights": self._network.model.count_params(), "epochs": self._epochs}
