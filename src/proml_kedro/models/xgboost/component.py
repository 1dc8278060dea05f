"""``kind: xgboost``: gradient-boosted trees (Chen and Guestrin, KDD 2016)."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from proml_kedro.errors import UserError
from proml_kedro.hardware import xgboost_settings
from proml_kedro.models.columns import Vocabulary, mean_of, to_matrix
from proml_kedro.models.component import NUMBER, Columns, Component, Examples, Explanation, FitContext, Input
from proml_kedro.models.curve import Curve
from proml_kedro.models.progress import progress
from proml_kedro.models.xgboost.dense import DenseMargin, fast_margin
from proml_kedro.models.xgboost.matrices import is_in_parts, memory_of_quantiles, quantiles_in_parts, vocabularies_of
from proml_kedro.models.xgboost.pairs import PairObjective, weighs_pairs
from proml_kedro.models.xgboost.propensity import PlaceError, Propensity
from proml_kedro.models.xgboost.ranking import Calibration, by_group, weight_of_groups
from proml_kedro.models.xgboost.spec import Objective, XGBoostSpec
from proml_kedro.spec.model import ComponentSpec, score_output
from proml_kedro.spec.problem import Task

_OBJECTIVES: dict[Task, str] = {
    "binary": "binary:logistic",
    "multiclass": "multi:softprob",
    "regression": "reg:squarederror",
    "count": "count:poisson",
}
_OWN: dict[Objective, str] = {
    "pairwise": "rank:pairwise",
    "listwise": "rank:ndcg",
    "quantile": "reg:quantileerror",
    "tweedie": "reg:tweedie",
}
"""Objectives that stand whatever the task is."""

_LARGE_IS_GOOD = ("auc", "aucpr", "ndcg", "map")
"""Metrics of XGBoost of which more is better."""


class XGBoost(Component):
    """Gradient-boosted trees over numbers and categories; missing values and unknown categories go their own way."""

    Spec: ClassVar[type[ComponentSpec]] = XGBoostSpec
    scores_rows_exactly: ClassVar[bool] = True
    spec: XGBoostSpec

    def __init__(self, spec: ComponentSpec, inputs: Sequence[Input]) -> None:
        super().__init__(spec, inputs)
        place = self.spec.propensity.position if self.spec.propensity else None
        self._features = tuple(one for one in self.inputs if one.name != place)
        self._propensity: Propensity | None = None  # of the last fit
        self._vocabularies: dict[str, Vocabulary] = {}
        self._booster: Any = None
        self._dense: DenseMargin | None = None  # of trees that were loaded, to be asked for few rows at a time
        self._task: Task = "binary"
        self._calibration = Calibration()  # of trees that learn an order
        self._curve: Curve | None = None
        self._device: str | None = None  # where it was fitted, if that was to be a GPU
        self._origin = 0.0  # is taken off numbers, which XGBoost holds in float32: 1.7e9 has steps of 128 there

    def fit(self, train: Examples, validation: Examples, context: FitContext) -> None:
        """Grow trees until the validation period stops improving, then refit on both periods if that is asked for.

        Raises:
            UserError: XGBoost does not know a parameter, or refuses its value, or a label is negative under
                objective ``tweedie``.
        """
        self._task = context.task
        if self._is_tweedie:
            for part, rows in (("training", train), ("validation", validation)):
                if negative := int((rows.label < 0).sum()):
                    found = f"{negative:,} labels of the {part} part are"
                    message = f"'tweedie' learns numbers that are never negative, and {found}"
                    raise UserError.at(f"{context.key}.objective", message)
        judged = validation
        if self.spec.learns_order:
            train, validation = by_group(train), by_group(validation)
        self._vocabularies = self._learn_vocabularies(train, context)
        params = self._params(context)
        rounds = self.spec.num_boost_round
        self._booster = self._train(params, train, validation, rounds, context)
        if self.spec.learns_order:
            self._calibration = Calibration.of(self._margin(judged.columns), judged.label, judged.weight)
        if self.spec.refit and context.final and self.spec.early_stopping_rounds:
            both = train.join(validation)
            self._vocabularies = vocabularies_of(both, self._features)
            self._booster = self._train(params, both, None, self._booster.num_boosted_rounds(), context)

    def _learn_vocabularies(self, examples: Examples, context: FitContext) -> dict[str, Vocabulary]:
        if context.shared is None or is_in_parts(examples, self._features):
            return vocabularies_of(examples, self._features)
        texts = [one.name for one in self._features if one.is_categorical]
        arrays = [examples.columns[name] for name in texts]
        make = partial(vocabularies_of, examples, self._features)
        return context.shared.take(arrays, ("xgboost vocabularies", *texts), make)

    @property
    def _is_tweedie(self) -> bool:
        return self.spec.objective == "tweedie"

    def _params(self, context: FitContext) -> dict[str, Any]:
        return {
            **self.spec.params.model_dump(exclude_none=True),
            **xgboost_settings(context.hardware),
            "objective": _OWN.get(self.spec.objective, _OBJECTIVES[context.task]),
            "eval_metric": self.spec.metric(context.task),
            "seed": context.seed,
            **self._of_objective(context),
        }

    def _of_objective(self, context: FitContext) -> dict[str, Any]:
        """Parameters that the objective needs."""
        if context.task == "multiclass":
            return {"num_class": context.classes}
        if self.spec.objective == "quantile":
            return {"quantile_alpha": self.spec.said_quantile}
        if self.spec.objective == "tweedie":
            power, metric = self.spec.tweedie_power or 1.5, self.spec.metric(context.task)
            named = f"{metric}@{power}" if metric == "tweedie-nloglik" else metric
            return {"tweedie_variance_power": power, "eval_metric": named}
        return {}

    def _train(
        self, params: dict[str, Any], train: Examples, validation: Examples | None, rounds: int, context: FitContext
    ) -> Any:
        import xgboost

        self._origin = _origin_of(train) if context.task == "regression" and not self._is_tweedie else 0.0
        if self._origin and "base_score" in params:
            params = {**params, "base_score": params["base_score"] - self._origin}
        data = self._quantiles(train, params, context)
        watched = [(self._quantiles(validation, params, context, data), "validation")] if validation else []
        judged: dict[str, dict[str, list[float]]] = {}
        objective = self._objective_of(train, context)
        with warnings.catch_warnings(record=True) as caught, progress("trees", rounds) as advance:
            warnings.simplefilter("always")
            callbacks = [_bar(advance), *([_watcher(context.watch)] if context.watch and validation else [])]
            if validation and self.spec.early_stopping_rounds:
                callbacks.append(xgboost.callback.EarlyStopping(self.spec.early_stopping_rounds, save_best=True))
            try:
                booster = xgboost.train(
                    params,
                    data,
                    rounds,
                    watched,
                    obj=objective,
                    callbacks=callbacks,
                    evals_result=judged,
                    verbose_eval=False,
                )
            except (xgboost.core.XGBoostError, ValueError) as error:
                reason = str(error).partition("Stack trace")[0].strip().splitlines()[-1]
                raise UserError.at(f"{context.key}.params", f"XGBoost refuses them: {reason}") from error
        unused = [str(one.message) for one in caught if "are not used" in str(one.message)]
        if unused:  # XGBoost only warns of a parameter that it ignores
            raise UserError.at(f"{context.key}.params", " ".join(unused[0].split()))
        if context.hardware.wants_gpu:
            self._device = json.loads(booster.save_config())["learner"]["generic_param"]["device"]
        if watched:
            ((metric, values),) = judged["validation"].items()
            self._curve = Curve(metric, "tree", values, booster.num_boosted_rounds())
        return booster

    def _objective_of(self, train: Examples, context: FitContext) -> PairObjective | None:
        """The objective where XGBoost's own would not do: of rows that count differently within a group.

        Raises:
            UserError: There are too many pairs, or a place is not known.
        """
        wanted = self.spec.propensity
        try:
            if wanted is not None:
                self._propensity = Propensity.of(wanted, train, self._features, context)
                train = self._propensity.weighed(train)
            if not self.spec.learns_order or not weighs_pairs(train):
                return None
            return PairObjective(train, self.spec.objective == "listwise")
        except ValueError as error:
            place = "propensity.position" if isinstance(error, PlaceError) else "objective"
            raise UserError.at(f"{context.key}.{place}", str(error)) from error

    def _quantiles(self, examples: Examples, params: dict[str, Any], context: FitContext, reference: Any = None) -> Any:
        settings = {"max_bin": params.get("max_bin", 256), "nthread": params["nthread"], "enable_categorical": True}
        label = examples.label - self._origin
        if is_in_parts(examples, self._features):
            return quantiles_in_parts(examples, self._features, self._vocabularies, label, ref=reference, **settings)
        make = partial(self._matrix, examples, label, settings, reference)
        if context.shared is None or self.spec.learns_order:  # rows are put in order anew each time
            return make()
        arrays = [examples.columns[one.name] for one in self._features]
        made_from = [*arrays, examples.label, examples.weight, reference, self._vocabularies]
        names = tuple((one.name, one.is_categorical) for one in self._features)
        return context.shared.take(made_from, ("xgboost", names, self._origin, *settings.items()), make)

    def _matrix(self, examples: Examples, label: Any, settings: dict[str, Any], reference: Any) -> Any:
        import xgboost

        return xgboost.QuantileDMatrix(
            to_matrix(examples.columns, self._features, self._vocabularies),
            label,
            weight=weight_of_groups(examples) if self.spec.learns_order else examples.weight,
            qid=examples.group if self.spec.learns_order else None,
            feature_names=[one.name for one in self._features],
            feature_types=["c" if one.is_categorical else "q" for one in self._features],
            ref=reference,
            **settings,
        )

    def memory_needed(self, rows: int, precision: str) -> int:
        """Estimate what XGBoost holds; rows that have an order are held as columns and side by side too."""
        held = NUMBER + np.dtype(precision).itemsize if self.spec.learns_order else 0
        return memory_of_quantiles(rows, len(self._features)) + rows * len(self._features) * held

    def score(self, columns: Columns) -> dict[str, npt.NDArray[np.float64]]:
        """Compute margin (log-odds, a number, the logarithm of a mean, or what to order by) and probability or mean.

        Where the label has several classes it is the probability of each; shape (n, classes).
        """
        margin = self._margin(columns)
        if self._task == "multiclass":
            return {score_output(self._task): mean_of(margin, self._task)}
        if self.spec.learns_order:
            return {"margin": margin, "probability": self._calibration.probability(margin)}
        # Of Tweedie's margin the mean is the exponential, as of that of a count.
        return {
            "margin": margin,
            score_output(self._task): mean_of(margin, "count" if self._is_tweedie else self._task),
        }

    def _margin(self, columns: Columns) -> npt.NDArray[np.float64]:
        matrix = to_matrix(columns, self._features, self._vocabularies)
        if self._dense is not None and len(matrix):
            margin = self._dense(matrix)
        else:
            margin = self._booster.inplace_predict(matrix, predict_type="margin", validate_features=False)
        return np.asarray(margin, np.float64) + self._origin

    def explain(self, columns: Columns) -> Explanation | None:
        """Divide margins among the inputs by TreeSHAP (Lundberg et al., Nature Machine Intelligence 2020).

        None where the label has several classes, each of which has a margin.
        """
        if self._task == "multiclass":
            return None
        import xgboost

        matrix = xgboost.DMatrix(
            to_matrix(columns, self._features, self._vocabularies),
            feature_names=[one.name for one in self._features],
            feature_types=["c" if one.is_categorical else "q" for one in self._features],
            enable_categorical=True,
            nthread=1,
        )
        found = np.asarray(self._booster.predict(matrix, pred_contribs=True), np.float64)
        contributions = {one.name: np.zeros(len(found)) for one in self.inputs}  # of places nothing is added
        contributions |= {one.name: found[:, position] for position, one in enumerate(self._features)}
        return Explanation(found[:, -1] + self._origin, contributions)

    def save(self, folder: Path) -> None:
        """Write ``model.ubj`` in XGBoost's binary JSON, which holds the task too, and ``categories.json``."""
        learned = {**vars(self._calibration), "origin": self._origin}
        curve = {"curve": self._curve.as_text()} if self._curve else {}
        self._booster.set_attr(task=self._task, **curve, **{name: repr(value) for name, value in learned.items()})
        # Written by Python, whose errors of a full disk are known as such.
        (folder / "model.ubj").write_bytes(self._booster.save_raw("ubj"))
        categories = {name: vocabulary.categories for name, vocabulary in self._vocabularies.items()}
        (folder / "categories.json").write_text(json.dumps(categories))

    @classmethod
    def load(cls, spec: ComponentSpec, inputs: Sequence[Input], folder: Path) -> Self:
        """Read what :meth:`save` wrote; the component scores with one thread."""
        import xgboost

        component = cls(spec, inputs)
        component._booster = xgboost.Booster({"nthread": 1}, model_file=folder / "model.ubj")
        component._dense = fast_margin(component._booster, xgboost.core._LIB, len(component._features))
        component._task = component._booster.attr("task")
        slope, offset, origin = (float(component._booster.attr(name)) for name in ("slope", "offset", "origin"))
        component._calibration, component._origin = Calibration(slope, offset), origin
        component._curve = Curve.from_text(component._booster.attr("curve"))
        categories = json.loads((folder / "categories.json").read_text())
        component._vocabularies = {name: Vocabulary(known) for name, known in categories.items()}
        return component

    def importance(self) -> dict[str, float]:
        """Share of each input in the gain that splits brought in the objective."""
        gain = self._booster.get_score(importance_type="total_gain")
        total = sum(gain.values()) or 1.0
        return {one.name: gain.get(one.name, 0.0) / total for one in self.inputs}

    def curve(self) -> Curve | None:
        """Return the metric of the validation period after each tree."""
        return self._curve

    def summary(self) -> dict[str, Any]:
        """Count the trees; where a GPU was asked for, name the device that grew them."""
        device = {"device": self._device} if self._device else {}
        propensity = self._propensity.facts() if self._propensity else {}
        return {"trees": self._booster.num_boosted_rounds(), **propensity, **device}


def _origin_of(examples: Examples) -> float:
    """Compute the mean label by weight, from which trees that learn a number start."""
    weight = examples.weight if examples.weight is not None and examples.weight.any() else None
    return float(np.average(examples.label, weights=weight))


def _bar(advance: Callable[[], None]) -> Any:
    """Make an XGBoost callback that advances a progress bar by one for each tree."""
    import xgboost

    class Bar(xgboost.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            advance()
            return False

    return Bar()


def _watcher(watch: Callable[[str, float], None]) -> Any:
    """Make an XGBoost callback that tells somebody the validation period's figure after each tree."""
    import xgboost

    class Watcher(xgboost.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            ((name, figures),) = evals_log["validation"].items()
            watch(f"xgboost {name}", -float(figures[-1]) if name in _LARGE_IS_GOOD else float(figures[-1]))
            return False

    return Watcher()
