"""What the YAML of ``kind: xgboost`` may say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PositiveInt, model_validator

from proml_kedro.errors import Mistake, unknown
from proml_kedro.spec.base import Spec
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.hardware import Device
from proml_kedro.spec.model import ComponentSpec
from proml_kedro.spec.problem import ProblemSpec, Task

_ALIASES = {"eta": "learning_rate", "lambda": "reg_lambda", "alpha": "reg_alpha", "min_split_loss": "gamma"}

Share = Annotated[float, Field(gt=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]


class XGBoostParams(Spec):
    """XGBoost's own parameters for trees, by its own names; one left out has XGBoost's default.

    Threads, device, seed and objective are not here: they come from ``hardware``, ``seed`` and the problem's task.
    """

    learning_rate: Share | None = None
    gamma: NotNegative | None = None
    max_depth: Annotated[int, Field(ge=0, le=64)] | None = None
    max_leaves: Annotated[int, Field(ge=0)] | None = None
    max_bin: Annotated[int, Field(ge=2)] | None = None
    max_cat_to_onehot: PositiveInt | None = None
    max_cat_threshold: PositiveInt | None = None
    max_delta_step: NotNegative | None = None
    min_child_weight: NotNegative | None = None
    subsample: Share | None = None
    sampling_method: Literal["uniform", "gradient_based"] | None = None
    colsample_bytree: Share | None = None
    colsample_bylevel: Share | None = None
    colsample_bynode: Share | None = None
    reg_lambda: NotNegative | None = None
    reg_alpha: NotNegative | None = None
    scale_pos_weight: NotNegative | None = None
    base_score: float | None = None
    tree_method: Literal["hist", "approx"] = "hist"
    grow_policy: Literal["depthwise", "lossguide"] | None = None
    num_parallel_tree: PositiveInt | None = None
    monotone_constraints: dict[str, Literal[-1, 0, 1]] | None = None
    interaction_constraints: list[list[str]] | None = None

    @model_validator(mode="before")
    @classmethod
    def _accept_aliases(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        for alias, name in _ALIASES.items():
            if alias in value and name in value:
                raise ValueError(f"{name}: '{alias}' is another name of it and is given too; leave one of them out")
        return {_ALIASES.get(key, key): one for key, one in value.items()}


class PropensitySpec(Spec):
    """How likely a place in a list is looked at, by which clicks that were unlikely to be seen count more.

    Attributes:
        position: The input that holds the place, from 1. It is no feature of the trees then.
        curve: ``power``: places are looked at like place^-e; ``each`` place for itself.
        at_most: Largest weight of a click.
    """

    position: str
    curve: Literal["power", "each"] = "power"
    at_most: Annotated[float, Field(ge=1)] = 20.0


_METRICS: dict[Task, tuple[str, ...]] = {
    "binary": ("logloss", "auc", "aucpr", "error"),
    "multiclass": ("mlogloss", "merror", "auc"),
    "regression": ("rmse", "mae"),
    "count": ("poisson-nloglik", "rmse", "mae"),
}


_RANKING_METRICS = ("ndcg", "map", "auc")

EvalMetric = Literal[
    "logloss",
    "auc",
    "aucpr",
    "error",
    "mlogloss",
    "merror",
    "rmse",
    "mae",
    "quantile",
    "tweedie-nloglik",
    "poisson-nloglik",
    "ndcg",
    "map",
]
Objective = Literal["pointwise", "pairwise", "listwise", "quantile", "tweedie"]

_METRICS_OF: dict[Objective, tuple[str, ...]] = {
    "pairwise": _RANKING_METRICS,
    "listwise": _RANKING_METRICS,
    "quantile": ("quantile", "mae"),
    "tweedie": ("tweedie-nloglik", "rmse", "mae"),
}
"""What the validation period can be judged by, where the objective and not the task decides."""


class XGBoostSpec(ComponentSpec):
    """Gradient-boosted trees: of the log-odds of a truth value, of a number itself, of the logarithm of a count's mean.

    One of several classes has trees of its own for each, whose margins a softmax makes probabilities of.

    Attributes:
        objective: What is learned. `pointwise`: each label for itself. `pairwise` and `listwise`: to put the positive
            rows of a group (the problem's `examples.group`) before the others, by comparing pairs of rows, or pairs
            weighted by what they change in NDCG; a pair has the weight of its positive row. A logistic regression on
            the validation period then makes a probability of the margin. Of a number, `quantile`: what it stays below
            as often as `quantile` says, instead of its mean; `tweedie`: the mean of a number that is often 0 and never
            negative, such as what an insured claims.
        quantile: Of objective `quantile`; 0.5, the median, when left out. The output `mean` is then this quantile.
        tweedie_power: Of objective `tweedie`: the variance is the mean to that power, between 1 (counts) and 2 (sizes);
            1.5 when left out.
        num_boost_round: Most trees there can be; of classes each round grows a tree for every class.
        early_stopping_rounds: Stop when the validation period has not improved for so many trees; 0 for never.
        eval_metric: By which the validation period is judged: `logloss`, `auc`, `aucpr` or `error` of a truth value,
            `mlogloss`, `merror` or `auc` (each class against the others) of classes, `rmse` or `mae` of a number
            (`quantile` or `mae` of its quantile, `tweedie-nloglik`, `rmse` or `mae` of objective `tweedie`),
            `poisson-nloglik`, `rmse` or `mae` of a count; `ndcg`, `map` or `auc` (within groups) of an order. The first
            one when left out.
        refit: Train again on training and validation period together, with the number of trees that was found.
        propensity: Of an order: weigh the pairs of a clicked row by one over the probability that its place was looked
            at, which is learned from the other inputs and the logged places.
        params: XGBoost's own parameters.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset(_METRICS)
    requires: ClassVar[tuple[str, ...]] = ("xgboost", "numpy")
    example_change: ClassVar[str | None] = "params.max_depth=4"
    takes_weights: ClassVar[bool] = True
    hardware_keys: ClassVar[frozenset[str]] = frozenset({"device", "allow_cpu", "threads"})
    devices: ClassVar[tuple[Device, ...]] = ("cpu", "gpu")
    one_at_a_time: ClassVar[bool] = True

    kind: Literal["xgboost"]
    objective: Objective = "pointwise"
    quantile: Annotated[float, Field(gt=0, lt=1)] | None = None
    tweedie_power: Annotated[float, Field(gt=1, lt=2)] | None = None
    num_boost_round: Annotated[int, Field(ge=1, le=100_000)] = 100
    early_stopping_rounds: Annotated[int, Field(ge=0)] = 0
    eval_metric: EvalMetric | None = None
    refit: bool = True
    propensity: PropensitySpec | None = None
    params: XGBoostParams = XGBoostParams()

    @property
    def learns_order(self) -> bool:
        """Tell whether rows are compared with others of their group."""
        return self.objective in ("pairwise", "listwise")

    @property
    def said_quantile(self) -> float | None:
        """Return the quantile that scores are, where they are no mean."""
        return (self.quantile or 0.5) if self.objective == "quantile" else None

    def metric(self, task: Task) -> str:
        """Name the metric that the validation period is judged by."""
        return self.eval_metric or self._metrics(task)[0]

    def _metrics(self, task: Task) -> tuple[str, ...]:
        return _METRICS_OF.get(self.objective, _METRICS[task])

    def check(self, inputs: Mapping[str, Dtype], problem: ProblemSpec) -> list[Mistake]:
        """Find settings that are of another task."""
        task, params = problem.label.task, self.params
        if task not in _METRICS:
            return []
        mistakes = []
        if self.learns_order and (task != "binary" or problem.examples.group is None):
            lacks = "problem.examples.group" if task == "binary" else "a label of task 'binary'"
            mistakes.append(
                Mistake("objective", f"'{self.objective}' learns the order within groups and needs {lacks}")
            )
        mistakes += self._check_numbers(task)
        mistakes += self._check_propensity(inputs)
        if self.metric(task) not in self._metrics(task):
            what = f"objective '{self.objective}'" if self.objective in _METRICS_OF else f"a label of task '{task}'"
            message = f"'{self.eval_metric}' is not for {what}; there are {', '.join(self._metrics(task))}"
            mistakes.append(Mistake("eval_metric", message))
        if task != "binary" and params.scale_pos_weight is not None:
            mistakes.append(Mistake("params.scale_pos_weight", f"is for truth values; the label is of task '{task}'"))
        if task == "multiclass" and params.base_score is not None:
            message = "means nothing where there are several classes: the same would be added to the margin of each"
            return [*mistakes, Mistake("params.base_score", f"{message}; leave it out")]
        any_number = task == "regression" and self.objective != "tweedie"
        is_mean = params.base_score is None or any_number or params.base_score > 0
        if not is_mean or (task == "binary" and (params.base_score or 0) >= 1):
            positive = "more than 0, a mean of counts" if task == "count" else "more than 0, a mean"
            wanted = "between 0 and 1, a probability" if task == "binary" else positive
            mistakes.append(Mistake("params.base_score", f"must be {wanted}, not {params.base_score:g}"))
        return mistakes

    def _check_propensity(self, inputs: Mapping[str, Dtype]) -> Iterator[Mistake]:
        if self.propensity is None:
            return
        if not self.learns_order:
            yield Mistake("propensity", "weighs pairs of rows; write objective: pairwise or listwise")
        place = self.propensity.position
        if place not in inputs:
            yield Mistake("propensity.position", unknown("input", place, inputs) + " It has to be one of inputs.")
        elif inputs[place] not in ("int", "float"):
            yield Mistake("propensity.position", f"'{place}' is no number; places are counted from 1")
        elif len(inputs) == 1:
            yield Mistake("inputs", f"there is no input but '{place}', which is no feature of the trees")

    def _check_numbers(self, task: Task) -> Iterator[Mistake]:
        """Find objectives of numbers where the label is none, and their keys under another objective."""
        if self.objective in ("quantile", "tweedie") and task != "regression":
            yield Mistake("objective", f"'{self.objective}' learns numbers; the label is of task '{task}'")
        for key, objective in (("quantile", "quantile"), ("tweedie_power", "tweedie")):
            if getattr(self, key) is not None and self.objective != objective:
                yield Mistake(key, f"is for objective '{objective}', and the objective is '{self.objective}'")
