"""What the YAML of ``kind: xgboost`` may say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PositiveInt, model_validator

from proml_kedro.errors import Mistake
from proml_kedro.spec.base import Spec
from proml_kedro.spec.dtype import Dtype
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
        return {_ALIASES.get(key, key): one for key, one in value.items()} if isinstance(value, dict) else value


_METRICS: dict[Task, tuple[str, ...]] = {
    "binary": ("logloss", "auc", "aucpr", "error"),
    "regression": ("rmse", "mae"),
    "count": ("poisson-nloglik", "rmse", "mae"),
}


class XGBoostSpec(ComponentSpec):
    """Gradient-boosted trees: of the log-odds of a truth value, of a number itself, of the logarithm of a count's mean.

    Attributes:
        num_boost_round: Most trees there can be.
        early_stopping_rounds: Stop when the validation period has not improved for so many trees; 0 for never.
        eval_metric: By which the validation period is judged: `logloss`, `auc`, `aucpr` or `error` of a truth value,
            `rmse` or `mae` of a number, `poisson-nloglik`, `rmse` or `mae` of a count; the first one when left out.
        refit: Train again on training and validation period together, with the number of trees that was found.
        params: XGBoost's own parameters.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset(_METRICS)

    kind: Literal["xgboost"]
    num_boost_round: Annotated[int, Field(ge=1, le=100_000)] = 100
    early_stopping_rounds: Annotated[int, Field(ge=0)] = 0
    eval_metric: Literal["logloss", "auc", "aucpr", "error", "rmse", "mae", "poisson-nloglik"] | None = None
    refit: bool = True
    params: XGBoostParams = XGBoostParams()

    def metric(self, task: Task) -> str:
        """By what the validation period is judged."""
        return self.eval_metric or _METRICS[task][0]

    def check(self, inputs: Mapping[str, Dtype], problem: ProblemSpec) -> list[Mistake]:
        """Settings that are of another task."""
        task, params = problem.label.task, self.params
        if task not in _METRICS:
            return []
        mistakes = []
        if self.metric(task) not in _METRICS[task]:
            message = f"'{self.eval_metric}' is not for a label of task '{task}'; there are {', '.join(_METRICS[task])}"
            mistakes.append(Mistake("eval_metric", message))
        if task != "binary" and params.scale_pos_weight is not None:
            mistakes.append(Mistake("params.scale_pos_weight", f"is for truth values; the label is of task '{task}'"))
        is_mean = params.base_score is None or task == "regression" or params.base_score > 0
        if not is_mean or (task == "binary" and (params.base_score or 0) >= 1):
            wanted = "between 0 and 1, a probability" if task == "binary" else "more than 0, a mean of counts"
            mistakes.append(Mistake("params.base_score", f"must be {wanted}, not {params.base_score:g}"))
        return mistakes
