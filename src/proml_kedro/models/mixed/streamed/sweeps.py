"""Sweeps over the parts, and in between them the population's mean and covariance, from sums alone.

A sweep brings every entity to the mode of its posterior, its coefficients being b + L w with the prior Normal(0, 1) of
w and S = L L', and returns the sums over the entities of w, of w w' and of the posterior covariance of w, 1 / H. The
gradient of what is maximised by b is R = 1 / L' times sum w, plus that of rows without an entity; once each entity
follows b on its own, its curvature is (Schur complement, I_e being the information of an entity's rows)

    sum (I_e - I_e V_e I_e) = R (E - sum 1 / H) R'

plus that of rows without an entity. One Newton step for b therefore needs no pass over the rows, nor does the update
of S (see :class:`~proml_kedro.models.mixed.empirical_bayes.Covariance`).
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.empirical_bayes import Covariance
from proml_kedro.models.mixed.streamed.kernels import kernels_of, triangle
from proml_kedro.models.mixed.streamed.pack import Part

logger = logging.getLogger(__name__)

_SAMPLE = 200_000  # entities from which mean and covariance are estimated before the first full sweep
_LARGEST_STEP = 2.0  # of the population's mean, in log-odds


@dataclass(frozen=True)
class Settings:
    """How to fit.

    Attributes:
        variational: Average the likelihood over the posterior of the effects, instead of taking it at the mode.
        penalty: Precision of the prior of each fixed effect, shape (d,); infinite for a slope that has none.
        tolerance: An entity rests when no coefficient of its block moves further; log-odds.
        mean_tolerance: Largest change of a fixed effect to stop at.
        covariance_tolerance: Largest relative change of the covariance to stop at.
        max_sweeps: Full sweeps there may be.
        newton_steps: Steps an entity may take in a sweep.
    """

    penalty: Array
    variational: bool = True
    tolerance: float = 3e-3
    mean_tolerance: float = 1e-3
    covariance_tolerance: float = 5e-3
    max_sweeps: int = 50
    newton_steps: int = 25


@dataclass
class Progress:
    """Where the fit stands; saved after every sweep.

    Attributes:
        mean: Of the population: b.
        covariance: S.
        sweeps: Full sweeps done.
        converged: Whether tolerances were reached.
        spread: Root mean squares of u over the entities.
        history: One entry a sweep, also of the sample.
    """

    mean: list[float]
    covariance: list[list[float]]
    sweeps: int = 0
    converged: bool = False
    spread: list[float] = field(default_factory=list)
    history: list[dict[str, float]] = field(default_factory=list)

    def save(self, file: Path) -> None:
        """Replace the file in one step: a killed process leaves the last sweep's or this one's."""
        temporary = file.with_name(f"{file.name}.writing")
        temporary.write_text(json.dumps(asdict(self)))
        temporary.replace(file)


@dataclass(frozen=True)
class _Sums:
    """Of a sweep: entities, vectors of rows and how many were visited, and the sums of w, of w w' and of 1 / H."""

    entities: int
    rows: int
    visited: int
    first: Array
    moment: Array
    uncertainty: Array


