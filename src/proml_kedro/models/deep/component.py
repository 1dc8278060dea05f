"""``kind: deep`` as a component: learns statistics, builds the network, trains it, saves it as data."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from proml_kedro.errors import UserError
from proml_kedro.models.columns import batches_of
from proml_kedro.models.component import NUMBER, Columns, Component, Examples, FitContext, Input
from proml_kedro.models.curve import Curve
from proml_kedro.models.deep.data import ExampleParts
from proml_kedro.models.deep.devices import (
    devices_of,
    limit_tensorflow,
    placed,
    tensorflow_strategy,
    training_precision,
)
from proml_kedro.models.deep.fitted import FittedNetwork
from proml_kedro.models.deep.heads import Head, HeadState
from proml_kedro.models.deep.judge import Judge
from proml_kedro.models.deep.labels import begin_heads, check_validation, stopping_metric, weight_of
from proml_kedro.models.deep.layout import lay_out
from proml_kedro.models.deep.maps import FEWEST, draw
from proml_kedro.models.deep.metrics import HIGHER
from proml_kedro.models.deep.pack import pack
from proml_kedro.models.deep.spec import DeepSpec
from proml_kedro.models.deep.statistics import learn
from proml_kedro.models.deep.train import best_epoch
from proml_kedro.models.deep.train import train as train_network
from proml_kedro.models.deep.trainer import TrainingTask
from proml_kedro.models.deep.unknown import Hiding
from proml_kedro.spec.inputs import is_entity
from proml_kedro.spec.model import ComponentSpec

if TYPE_CHECKING:
    from proml_kedro.models.deep.describe_text import NetworkDescription

logger = logging.getLogger(__name__)

_BESIDE, _OF_ROW = 3, 100
"""Numbers of an encoded example beside inputs and labels: its weight and its group. And the bytes of each example,
encoded or not, that a fit was measured to hold: labels and weights as they are read, and where it belongs."""

_ONE_FIT = Lock()
"""Keras' seed and precision are the process's: models that are fitted in threads would change each other's."""


