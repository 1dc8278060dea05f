"""Choice of the training rows, and checks of their labels."""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt

from proml_kedro.errors import UserError
from proml_kedro.models.component import Array, Columns, Examples
from proml_kedro.models.mixed.spec import Loss

logger = logging.getLogger(__name__)


def usable(examples: Examples, exposure: str | None, key: str) -> Examples:
    """Select the examples with a label, a positive weight, and a positive exposure where the model has one.

    Args:
        examples: All of them.
        exposure: Column with the exposure.
        key: The component's key in the configuration, for messages.

    Raises:
        UserError: No example is left.
    """
    counts = np.isfinite(examples.label)
    if examples.weight is not None:
        counts &= np.isfinite(examples.weight) & (examples.weight > 0)
    if exposure is not None:
        counts &= has_exposure(examples.columns, exposure)
    report_omitted(int(np.count_nonzero(counts)), len(examples), key)
    return examples if counts.all() else examples.take(counts)


def report_omitted(kept: int, rows: int, key: str) -> None:
    """Log how many rows are omitted from training.

    Raises:
        UserError: All of them are.
    """
    if not kept:
        raise UserError.at(key, "no example has a label, a positive weight and a positive exposure")
    if kept < rows:
        message = "%s: %s of %s examples have no label, or no positive weight or exposure, and are left out"
        logger.warning(message, key, f"{rows - kept:,}", f"{rows:,}")


def has_exposure(columns: Columns, name: str) -> npt.NDArray[np.bool_]:
    """Mark the rows with a positive exposure; shape (n,)."""
    values = columns[name]
    return np.asarray(np.isfinite(values) & (values > 0))


def check_label(label: Array, loss: Loss, key: str) -> None:
    """Check that the labels are in the domain of the loss.

    Raises:
        UserError: They are not.
    """
    if loss == "logistic" and not ((label >= 0) & (label <= 1)).all():
        raise UserError.at(key, "loss: logistic needs labels between 0 and 1; for other numbers take linear or poisson")
    if loss == "poisson" and (label < 0).any():
        raise UserError.at(key, "loss: poisson needs labels that are not negative; for other numbers take linear")


def weights(examples: Examples) -> npt.NDArray[np.float64]:
    """Return the weight of each row, 1 where the examples have none; shape (n,)."""
    return np.ones(len(examples)) if examples.weight is None else examples.weight.astype(np.float64)


def sample(codes: Array, most: int, generator: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Mark a random sample of ``most`` rows for each entity that has more, and all rows of the others.

    Args:
        codes: Entity of each row, -1 for none, shape (n,). Rows without an entity are all kept.
        most: Largest number of rows of one entity.
        generator: Gives one number for each row: the sample depends on its seed alone.
    """
    order = np.lexsort((generator.random(len(codes)), codes))
    sorted_codes = codes[order]
    first = np.concatenate([[True], sorted_codes[1:] != sorted_codes[:-1]])
    start = np.maximum.accumulate(np.where(first, np.arange(len(codes)), 0))
    stays = np.empty(len(codes), np.bool_)
    stays[order] = (np.arange(len(codes)) - start < most) | (sorted_codes < 0)
    return stays
