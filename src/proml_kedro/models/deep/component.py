"""``kind: deep`` as a component: learns statistics, builds the network, trains it, saves it as data."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from proml_kedro.errors import UserError
from proml_kedro.models.component import Columns, Component, Examples, FitContext, Input
from proml_kedro.models.deep.build import build
from proml_kedro.models.deep.check import check
from proml_kedro.models.deep.check_heads import judged_by
from proml_kedro.models.deep.data import batches_of, labels_of, pack
from proml_kedro.models.deep.devices import limit_tensorflow, tensorflow_strategy, training_precision
from proml_kedro.models.deep.export import export
from proml_kedro.models.deep.heads import Head, Learned
from proml_kedro.models.deep.judge import Judge
from proml_kedro.models.deep.layout import lay_out
from proml_kedro.models.deep.preprocess import Preprocess
from proml_kedro.models.deep.scorer import Scorer
from proml_kedro.models.deep.spec import DeepSpec
from proml_kedro.models.deep.statistics import Statistics, learn
from proml_kedro.models.deep.train import Task, best_epoch
from proml_kedro.models.deep.train import train as train_network
from proml_kedro.spec.model import ComponentSpec

if TYPE_CHECKING:
    from proml_kedro.models.deep.describe_text import NetworkDescription


@dataclass(frozen=True)
class _Fitted:
    """Everything that was learned.

    Attributes:
        statistics: Of the inputs.
        heads: What each head has learned besides weights.
        preprocess: Columns to matrices, by the statistics.
        model: ``keras.Model`` from the matrices to margins and exposed vectors.
        scorer: All of it as one traced function.
    """

    statistics: Statistics
    heads: dict[str, Learned]
    preprocess: Preprocess
    model: Any
    scorer: Scorer


def _folder_of_parts(checkpoints: Path | None) -> Path:
    """An empty folder for parts of examples: on the disk of the results, if there is one, since /tmp may be memory."""
    if checkpoints is None:
        return Path(mkdtemp(prefix="proml_kedro_"))
    folder = checkpoints / "parts"
    shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
    return folder


class Deep(Component):
    """A neural network over scaled numbers, vectors and embedded categories.

    Raises:
        UserError: The configuration has mistakes that show without data; their keys begin inside of the component.
    """

    Spec: ClassVar[type[ComponentSpec]] = DeepSpec
    spec: DeepSpec
    _fitted: _Fitted

    def __init__(self, spec: ComponentSpec, inputs: Sequence[Input]) -> None:
        super().__init__(spec, inputs)
        dtypes = {one.name: one.dtype for one in inputs}
        if mistakes := check(self.spec, dtypes):
            raise UserError(*mistakes)
        self._layout = lay_out(self.spec.features, dtypes)
        self._heads: dict[str, Head] = self.spec.all_heads()
        self._epochs = 0

    def fit(self, train: Examples, validation: Examples, context: FitContext) -> None:
        """Train until the validation period stops improving, then refit on both periods if that is asked for.

        Raises:
            UserError: Keras refuses a layer, a table stays without categories, a label is not of its sort, or the
                validation period cannot be judged by the metric.
        """
        self._check_validation(validation, context.key)
        limit_tensorflow(context.hardware.threads, context.hardware)
        training = self.spec.training
        history = self._fit([train], validation, training.epochs, context)
        self._epochs = best_epoch(history) if history else training.epochs
        if training.refit and context.final and history:
            learned = self._fitted.heads
            again = replace(context, checkpoints=context.checkpoints and context.checkpoints / "refit")
            self._fit([train, validation], None, self._epochs, again, calibrated=learned)

    def _judge(self) -> tuple[int | None, str]:
        """The head that early stopping goes by, as a position, and the metric."""
        name, metric = judged_by(self.spec) or (None, "loss")
        return (None if name is None else list(self._heads).index(name)), metric

    def _check_validation(self, validation: Examples, key: str) -> None:
        position, metric = self._judge()
        if self.spec.training.early_stopping is None:
            return
        label = labels_of([validation], list(self._heads.values()))[:, position or 0]
        label = label[~np.isnan(label)]
        here = f"{key}.training.early_stopping.metric"
        if not len(label):
            raise UserError.at(here, "no row of the validation period has the label that it judges by")
        if metric == "auc" and not 0 < (label > 0).mean() < 1:
            raise UserError.at(here, "the validation period has one class only; write loss")

    def _fit(
        self,
        train: Sequence[Examples],
        validation: Examples | None,
        epochs: int,
        context: FitContext,
        calibrated: dict[str, Learned] | None = None,
    ) -> list[float]:
        """Fit once; what was ``calibrated`` before is kept."""
        import keras

        training, heads = self.spec.training, list(self._heads.values())
        statistics = learn(batches_of(train, self.inputs), self._layout, context.key)
        starts, learned = self._begin(train, context.key)
        keras.utils.set_random_seed(context.seed)
        strategy = tensorflow_strategy(context.hardware)
        with strategy.scope(), training_precision(context.hardware):
            fitted = self._build(statistics, starts, learned, context.key)
        task = Task(
            fitted.model, [(self._heads[name], learned[name]) for name in learned], training, context.seed, strategy
        )
        temporary = _folder_of_parts(context.checkpoints)
        try:
            packed = pack(train, self.inputs, heads, fitted.preprocess, training.rows_in_memory, temporary / "train")
            judge = None
            if validation is not None:
                folder = temporary / "validation"
                watched = pack([validation], self.inputs, heads, fitted.preprocess, training.rows_in_memory, folder)
                judge = Judge(fitted.model, task.heads, watched, self._judge())
            stops = judge if training.early_stopping else None
            facts = json.dumps([self.spec.model_dump(mode="json"), context.seed, len(packed), epochs])
            history = train_network(task, packed, stops, epochs, context.checkpoints, facts)
            self._finish(
                fitted, judge, calibrated, strategy.num_replicas_in_sync > 1 or context.hardware.mixed_precision
            )
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return history

    def _begin(self, train: Sequence[Examples], key: str) -> tuple[dict[str, Sequence[float]], dict[str, Learned]]:
        """Where the biases of each head start, and what else it learns of its labels.

        Raises:
            UserError: A label is not what its head learns.
        """
        labels = labels_of(train, list(self._heads.values()))
        starts: dict[str, Sequence[float]] = {}
        learned: dict[str, Learned] = {}
        for position, (name, head) in enumerate(self._heads.items()):
            here = f"{key}.head" if self.spec.head else f"{key}.heads.{name}"
            known = labels[:, position][~np.isnan(labels[:, position])]
            if not len(known):
                raise UserError.at(f"{here}.label", "no row of the training period has this label")
            try:
                starts[name], learned[name] = head.begin(known)
            except ValueError as error:
                raise UserError.at(
                    f"{here}.loss", f"the label {head.label or ''} {error}".replace("  ", " ")
                ) from error
        return starts, learned

    def _finish(
        self, fitted: _Fitted, judge: Judge | None, calibrated: dict[str, Learned] | None, rebuild: bool
    ) -> None:
        """Calibrate the heads, and build the network again in single precision where it was trained in another way."""
        learned = dict(calibrated or fitted.heads)
        if judge is not None:
            for position, (margins, (name, head)) in enumerate(zip(judge.margins(), self._heads.items(), strict=True)):
                known = ~np.isnan(judge.labels[:, position])
                if known.any():
                    learned[name] = head.calibrate(judge.labels[known, position], margins[known], learned[name])
        model = fitted.model
        if rebuild:
            model = self._build(fitted.statistics, self._no_starts(), learned, "model").model
            model.set_weights(fitted.model.get_weights())
        self._fitted = self._assemble(fitted.statistics, learned, fitted.preprocess, model)

    def _no_starts(self) -> dict[str, Sequence[float]]:
        return {name: [0.0] * head.units for name, head in self._heads.items()}

    def _build(
        self, statistics: Statistics, starts: dict[str, Sequence[float]], learned: dict[str, Learned], key: str
    ) -> _Fitted:
        model = build(self.spec, self._layout, statistics, starts, key).model
        return self._assemble(statistics, learned, Preprocess(self._layout, statistics), model)

    def _assemble(
        self, statistics: Statistics, learned: dict[str, Learned], preprocess: Preprocess, model: Any
    ) -> _Fitted:
        heads = [(self._heads[name], learned[name]) for name in self._heads]
        scorer = Scorer(preprocess, model, heads, self.spec.output_names("binary"))
        return _Fitted(statistics, learned, preprocess, model, scorer)

    def score(self, columns: Columns) -> dict[str, npt.NDArray[np.float64]]:
        """The outputs of each head, and what is exposed."""
        return self._fitted.scorer(columns)

    def save(self, folder: Path) -> None:
        """``weights.npz``, arrays in the order in which the network is built, ``statistics.json``, and ``saved_model``.

        The last is for whoever serves without Python; :meth:`load` has no need of it.
        """
        fitted = self._fitted
        weights = {str(position): values for position, values in enumerate(fitted.model.get_weights())}
        np.savez(folder / "weights.npz", **weights)
        heads = {name: dict(learned) for name, learned in fitted.heads.items()}
        state = {"epochs": self._epochs, "heads": heads, **fitted.statistics.as_json()}
        (folder / "statistics.json").write_text(json.dumps(state))
        export(fitted.scorer, folder / "saved_model")

    @classmethod
    def load(cls, spec: ComponentSpec, inputs: Sequence[Input], folder: Path) -> Self:
        """What :meth:`save` wrote: the network is built again from its declaration. It scores with one thread."""
        limit_tensorflow(1)
        component = cls(spec, inputs)
        state = json.loads((folder / "statistics.json").read_text())
        component._epochs, heads = state.pop("epochs"), state.pop("heads")
        fitted = component._build(Statistics(**state), component._no_starts(), heads, "model")
        component._fitted = fitted
        with np.load(folder / "weights.npz", allow_pickle=False) as weights:
            fitted.model.set_weights([weights[str(position)] for position in range(len(weights.files))])
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

    def summary(self) -> dict[str, Any]:
        """How many weights there are, and how often each example was seen."""
        return {"weights": self._fitted.model.count_params(), "epochs": self._epochs}