class Sweeps:
    """Runs the kernels over parts.

    Args:
        folders: Of the parts, which hold all entities. A part is mapped only while it is swept.
        population: Rows without an entity, float32 of shape (rows, 1 + d, lanes).
        settings: How.
        pool: Threads that share the parts. Sums are added in the order of the parts: the result is the same for any
            number of threads.
    """

    def __init__(
        self, folders: Sequence[Path], population: npt.NDArray[np.float32], settings: Settings, pool: ThreadPoolExecutor
    ) -> None:
        self._folders = folders
        self._population = population
        self._settings = settings
        self._pool = pool
        self._d = population.shape[1] - 1

    def fit(self, covariance: Covariance, progress: Progress, file: Path) -> None:
        """Sweep until nothing moves: first over a sample, parts being random ones, then over all.

        Args:
            covariance: Of the population; updated.
            progress: Where to start; updated.
            file: Where progress is saved after every full sweep.
        """
        sample = self._sample()
        if not progress.sweeps and len(sample) < len(self._folders):
            for _ in range(self._settings.max_sweeps):
                if self._sweep(sample, covariance, progress):
                    break
        while not progress.converged and progress.sweeps < self._settings.max_sweeps:
            progress.converged = self._sweep(self._folders, covariance, progress)
            progress.sweeps += 1
            progress.save(file)

    def _sample(self) -> Sequence[Path]:
        """The first parts, when they hold entities enough and are at most a quarter of all."""
        entities, count = 0, 0
        while entities < _SAMPLE and count < len(self._folders):
            entities += len(Part.open(self._folders[count]).words)
            count += 1
        return self._folders[:count] if 4 * count <= len(self._folders) else self._folders

    def _sweep(self, folders: Sequence[Path], covariance: Covariance, progress: Progress) -> bool:
        """One sweep, and the mean and covariance that follow from it; whether both have come to rest."""
        root = np.linalg.cholesky(covariance.value)
        sums = self._sums(folders, root, progress.mean)
        step = self._mean_step(sums, root, np.array(progress.mean), len(folders) == len(self._folders))
        moment, uncertainty = (root @ one @ root.T / max(sums.entities, 1) for one in (sums.moment, sums.uncertainty))
        change = covariance.update(moment, uncertainty) if sums.entities else 0.0
        progress.mean = (progress.mean + step).tolist()
        progress.covariance = covariance.value.tolist()
        progress.spread = np.sqrt(np.diag(moment)).tolist()
        moved = float(np.abs(step).max())
        facts = {"entities": sums.entities, "step": moved, "change": change, "passes": sums.visited / max(sums.rows, 1)}
        progress.history.append(facts)
        logger.debug("sweep of %(entities)d: mean %(step).2g, covariance %(change).2g, %(passes).1f passes", facts)
        return moved < self._settings.mean_tolerance and change < self._settings.covariance_tolerance

    def _sums(self, folders: Sequence[Path], root: Array, mean: Sequence[float]) -> _Sums:
        d, entries = self._d, triangle(self._d)
        sweep = kernels_of(d).sweep
        prior = tuple(np.asarray(one, np.float32) for one in (root, np.linalg.inv(root), mean))
        spread = np.float32(math.pi / 8 if self._settings.variational else 0)
        how = (*prior, spread, np.float32(self._settings.tolerance), self._settings.newton_steps)

        def work(folder: Path) -> Array:
            part, sums = Part.open(folder), np.zeros(d + 2 * entries)
            visited = sweep(part.rows, part.starts, part.used, part.state, *how, sums)
            return np.array([len(part.words), len(part.rows), visited, *sums])

        total = np.sum(list(self._pool.map(work, folders)), axis=0)
        first, moment, uncertainty = np.split(total[3:], [d, d + entries])
        entities, rows, visited = (int(one) for one in total[:3])
        return _Sums(entities, rows, visited, first, _symmetric(moment), _symmetric(uncertainty))

    def _mean_step(self, sums: _Sums, root: Array, mean: Array, everyone: bool) -> Array:
        """One Newton step of the slopes that have a fixed effect, zero for the others; shape (d,)."""
        d, penalty = self._d, self._settings.penalty
        back = np.linalg.inv(root).T
        gradient = back @ sums.first
        curvature = back @ (sums.entities * np.eye(d) - sums.uncertainty) @ back.T
        if everyone:
            g, h = np.zeros(d), np.zeros(triangle(d))
            kernels_of(d).population(self._population, mean.astype(np.float32), g, h)
            gradient, curvature = gradient + g, curvature + _symmetric(h)
        fixed = np.flatnonzero(np.isfinite(penalty))
        gradient = gradient[fixed] - penalty[fixed] * mean[fixed]
        curvature = curvature[np.ix_(fixed, fixed)] + np.diag(penalty[fixed])
        step = np.zeros(d)
        step[fixed] = np.linalg.solve(curvature, gradient)
        return step * min(1.0, _LARGEST_STEP / max(float(np.abs(step).max()), 1e-9))


def _symmetric(lower: Array) -> Array:
    """A symmetric matrix from its lower triangle."""
    d = math.isqrt(2 * len(lower))
    matrix = np.zeros((d, d))
    matrix[np.tril_indices(d)] = lower
    return matrix + np.tril(matrix, -1).T
