"""``conf/evaluation/*.yaml``: by which figures, and against what, a model is judged."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from proml_kedro.spec.base import Spec
from proml_kedro.spec.model import ModelSpec

Metric = Literal["auc", "average_precision", "logloss", "brier", "calibration_error"]


class ComparisonSpec(Spec):
    """How sure a difference is, by a paired bootstrap.

    Attributes:
        cluster_by: What is drawn as a whole: ``day`` (of the split's time zone), an entity, or ``row``. Rows of one
            day resemble each other; drawn one by one they make a difference look surer than it is.
        resamples: Number of bootstrap samples.
        confidence: Share of samples that the interval holds.
    """

    cluster_by: str = "day"
    resamples: Annotated[int, Field(ge=20, le=100_000)] = 200
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95


class EvaluationSpec(Spec):
    """Metrics on the test period, and the comparison with a baseline.

    Attributes:
        baseline: A second model, trained on the same examples; none when left out.
        metrics: What to compute; the first one decides.
    """

    baseline: ModelSpec | None = None
    metrics: Annotated[list[Metric], Field(min_length=1)] = ["auc", "logloss", "brier", "calibration_error"]
    compare: ComparisonSpec = ComparisonSpec()
