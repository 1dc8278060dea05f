"""How a model's score goes with its inputs and with the label: what its own distribution cannot tell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

Numbers = npt.NDArray[np.float64]
Places = Mapping[str, tuple[int, npt.NDArray[np.int64]]]
"""How many bins a column has, and which one each row is in: -1 for none."""

_LEAST_EXPLAINED = 0.02
_MOST_TELLING = 5
_LEAST_WEIGHT = 0.25


class Relation(BaseModel):
    """How the mean score differs between the bins of a column.

    Attributes:
        effects: Mean score in each bin, less that of all rows; the last one is of rows without a value.
        explained: Share of the score's variance that the bins explain: how much the column matters to the model.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    effects: tuple[float, ...]
    explained: float


class ScoreProfile(BaseModel):
    """The score of the reference.

    Attributes:
        rows: Rows with a score.
        mean: Of the score.
        deviation: Its standard deviation.
        relations: How it goes with each column.
        labelled: Rows with a score and a label.
        gap: Mean of the label less the score; 0 without labels.
        residual: Standard deviation of that difference.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    mean: float
    deviation: float
    relations: dict[str, Relation]
    labelled: int = 0
    gap: float = 0.0
    residual: float = 0.0

    @classmethod
    def of(cls, score: Numbers, places: Places, label: Numbers | None = None) -> ScoreProfile | None:
        """Profile scores, shape (n,), NaN for none; None where there is none.

        Args:
            score: The score.
            places: Bins of the columns.
            label: What came true, NaN where that is not known.
        """
        known = np.isfinite(score)
        if not known.any():
            return None
        mean, deviation = float(score[known].mean()), float(score[known].std())
        labelled, gap, residual = _gap(score, label)
        return cls(
            rows=int(known.sum()),
            mean=mean,
            deviation=deviation,
            relations={
                name: _relation(score[known] - mean, deviation, bins, place[known])
                for name, (bins, place) in places.items()
            },
            labelled=labelled,
            gap=gap,
            residual=residual,
        )

    @property
    def telling(self) -> float:
        """Share of the variance that a column must explain to tell whether scores still go with the inputs."""
        shares = sorted((one.explained for one in self.relations.values()), reverse=True)
        return max([_LEAST_EXPLAINED, *shares[_MOST_TELLING - 1 : _MOST_TELLING]])

    def weight(self, name: str) -> float:
        """Return how much a column matters: 1 for the one that matters most, and where nothing is known; at least 1/4.

        A column that hardly goes with the score by itself can still matter together with others.
        """
        most = max((one.explained for one in self.relations.values()), default=0.0)
        if name not in self.relations or most < _LEAST_EXPLAINED:
            return 1.0
        return max(_LEAST_WEIGHT, math.sqrt(self.relations[name].explained / most))


@dataclass(frozen=True)
class ScorePair:
    """The scores of the reference and of the current data, beside their inputs and labels.

    Attributes:
        reference: The score of the reference.
        current: That of the current data.
        kept: How much of the reference's differences between bins is found again: about 1 in other data of the same
            model, 0 when scores are mixed up among rows, -1 when they are turned round; None when nothing tells.
        explained: Share of the score's variance that the column explains which tells most.
    """

    reference: ScoreProfile
    current: ScoreProfile
    kept: float | None
    explained: float

    @classmethod
    def of(cls, reference: ScoreProfile, score: Numbers, places: Places, label: Numbers | None) -> ScorePair | None:
        """Compare scores with those of a reference; None where there is none."""
        current = ScoreProfile.of(score, {}, label)
        if current is None:
            return None
        known = np.isfinite(score)
        offsets = score[known] - current.mean
        found = []
        for name, (_, place) in places.items():
            relation = reference.relations.get(name)
            if relation is None or relation.explained < reference.telling:
                continue
            expected = np.array(relation.effects)[place[known]]
            expected = expected - expected.mean()
            spread = float(expected @ expected)
            if spread >= _LEAST_SPREAD * len(expected) * relation.explained * reference.deviation**2:
                found.append((relation.explained, *_kept(expected, offsets, relation.explained)))
        weights, slopes, correlations = np.array(found).reshape(-1, 3).T
        if not len(weights):
            return cls(reference, current, None, 0.0)
        # In a quiet week all differences are small, and where inputs hardly vary a correlation is.
        kept = max(float(np.average(one, weights=weights)) for one in (slopes, correlations))
        return cls(reference, current, kept, float(weights.max()))


_LEAST_SPREAD = 0.1
"""A column that is stuck, or nearly so, tells nothing of how the score goes with it."""


def _kept(expected: Numbers, offsets: Numbers, explained: float) -> tuple[float, float]:
    """Return the slope of scores on what the reference lets expect, and their correlation as a share of what it was."""
    product, spread = float(expected @ offsets), float(expected @ expected)
    size = math.sqrt(spread * float(offsets @ offsets) * explained)
    return product / spread, product / size if size else 0.0


def _relation(offsets: Numbers, deviation: float, bins: int, place: npt.NDArray[np.int64]) -> Relation:
    place = np.where(place < 0, bins, place)
    rows = np.bincount(place, minlength=bins + 1)
    effects = np.bincount(place, offsets, bins + 1) / np.maximum(rows, 1)
    # By chance alone each bin explains a row's share of the variance.
    between = float(rows @ effects**2) / len(offsets) - deviation**2 * np.count_nonzero(rows) / len(offsets)
    explained = min(1.0, max(0.0, between) / deviation**2) if deviation else 0.0
    return Relation(effects=tuple(effects.tolist()), explained=explained)


def _gap(score: Numbers, label: Numbers | None) -> tuple[int, float, float]:
    if label is None:
        return 0, 0.0, 0.0
    both = np.isfinite(score) & np.isfinite(label)
    if not both.any():
        return 0, 0.0, 0.0
    differences = label[both] - score[both]
    return int(both.sum()), float(differences.mean()), float(differences.std())
