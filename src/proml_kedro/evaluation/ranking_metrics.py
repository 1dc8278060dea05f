"""Metrics of the order of rows: are positive rows put before the others of their group?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proml_kedro.evaluation.metric import RankingMetric

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from proml_kedro.evaluation.groups import RankedGroups

    Array = npt.NDArray[np.float64]


class Ndcg(RankingMetric):
    """Discounted cumulated gain of the first k rows, over that of the best order (Järvelin and Kekäläinen, 2002)."""

    meaning = "gain of the first {k} rows of a group, less for lower places, as a share of the best order's"

    def compute(self, groups: RankedGroups, k: int) -> Array:
        """Compute it; a positive row gains 1, or what its grade is worth."""
        from proml_kedro.formulas import ndcg

        return ndcg(groups.gain, groups.place, groups.group, k)


class Precision(RankingMetric):
    """Positive rows among the first k, over k."""

    meaning = "share of the first {k} places of a group with a positive row"

    def compute(self, groups: RankedGroups, k: int) -> Array:
        """Compute it."""
        import numpy as np

        found = groups.sum(groups.positive & (groups.place <= k)) / k
        return np.where(groups.positives == 0, np.nan, found)


class Recall(RankingMetric):
    """Positive rows among the first k, over all positive rows."""

    meaning = "share of a group's positive rows that are among the first {k}"

    def compute(self, groups: RankedGroups, k: int) -> Array:
        """Compute it."""
        return _share(groups.sum(groups.positive & (groups.place <= k)), groups.positives)


class MeanAveragePrecision(RankingMetric):
    """Precision at the places of positive rows among the first k, over as many of them as there could be."""

    meaning = "mean precision at the places of the positive rows among the first {k}"

    def compute(self, groups: RankedGroups, k: int) -> Array:
        """Compute it."""
        import numpy as np

        seen = np.cumsum(groups.positive)
        before = groups.each(np.cumsum(groups.positives) - groups.positives)
        at_place = np.where(groups.positive & (groups.place <= k), (seen - before) / groups.place, 0.0)
        return _share(groups.sum(at_place), np.minimum(groups.positives, k))


class ReciprocalRank(RankingMetric):
    """One over the place of the first positive row."""

    has_cut = False
    meaning = "one over the place of a group's first positive row"

    def compute(self, groups: RankedGroups, k: int) -> Array:
        """Compute it."""
        import numpy as np

        first = np.full(len(groups.sizes), np.nan)
        positive = np.flatnonzero(groups.positive)[::-1]  # the first one of a group is written last
        first[groups.group[positive]] = 1 / groups.place[positive]
        return first


class GroupAuc(RankingMetric):
    """Area under the ROC curve of each group; ties count half."""

    has_cut = False
    meaning = "how often a positive row is ranked above a negative one of its group"

    def compute(self, groups: RankedGroups, k: int) -> Array:
        """Compute it; NaN for a group of one class."""
        import numpy as np

        from proml_kedro.formulas import auc_by_group

        positive = groups.positive.astype(np.float64)
        # Scores fall here: a pair is won when the positive row comes first.
        return auc_by_group(1 - positive, positive, groups.score, groups.group)


def _share(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> Array:
    """Divide; NaN where the denominator is zero."""
    import numpy as np

    quotient: Array = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return quotient
