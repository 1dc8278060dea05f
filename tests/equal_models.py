"""Pairs of models that are equally good, with errors that rows of a cluster share."""

from __future__ import annotations

import numpy as np

from proml_kedro.evaluation.rows import Grouping, ModelScores, ScoredRows
from proml_kedro.spec import EvaluationSpec
from proml_kedro.spec.evaluation import RankingSpec

NAMES = ("auc", "logloss", "brier", "calibration_error", "ndcg@5")
SPEC = EvaluationSpec.model_validate({"metrics": list(NAMES[:-1])})
RANKING = RankingSpec.model_validate({"metrics": [NAMES[-1]]})


def rows_of_equal_models(generator, clusters, likeness, lists=4, length=5):
    """Two models that err alike: by as much, each in its own way, and in part the same for all rows of a cluster.

    Args:
        likeness: Intraclass correlation, of the labels' latent variable and of each model's errors.
    """
    rows = clusters * lists * length
    cluster = np.repeat(np.arange(clusters), lists * length)
    shared, own = np.sqrt(likeness), np.sqrt(1 - likeness)
    known = generator.normal(size=rows) - 1
    unknown = np.pi / np.sqrt(3) * shared / own * generator.normal(size=clusters)[cluster]
    label = (generator.random(rows) < 1 / (1 + np.exp(-known - unknown))).astype(float)
    errors = [shared * generator.normal(size=clusters)[cluster] + own * generator.normal(size=rows) for _ in range(2)]
    first, second = (ModelScores(str(one), 1 / (1 + np.exp(-known - error / 2))) for one, error in enumerate(errors))
    grouping = Grouping("list", np.repeat(np.arange(clusters * lists), length))
    return ScoredRows(label, first, second, clusters=cluster, grouping=grouping)
