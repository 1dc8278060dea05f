"""What the YAML of ``kind: xgboost`` may say."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, model_validator

from proml_kedro.spec.base import Spec
from proml_kedro.spec.model import ComponentSpec

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
    base_score: Annotated[float, Field(gt=0, lt=1)] | None = None
    tree_method: Literal["hist", "approx"] = "hist"
    grow_policy: Literal["depthwise", "lossguide"] | None = None
    num_parallel_tree: PositiveInt | None = None
    monotone_constraints: dict[str, Literal[-1, 0, 1]] | None = None
    interaction_constraints: list[list[str]] | None = None

    @model_validator(mode="before")
    @classmethod
    def _accept_aliases(cls, value: Any) -> Any:
        return {_ALIASES.get(key, key): one for key, one in value.items()} if isinstance(value, dict) else value


class XGBoostSpec(ComponentSpec):
    """Gradient-boosted trees.

    Attributes:
        num_boost_round: Most trees there can be.
        early_stopping_rounds: Stop when the validation period has not improved for so many trees; 0 for never.
        eval_metric: By which the validation period is judged.
        refit: Train again on training and validation period together, with the number of trees that was found.
        params: XGBoost's own parameters.
    """

    kind: Literal["xgboost"]
    num_boost_round: Annotated[int, Field(ge=1, le=100_000)] = 100
    early_stopping_rounds: Annotated[int, Field(ge=0)] = 0
    eval_metric: Literal["logloss", "auc", "aucpr", "error"] = "logloss"
    refit: bool = True
    params: XGBoostParams = XGBoostParams()
