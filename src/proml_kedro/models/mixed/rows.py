"""From examples to the rows that are fitted: which of them count, and what was noticed on the way."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from proml_kedro.errors import UserError
from proml_kedro.models.component import Array, Columns, Examples
from proml_kedro.models.mixed.encoding import Scale
from proml_kedro.models.mixed.spec import Loss

if TYPE_CHECKING:
    from proml_kedro.models.mixed.memory.settings import Fit

logger = logging.getLogger(__name__)


def usable(examples: Examples, exposure: str | None, key: str) -> Examples:
    """The examples that count: with a label, a positive weight, and a positive exposure where there is one.

    Args:
        examples: All of them.
        exposure: The column with the exposure.
        key: Where the component stands in the configuration.

    Raises:
        UserError: There is none.
    """
    counts = np.isfinite(examples.label)
    if examples.weight is not None:
        counts &= np.isfinite(examples.weight) & (examples.weight > 0)
    if exposure is not None:
        counts &= has_exposure(examples.columns, exposure)
    say_left_out(int(np.count_nonzero(counts)), len(examples), key)
    return examples if counts.all() else examples.take(counts)


def say_left_out(kept: int, rows: int, key: str) -> None:
    """Say of how many rows nothing is learned.

    Raises:
        UserError: Of all of them.
    """
    if not kept:
        raise UserError.at(key, "no example has a label, a positive weight and a positive exposure")
    if kept < rows:
        message = "%s: %s of %s examples have no label, or no positive weight or exposure, and are left out"
        logger.warning(message, key, f"{rows - kept:,}", f"{rows:,}")


def has_exposure(columns: Columns, name: str) -> npt.NDArray[np.bool_]:
    """Which rows have one: a positive number; shape (n,)."""
    values = columns[name]
    return np.asarray(np.isfinite(values) & (values > 0))


def check_label(label: Array, loss: Loss, key: str) -> None:
    """See that the labels are such as the loss is about.

    Raises:
        UserError: They are not.
    """
    if loss == "logistic" and not ((label >= 0) & (label <= 1)).all():
        raise UserError.at(key, "loss: logistic needs labels between 0 and 1; for other numbers take linear or poisson")
    if loss == "poisson" and (label < 0).any():
        raise UserError.at(key, "loss: poisson needs labels that are not negative; for other numbers take linear")


@dataclass(frozen=True)
class Unit:
    """In which labels are fitted: of the linear loss, standard deviations from their mean.

    Attributes:
        mean: Over the training rows.
        deviation: Standard deviation; 1 when all are equal.
    """

    mean: float
    deviation: float

    @classmethod
    def of(cls, label: Array, weight: Array, loss: Loss, centred: bool = True) -> Unit:
        """The unit of these labels; where no intercept is estimated that could hold their mean, it is left in."""
        if loss != "linear":
            return cls(0.0, 1.0)
        scale = Scale.of(label, weight)
        return cls(scale.mean if centred else 0.0, scale.deviation)

    def remove(self, label: Array) -> npt.NDArray[np.float64]:
        """Labels in this unit."""
        return np.asarray((label.astype(np.float64) - self.mean) / self.deviation)

    def restore(self, found: Fit) -> Fit:
        """What was found for labels in this unit, for labels as they are."""
        one, square = self.deviation, self.deviation**2
        fixed = found.fixed * one
        fixed[:1] += self.mean
        free = found.rows - len(fixed) - sum(len(values) for values in found.categories)  # as REML counts
        root = math.sqrt(one)  # factors enter in products of two
        for interaction in found.interactions:
            interaction.table *= root
            interaction.variances *= one
        return replace(
            found,
            fixed=fixed,
            fixed_errors=found.fixed_errors * one,
            categories=[values * one for values in found.categories],
            category_errors=[values * one for values in found.category_errors],
            effects=[values * one for values in found.effects],
            uncertainties=[values * square for values in found.uncertainties],
            covariances=[values * square for values in found.covariances],
            dispersion=found.dispersion * square,
            log_likelihood=found.log_likelihood - free * math.log(one),
        )


def weights(examples: Examples) -> npt.NDArray[np.float64]:
    """For how many rows each counts; shape (n,)."""
    return np.ones(len(examples)) if examples.weight is None else examples.weight.astype(np.float64)


def sample(codes: Array, most: int, generator: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Which rows stay when no entity may have more than ``most``: of one with more, a random sample of that size.

    Args:
        codes: The entity of each row, -1 for none; shape (n,).
        most: Rows of one entity.
        generator: One draw for each row decides, so that rows stay the same when it is seeded the same.
    """
    order = np.lexsort((generator.random(len(codes)), codes))
    sorted_codes = codes[order]
    first = np.concatenate([[True], sorted_codes[1:] != sorted_codes[:-1]])
    start = np.maximum.accumulate(np.where(first, np.arange(len(codes)), 0))
    stays = np.empty(len(codes), np.bool_)
    stays[order] = (np.arange(len(codes)) - start < most) | (sorted_codes < 0)
    return stays
