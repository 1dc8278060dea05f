"""Interaction of low rank between entities: a factorisation machine (Rendle, 2010) estimated by variational Bayes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.losses import CODES
from proml_kedro.models.mixed.memory.kernels import interactions
from proml_kedro.models.mixed.spec import Loss

Floats = npt.NDArray[np.float64]

_START_SPREAD = 3.0  # initial variance of the whole interaction
_MOST_START_VARIANCE = 0.6  # largest initial variance of one factor
_HELD = 10  # sweeps before variances are estimated: until then random factors explain little
_LEAST_VARIANCE = 1e-6
_FASTEST = 2.0  # largest factor by which a variance changes in one sweep


@dataclass
class FactorField:
    """Field of an interaction, such as members or jobs.

    Attributes:
        start: First place of its levels in the table; the place after the last one is for a row without a level.
        levels: Number of levels, at least 1.
        starts: int64 of shape (levels + 1,): the rows of level e are ``rows[starts[e]:starts[e + 1]]``.
        rows: int64: rows, sorted by level.
    """

    start: int
    levels: int
    starts: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]

    @property
    def places(self) -> slice:
        """Places of its levels in the table."""
        return slice(self.start, self.start + self.levels)


@dataclass
class Interaction:
    """Sum of the products of every pair of fields; see :mod:`.kernels.interactions` for the equations.

    Attributes:
        codes: int32 of shape (n, fields): places of each row in the table.
        fields: Fields.
        table: Posterior means of the factors, shape (places, rank).
        variances: Posterior variances of the same shape.
        prior: Prior variance of the factors of each field, shape (fields, rank).
        mean: Posterior mean of the interaction in each row, shape (n,).
        variance: Posterior variance of the same, shape (n,).
        change: Root mean square change of ``mean`` in the last sweep.
        sweeps: Number of sweeps so far.
    """

    codes: npt.NDArray[np.int32]
    fields: list[FactorField]
    table: Floats
    variances: Floats
    prior: Floats
    mean: Floats
    variance: Floats
    change: float = np.inf
    sweeps: int = field(default=0)

    @classmethod
    def between(cls, codes: Sequence[Array], levels: Sequence[int], rank: int, seed: int) -> Interaction:
        """Make an interaction with random initial factors.

        Args:
            codes: For each field the level of each row, -1 for none.
            levels: Number of levels of each field, at least 1.
            rank: Rank of the interaction.
            seed: Seed of the initial factors.
        """
        starts = np.concatenate([[0], np.cumsum(np.asarray(levels) + 1)])
        fields = [_field(int(start), count, one) for start, count, one in zip(starts[:-1], levels, codes, strict=True)]
        places = [np.where(one < 0, count, one) for one, count in zip(codes, levels, strict=True)]
        pairs = len(codes) * (len(codes) - 1) / 2
        variance = min(_MOST_START_VARIANCE, float(np.sqrt(_START_SPREAD / (rank * pairs))))
        # Factors start at random: at zero the gradient is zero.
        table = np.random.default_rng(seed).normal(0, 0.9 * variance**0.5, (int(starts[-1]), rank))
        table[starts[1:] - 1] = 0.0
        rows = len(codes[0])
        return cls(
            np.ascontiguousarray(np.column_stack(places) + starts[:-1], np.int32),
            fields,
            table,
            np.full(table.shape, variance),
            np.full((len(fields), rank), variance),
            np.zeros(rows),
            np.zeros(rows),
        )

    @property
    def is_held(self) -> bool:
        """Whether factors are in their first sweeps, in which variances, also those of effects, are not updated."""
        return 0 < self.sweeps < _HELD

    def begin(self, means: Array) -> None:
        """Replace the random initial factors by given ones, except where these are NaN; shape (places, rank)."""
        known = np.isfinite(means)
        self.table[known] = means[known]
        self.sweeps = _HELD

    def sweep(
        self, eta: Floats, spread: Floats, label: Array, weight: Array, loss: Loss, scale: float, run: Run
    ) -> None:
        """Update the factors of every field once, and then the prior of each.

        Args:
            eta: Margins without the interaction, shape (n,).
            spread: Variances of the same, shape (n,).
            label: Shape (n,), as is ``weight``.
            weight: Weights of the rows.
            loss: Loss that is minimised, multiplied by ``scale``.
            scale: 1, or 1 / dispersion.
            run: Runs work on ranges of levels in threads.
        """
        for k, one in enumerate(self.fields):
            self._update(one, 1.0 / self.prior[k], (eta, spread, label, weight, CODES[loss], scale), run)
            if len(one.rows):  # a field without rows cannot be centred
                self.table[one.places] -= np.average(self.table[one.places], axis=0, weights=np.diff(one.starts))
            if self.sweeps >= _HELD:
                self.prior[k] = _rearranged(self.prior[k], self.table[one.places], self.variances[one.places])
            self.variances[one.start + one.levels] = self.prior[k]
        before = self.mean.copy()
        self.compute_moments(run)
        self.change = float(np.sqrt(np.mean((self.mean - before) ** 2)))
        self.sweeps += 1

    def _update(self, one: FactorField, precision: Floats, data: tuple[Any, ...], run: Run) -> None:
        def work(first: int, last: int) -> None:
            place = (first, last, one.start, one.starts, one.rows, self.codes)
            interactions.update_field(*place, *data, precision, self.table, self.variances)  # type: ignore[call-arg]  # counted wrongly

        run(work, one.starts)

    def rescale(self, unit: float) -> None:
        """Multiply the interaction by a unit; it has products of two factors."""
        self.table *= math.sqrt(unit)
        self.variances *= unit

    def compute_moments(self, run: Run) -> None:
        """Compute mean and variance of every row from the table."""

        def work(first: int, last: int) -> None:
            interactions.moments(first, last, self.codes, self.table, self.variances, self.mean, self.variance)

        run(work, np.arange(len(self.codes) + 1))


def _rearranged(prior: Floats, table: Floats, variances: Floats) -> Floats:
    """Update prior variances by MacKay's rule: mean square over the share that the data determine; shape (rank,).

    The fixed points are those of the EM equation, mean square plus mean variance, as in :mod:`.covariance`. EM needs
    hundreds of sweeps until a superfluous dimension has shrunk.
    """
    determined = np.clip(1.0 - variances.mean(0) / prior, 1e-3, None)
    new = (table**2).mean(0) / determined
    return np.asarray(np.maximum(np.clip(new, prior / _FASTEST, prior * _FASTEST), _LEAST_VARIANCE))


Run = Callable[[Callable[[int, int], None], npt.NDArray[np.int64]], None]
"""Function that calls its first argument with ranges of levels; the second holds the first row of each level."""


def in_threads(pool: Executor, threads: int) -> Run:
    """Make a function that divides levels among threads, so that each has about as many rows."""

    def run(work: Callable[[int, int], None], starts: npt.NDArray[np.int64]) -> None:
        cuts = np.searchsorted(starts, np.linspace(0, starts[-1], threads + 1))
        cuts[0], cuts[-1] = 0, len(starts) - 1
        list(pool.map(lambda cut: work(int(cut[0]), int(cut[1])), pairwise(cuts)))

    return run


def _field(start: int, levels: int, codes: Array) -> FactorField:
    """Sort the rows of a field by level."""
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes[codes >= 0], minlength=levels)
    starts = np.concatenate([[0], np.cumsum(counts)])
    return FactorField(start, levels, starts.astype(np.int64), order[np.count_nonzero(codes < 0) :].astype(np.int64))
