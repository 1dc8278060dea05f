"""Sweeps over the parts, and between them updates of the population's mean, covariance and residual variance.

A sweep moves every entity to the mode of its posterior, with the coefficients b + L w, the prior Normal(0, 1) of w,
and S = L L'. It returns the sums over the entities of w, of w w' and of 1 - 1 / H, where 1 / H is the posterior
covariance of w. The gradient of the objective by b is R = 1 / L' times sum w, plus that of rows without an entity.
Once each entity follows b, the curvature is (Schur complement, with I_e the information of an entity's rows)

    sum (I_e - I_e V_e I_e) = R (sum 1 - 1 / H) R'

plus that of rows without an entity. Hence neither a Newton step of b needs a pass over the rows, nor does an update of
S (see :class:`~proml_kedro.models.mixed.covariance.Covariance`).

With the linear loss the residual variance phi is the residual sum of squares per degree of freedom (restricted maximum
likelihood). Of the coefficients of the entities the rows determine sum trace(1 - 1 / H).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.covariance import Covariance
from proml_kedro.models.mixed.streamed.kernels.compile import kernels_of
from proml_kedro.models.mixed.streamed.population import MeanStep, SweepSums, mean_step, next_dispersion
from proml_kedro.models.mixed.streamed.progress import Progress, SweepSettings
from proml_kedro.models.mixed.streamed.row_format import LINEAR, floats_of, triangle
from proml_kedro.models.mixed.streamed.storage.blocks import PackedPart

logger = logging.getLogger(__name__)

_SAMPLE = 200_000  # entities from which mean and covariance are estimated before the first full sweep
_GROWTH = 5  # factor from one sample to the next, which then needs few sweeps
_COARSE = 4  # full sweeps after which the tolerance of entities is halved, and again after as many


class Sweeps:
    """Runner of the kernels over parts.

    Args:
        folders: Folders of the parts, which together hold all entities. A part is mapped only while it is swept.
        settings: Settings of the sweeps.
        pool: Threads that share the parts. Sums are added in the order of the parts: the result is the same for any
            number of threads.
    """

    def __init__(self, folders: Sequence[Path], settings: SweepSettings, pool: ThreadPoolExecutor) -> None:
        self._folders = folders
        self._settings = settings
        self._pool = pool
        self._d = len(settings.penalty)
        self._kernels = kernels_of(self._d, settings.form)
        self._floats = floats_of(settings.form)

    def fit(self, covariance: Covariance, progress: Progress, file: Path) -> None:
        """Sweep until convergence: first over samples (parts are random samples of the entities), then over all.

        Args:
            covariance: Covariance of the population; updated.
            progress: Initial values; updated.
            file: File in which progress is saved after every full sweep.
        """
        if self._settings.sample_first and not progress.sweeps:
            for sample in self._samples():
                for _ in range(self._settings.max_sweeps):
                    if self._sweep(sample, covariance, progress):
                        break
        while not progress.converged and progress.sweeps < self._settings.max_sweeps:
            progress.converged = self._sweep(self._folders, covariance, progress)
            progress.sweeps += 1
            progress.save(file)

    def _samples(self) -> Iterator[Sequence[Path]]:
        """List the first parts that hold enough entities, then five times as many, up to a quarter of all."""
        entities, enough = 0, _SAMPLE
        for count, folder in enumerate(self._folders[: len(self._folders) // 4], start=1):
            entities += len(PackedPart.open(folder).words)
            if entities >= enough:
                yield self._folders[:count]
                enough = _GROWTH * entities

    def _sweep(self, folders: Sequence[Path], covariance: Covariance, progress: Progress) -> bool:
        """Sweep once, and update mean and variances; true when all have converged."""
        root = np.linalg.cholesky(covariance.value)
        sums = self._sums(folders, root, progress)
        step = mean_step(sums, root, np.array(progress.mean), self._settings)
        change = _update_dispersion(sums, step, progress) if self._settings.form == LINEAR else 0.0
        progress.covariance = covariance.value.tolist()  # by which the effects were shrunk
        moment, told = (root @ one @ root.T / max(sums.entities, 1) for one in (sums.moment, sums.told))
        if sums.entities:
            change = max(change, covariance.update(moment, covariance.value - told))
        progress.mean = (progress.mean + step.change).tolist()
        progress.covariance_state = covariance.state()
        progress.spread, progress.errors = np.sqrt(np.diag(moment)).tolist(), step.errors.tolist()
        moved = float(np.abs(step.change).max())
        facts = {"entities": sums.entities, "step": moved, "change": change, "passes": sums.visited / max(sums.rows, 1)}
        progress.history.append(facts)
        logger.debug("sweep of %(entities)d: mean %(step).2g, variances %(change).2g, %(passes).1f passes", facts)
        return moved < self._settings.mean_tolerance and change < self._settings.covariance_tolerance

    def _sums(self, folders: Sequence[Path], root: Array, progress: Progress) -> SweepSums:
        f = self._floats
        mean, scale = np.asarray(progress.mean, f), f(1.0 / progress.dispersion)
        prior = np.asarray(root, f), np.asarray(np.linalg.inv(root), f), mean
        how = f(self._settings.spread), scale, f(self._tolerance(progress)), self._settings.newton_steps

        def work(folder: Path) -> Array:
            return self._part_sums(PackedPart.open(folder), (*prior, *how), mean, scale)

        return SweepSums.from_parts(np.sum(list(self._pool.map(work, folders)), axis=0), self._d)

    def _part_sums(self, part: PackedPart, arguments: tuple[Any, ...], mean: Array, scale: np.floating[Any]) -> Array:
        """Sweep a part; its sums one after the other, as :meth:`.SweepSums.from_parts` takes them apart."""
        sums = np.zeros(self._d + 2 * triangle(self._d) + 1)
        visited = self._kernels.sweep(part.rows, part.starts, part.used, part.state, *arguments, sums)
        facts = len(part.words), len(part.rows), visited, self._weight(part.counts)
        return np.array([*facts, *sums, *self._of_population(part.loose, mean, scale)])

    def _tolerance(self, progress: Progress) -> float:
        """Return the tolerance of entities, which shrinks as sweeps go on.

        Where entities determine the label (separation), coarse steps of theirs would move the mean to and fro.
        """
        return self._settings.tolerance / (1 + progress.sweeps // _COARSE)

    def _weight(self, counts: Array) -> float:
        """Sum the rows of entities by weight, where the loss needs them."""
        return float(counts.sum()) if self._settings.form == LINEAR else 0.0

    def _of_population(self, rows: npt.NDArray[np.float32], mean: Array, scale: np.floating[Any]) -> Array:
        """Sum rows without an entity: weight, gradient, curvature and squares, one after the other."""
        d = self._d
        g, h, weight = np.zeros(d + 1), np.zeros(triangle(d)), 0.0
        if len(rows):
            self._kernels.population(rows, mean, scale, g, h)
            if self._settings.form == LINEAR:  # the slope of the intercept is the root of the weight
                weight = float(np.square(rows[:, 1 + self._settings.intercept], dtype=np.float64).sum())
        return np.array([weight, *g[:d], *h, g[d]])


def _update_dispersion(sums: SweepSums, step: MeanStep, progress: Progress) -> float:
    """Update the residual variance, and return its relative change."""
    new = next_dispersion(sums, step, progress.dispersion)
    change = abs(new - progress.dispersion) / progress.dispersion
    progress.dispersion = new
    return change
