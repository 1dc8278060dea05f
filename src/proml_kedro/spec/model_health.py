"""``health`` of ``conf/monitoring/*.yaml``: how a model's predictions are judged by labels that come later."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from proml_kedro.spec.base import PositiveDuration, Spec


class HealthSpec(Spec):
    """How `kedro health report` judges the log of predictions.

    Attributes:
        every: Length of the periods that are judged one by one; that of `current` when left out, for which the limits
            of the gate are.
        matures_after: How long after a prediction its label counts as settled. Younger predictions are not judged yet,
            and labels that become known later do not count, so that periods can be compared: where sales are known
            at once and the lack of one after a month, a young period looks better than it is. When left out, each
            label counts as soon as it is known.
        cluster_by: What makes rows a cluster for intervals: `row`, `request`, `hour`, `day`, or a key. When left out,
            `day` in periods of at least 10 days, otherwise `hour`.
        slices: Keys and features by whose 20 most frequent values the first metric is told apart.
        min_labels: With fewer labels a period is not judged.
        min_coverage: With labels for a smaller share of its predictions a period is not judged, but estimated.
    """

    every: PositiveDuration | None = None
    matures_after: PositiveDuration | None = None
    cluster_by: str | None = None
    slices: list[str] = []
    min_labels: Annotated[int, Field(ge=10)] = 100
    min_coverage: Annotated[float, Field(ge=0, le=1)] = 0.8