class Deep(Component):
    """A neural network over scaled numbers, vectors and embedded categories.

    Raises:
        UserError: The configuration has mistakes that show without data; their keys begin inside of the component.
    """

    Spec: ClassVar[type[ComponentSpec]] = DeepSpec
    spec: DeepSpec
    _fitted: FittedNetwork

    def __init__(self, spec: ComponentSpec, inputs: Sequence[Input]) -> None:
        super().__init__(spec, inputs)
        dtypes = {one.name: one.dtype for one in inputs}
        if mistakes := self.spec.check_network(dtypes):
            raise UserError(*mistakes)
        self._layout = lay_out(self.spec.features, dtypes)
        self._heads: dict[str, Head] = self.spec.all_heads()
        self._epochs = 0
        self._curve: Curve | None = None
        self._device: str | None = None  # where it was trained, if that was to be a GPU
        self._calibrated: dict[str, HeadState] = {}

    def fit(self, train: Examples, validation: Examples, context: FitContext) -> None:
        """Train until the validation period stops improving, then refit on both periods if that is asked for.

        Raises:
            UserError: Keras refuses a layer, a table stays without categories, a head cannot learn its label, or the
                validation period cannot be judged by the metric.
        """
        check_validation(self.spec, validation, context.key)
        limit_tensorflow(context.hardware.threads, context.hardware)
        with _ONE_FIT, placed(context.hardware):
            self._fit_whole(train, validation, context)

    def _fit_whole(self, train: Examples, validation: Examples, context: FitContext) -> None:
        training = self.spec.training
        history = self._fit([train], validation, training.epochs, context)
        self._epochs = best_epoch(history) if history else training.epochs
        self._curve = self._curve_of(history) if history else None
        if training.refit and context.final:
            again = replace(context, checkpoints=context.checkpoints and context.checkpoints / "refit")
            self._fit([train, validation], None, self._epochs, again)

    def _curve_of(self, history: Sequence[float]) -> Curve:
        """The metric that early stopping goes by, as people read it: of a loss the smallest is the best."""
        position, metric = stopping_metric(self.spec)
        sign = 1.0 if metric in HIGHER else -1.0
        name = metric if position is None or len(self._heads) == 1 else f"{metric} of {list(self._heads)[position]}"
        return Curve(name, "epoch", [sign * one for one in history], self._epochs)

    def _fit(
        self,
        train: Sequence[Examples],
        validation: Examples | None,
        epochs: int,
        context: FitContext,
    ) -> list[float]:
        """Fit once, and return how the epochs were judged; without ``validation``, calibrations are kept."""
        import keras

        statistics = learn(batches_of(train, self.inputs), self._layout, context.key, weight_of(train))
        starts = begin_heads(self.spec, train, context.key)
        keras.utils.set_random_seed(context.seed)
        strategy = tensorflow_strategy(context.hardware)
        with strategy.scope(), training_precision(context.hardware):
            fitted = FittedNetwork.build(self.spec, self._layout, statistics, starts, context.key)
        heads = [(self._heads[name], starts.learned[name]) for name in self._heads]
        with _folder_of_parts(context.checkpoints) as folder:
            packed = self._pack(train, fitted, heads, folder / "train")
            self._warn_of_same(packed.facts.same, context.key)
            if packed.facts.met:
                fitted = fitted.having_met(packed.facts.met)
            hiding = Hiding(self._layout, self.spec.features.unknown, packed.facts.unknown)
            task = TrainingTask(fitted.model, heads, self.spec.training, context.seed, strategy, hiding)
            judge = None
            if validation is not None:
                watched = self._pack([validation], fitted, heads, folder / "validation")
                judge = Judge(fitted.model, task.heads, watched, stopping_metric(self.spec))
            stops = judge if self.spec.training.early_stopping else None
            facts = json.dumps([self.spec.model_dump(mode="json"), context.seed, len(packed), epochs])
            history = train_network(task, packed, stops, epochs, context.checkpoints, facts)
            if judge is not None:
                self._calibrated = dict(self._calibrate(fitted.learned, judge))
            learned = {name: {**own, **self._calibrated.get(name, {})} for name, own in fitted.learned.items()}
        if context.hardware.wants_gpu:
            self._device = devices_of(fitted.model, strategy)
        rebuild = strategy.num_replicas_in_sync > 1 or context.hardware.mixed_precision
        self._fitted = fitted.finished(learned, anew=rebuild)  # scores in single precision on one device
        return history

    def memory_needed(self, rows: int, precision: str) -> int:
        """Estimate what examples need: labels and weights of all, and the matrices of those that are held at once.

        TensorFlow has a copy of the matrices of its own.
        """
        layout, held = self._layout, min(rows, self.spec.training.rows_in_memory)
        numbers = layout.width + layout.id_count + len(self._heads) + _BESIDE
        return 2 * NUMBER * numbers * held + _OF_ROW * rows

    def _warn_of_same(self, names: Sequence[str], key: str) -> None:
        if names:
            message = "after preprocessing, one value in all training examples; nothing is learned from it"
            logger.warning("%s: %s: %s", key, ", ".join(names), message)

    def _pack(
        self,
        examples: Sequence[Examples],
        fitted: FittedNetwork,
        heads: Sequence[tuple[Head, HeadState]],
        folder: Path,
    ) -> ExampleParts:
        rows = self.spec.training.rows_in_memory
        return pack(examples, self.inputs, heads, fitted.preprocess, rows, folder)

    def _calibrate(self, learned: Mapping[str, HeadState], judge: Judge) -> Iterator[tuple[str, HeadState]]:
        """Calibrate the heads by the validation period; yields what that changes of what each has learned."""
        for position, (margins, (name, head)) in enumerate(zip(judge.margins(), self._heads.items(), strict=True)):
            label = judge.label_of(position)
            known = ~np.isnan(label) & (judge.weight > 0)
            if known.any():
                after = head.calibrate(label[known], margins[known], judge.weight[known], learned[name])
                yield name, {key: value for key, value in after.items() if value != learned[name][key]}

    def score(self, columns: Columns) -> dict[str, npt.NDArray[np.float64]]:
        """Compute the outputs of each head, and what is exposed."""
        return self._fitted.scorer(columns)

    def save(self, folder: Path) -> None:
        """Write weights, statistics and a SavedModel; see :meth:`FittedNetwork.save`."""
        curve = {"curve": self._curve.as_text()} if self._curve else {}
        self._fitted.save(folder, epochs=self._epochs, **curve)

    @classmethod
    def load(cls, spec: ComponentSpec, inputs: Sequence[Input], folder: Path) -> Self:
        """Read what :meth:`save` wrote. The component scores with one thread."""
        limit_tensorflow(1)
        component = cls(spec, inputs)
        component._fitted, state = FittedNetwork.load(component.spec, component._layout, folder)
        component._epochs = state["epochs"]
        component._curve = Curve.from_text(state.get("curve"))
        return component

    def describe(self, categories: int, key: str) -> NetworkDescription:
        """Build the network without training it, and describe its inputs, shapes, weights and memory.

        Raises:
            UserError: Keras refuses a layer or its arguments.
        """
        from proml_kedro.models.deep.describe import describe
        from proml_kedro.models.deep.describe_text import NetworkDescription

        limit_tensorflow(1)
        return NetworkDescription(describe(self.spec, self.inputs, categories, key))

    def curve(self) -> Curve | None:
        """Return what early stopping goes by after each epoch; None when it does not stop early."""
        return self._curve

    def report(self, folder: Path, name: str) -> list[str]:
        """Draw a map of each table of categories but those of keys: which ones the network treats alike."""
        keys = {one.table for one in self._layout.categoricals if any(map(is_entity, one.of or (one.name,)))}
        tables = [one for one in self._fitted.embeddings() if len(one.names) >= FEWEST and one.table not in keys]
        return [line for one in tables for line in draw(folder, name, one)]

    def summary(self) -> dict[str, Any]:
        """Count the weights, and how often each example was seen; where a GPU was asked for, name what trained them."""
        device = {"device": self._device} if self._device else {}
        return {"weights": self._fitted.model.count_params(), "epochs": self._epochs, **device}


@contextmanager
def _folder_of_parts(checkpoints: Path | None) -> Iterator[Path]:
    """Make an empty folder for parts of examples, and remove it at the end.

    It is on the disk of the results, if there is one, since /tmp may be memory.
    """
    if checkpoints is None:
        folder = Path(mkdtemp(prefix="proml_kedro_"))
    else:
        folder = checkpoints / "parts"
        shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
