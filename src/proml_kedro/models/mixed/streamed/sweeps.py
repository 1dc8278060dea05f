"""Sweeps over the parts, and in between them the population's mean, covariance and residual variance, from sums alone.

A sweep brings every entity to the mode of its posterior, its coefficients being b + L w with the prior Normal(0, 1) of
w and S = L L', and returns the sums over the entities of w, of w w' and of 1 - 1 / H, 1 / H being the posterior
covariance of w. The gradient of what is maximised by b is R = 1 / L' times sum w, plus that of rows without an entity;
once each entity follows b on its own, its curvature is (Schur complement, I_e being what an entity's rows tell)

    sum (I_e - I_e V_e I_e) = R (sum 1 - 1 / H) R'

plus that of rows without an entity. One Newton step for b therefore needs no pass over the rows, nor does the update
of S (see :class:`~proml_kedro.models.mixed.covariance.Covariance`).

Of the linear loss the residual variance phi is the residual sum of squares for each row that no coefficient takes up
(restricted maximum likelihood). Of the coefficients of the entities the rows determine sum trace(1 - 1 / H).
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.covariance import Covariance
from proml_kedro.models.mixed.streamed.kernels.compile import kernels_of, triangle
from proml_kedro.models.mixed.streamed.storage.blocks import Part
from proml_kedro.models.mixed.streamed.storage.row_format import LINEAR, LOGISTIC, POISSON, floats_of

logger = logging.getLogger(__name__)

_SAMPLE = 200_000  # entities from which mean and covariance are estimated before the first full sweep
_GROWTH = 5  # of a sample to the next, which takes few sweeps and is nearer to what all say
_COARSE = 4  # full sweeps until entities are brought nearer to their modes, and then nearer still
_LARGEST_STEP = 2.0  # of the population's mean, in log-odds or logarithms of a mean
_LEAST_DISPERSION = 1e-6  # where labels are known for certain; as a share of their variance


@dataclass(frozen=True)
class Settings:
    """How to fit.

    Attributes:
        variational: Average the likelihood over the posterior of the effects, instead of taking it at the mode.
        penalty: Precision of the prior of each fixed effect, shape (d,); infinite for a slope that has none.
        form: Of the rows, see :mod:`.forms`.
        intercept: Which of the slopes it is.
        tolerance: An entity rests when no coefficient of its block moves further; in the unit of the margin. What is
            then left is of the order of its square.
        mean_tolerance: Largest change of a fixed effect to stop at.
        covariance_tolerance: Largest relative change of the covariance, or of the dispersion, to stop at.
        max_sweeps: Full sweeps there may be.
        newton_steps: Steps an entity may take in a sweep.
        sample_first: Whether mean and covariance are estimated from a sample before the first full sweep; not where
            they start from those of an earlier model.
    """

    penalty: Array
    variational: bool = True
    form: int = LOGISTIC
    intercept: int = 0
    tolerance: float = 1e-2
    mean_tolerance: float = 1e-3
    covariance_tolerance: float = 5e-3
    max_sweeps: int = 50
    newton_steps: int = 25
    sample_first: bool = True

    @property
    def spread(self) -> float:
        """What the variance of a row's margin is multiplied by where the likelihood is averaged over it."""
        if not self.variational or self.form == LINEAR:
            return 0.0
        return 0.5 if self.form == POISSON else math.pi / 8


@dataclass
class Progress:
    """Where the fit stands; saved after every sweep.

    Attributes:
        mean: Of the population: b.
        covariance: S.
        dispersion: Residual variance, of the linear loss.
        sweeps: Full sweeps done.
        converged: Whether tolerances were reached.
        spread: Root mean squares of u over the entities.
        errors: Standard errors of the fixed effects, 0 where there is none.
        covariance_state: All that the next update of the covariance goes on from.
        history: One entry a sweep, also of the sample.
    """

    mean: list[float]
    covariance: list[list[float]]
    dispersion: float = 1.0
    sweeps: int = 0
    converged: bool = False
    spread: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    covariance_state: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)

    def save(self, file: Path) -> None:
        """Replace the file in one step: a killed process leaves the last sweep's or this one's."""
        temporary = file.with_name(f"{file.name}.writing")
        temporary.write_text(json.dumps(asdict(self)))
        temporary.replace(file)


@dataclass(frozen=True)
class _Sums:
    """Of a sweep.

    Attributes:
        entities: How many.
        rows: Vectors of rows.
        visited: How many of them were visited, each as often as it was.
        weight: Rows by weight, of the linear loss.
        first: Sum of w, shape (d,).
        moment: Sum of w w', shape (d, d).
        told: Sum of 1 - 1 / H, shape (d, d): what rows tell of entities, next to what the population does.
        deviance: Of the linear loss, residual sum of squares over phi, and sum of w'w.
        gradient: Of rows that belong to the population, with respect to b, shape (d,).
        curvature: Of the same, shape (d, d).
        squares: Of the same, residual sum of squares, of the linear loss.
    """

    entities: int
    rows: int
    visited: int
    weight: float
    first: Array
    moment: Array
    told: Array
    deviance: float
    gradient: Array
    curvature: Array
    squares: float


@dataclass(frozen=True)
class _Step:
    """Of the fixed effects.

    Attributes:
        change: Shape (d,).
        determined: How many of them the data determine, the others being the prior's.
        errors: Their standard errors, shape (d,).
    """

    change: Array
    determined: float
    errors: Array


class Sweeps:
    """Runs the kernels over parts.

    Args:
        folders: Of the parts, which hold all entities. A part is mapped only while it is swept.
        settings: How.
        pool: Threads that share the parts. Sums are added in the order of the parts: the result is the same for any
            number of threads.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        settings: Settings,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._folders = folders
        self._settings = settings
        self._pool = pool
        self._d = len(settings.penalty)
        self._kernels = kernels_of(self._d, settings.form)
        self._floats = floats_of(settings.form)

    def fit(self, covariance: Covariance, progress: Progress, file: Path) -> None:
        """Sweep until nothing moves: first over samples, parts being random ones, then over all.

        Args:
            covariance: Of the population; updated.
            progress: Where to start; updated.
            file: Where progress is saved after every full sweep.
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
        """The first parts: those that hold enough entities, then some times as many, up to a quarter of all."""
        entities, enough = 0, _SAMPLE
        for count, folder in enumerate(self._folders[: len(self._folders) // 4], start=1):
            entities += len(Part.open(folder).words)
            if entities >= enough:
                yield self._folders[:count]
                enough = _GROWTH * entities

    def _sweep(self, folders: Sequence[Path], covariance: Covariance, progress: Progress) -> bool:
        """One sweep, and the mean and variances that follow from it; whether all have come to rest."""
        root = np.linalg.cholesky(covariance.value)
        sums = self._sums(folders, root, progress)
        step = self._mean_step(sums, root, np.array(progress.mean))
        change = self._update_dispersion(sums, step, progress) if self._settings.form == LINEAR else 0.0
        progress.covariance = covariance.value.tolist()  # that the effects were shrunk by
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

    def _sums(self, folders: Sequence[Path], root: Array, progress: Progress) -> _Sums:
        d, entries, settings, f = self._d, triangle(self._d), self._settings, self._floats
        mean, scale = np.asarray(progress.mean, f), f(1.0 / progress.dispersion)
        prior = np.asarray(root, f), np.asarray(np.linalg.inv(root), f), mean
        how = f(settings.spread), scale, f(self._tolerance(progress)), settings.newton_steps

        def work(folder: Path) -> Array:
            part, sums = Part.open(folder), np.zeros(d + 2 * entries + 1)
            visited = self._kernels.sweep(part.rows, part.starts, part.used, part.state, *prior, *how, sums)
            facts = len(part.words), len(part.rows), visited, self._weight(part.counts)
            return np.array([*facts, *sums, *self._of_population(part.loose, mean, scale)])

        facts, swept, population = np.split(
            np.sum(list(self._pool.map(work, folders)), axis=0), np.cumsum([4, d + 2 * entries + 1])
        )
        first, moment, told, deviance = np.split(swept, np.cumsum([d, entries, entries]))
        weight, gradient, curvature, squares = np.split(population, np.cumsum([1, d, entries]))
        return _Sums(
            entities=int(facts[0]),
            rows=int(facts[1]),
            visited=int(facts[2]),
            weight=float(facts[3] + weight[0]),
            first=first,
            moment=_symmetric(moment),
            told=_symmetric(told),
            deviance=float(deviance[0]),
            gradient=gradient,
            curvature=_symmetric(curvature),
            squares=float(squares[0]),
        )

    def _tolerance(self, progress: Progress) -> float:
        """Finer after some sweeps: where entities tell the label for certain, their rests move the mean to and fro."""
        return self._settings.tolerance / (1 + progress.sweeps // _COARSE)

    def _weight(self, counts: Array) -> float:
        """Rows of entities, where they matter."""
        return float(counts.sum()) if self._settings.form == LINEAR else 0.0

    def _of_population(self, rows: npt.NDArray[np.float32], mean: Array, scale: np.floating[Any]) -> Array:
        """Rows by weight, gradient, curvature and squares of rows that belong to no entity, one after the other."""
        d = self._d
        g, h, weight = np.zeros(d + 1), np.zeros(triangle(d)), 0.0
        if len(rows):
            self._kernels.population(rows, mean, scale, g, h)
            if self._settings.form == LINEAR:  # the slope of the intercept is the root of the weight
                weight = float(np.square(rows[:, 1 + self._settings.intercept], dtype=np.float64).sum())
        return np.array([weight, *g[:d], *h, g[d]])

    def _mean_step(self, sums: _Sums, root: Array, mean: Array) -> _Step:
        """One Newton step of the slopes that have a fixed effect, zero for the others."""
        d, penalty = self._d, self._settings.penalty
        back = np.linalg.inv(root).T
        gradient = back @ sums.first + sums.gradient
        curvature = back @ sums.told @ back.T + sums.curvature
        fixed = np.flatnonzero(np.isfinite(penalty))
        gradient = gradient[fixed] - penalty[fixed] * mean[fixed]
        curvature = curvature[np.ix_(fixed, fixed)] + np.diag(penalty[fixed])
        step = np.zeros(d)
        step[fixed] = np.linalg.solve(curvature, gradient)
        variances = np.zeros(d)
        variances[fixed] = np.diag(np.linalg.inv(curvature))
        determined = len(fixed) - float(variances[fixed] @ penalty[fixed])
        most = math.inf if self._settings.form == LINEAR else _LARGEST_STEP
        return _Step(step * min(1.0, most / max(float(np.abs(step).max()), 1e-9)), determined, np.sqrt(variances))

    def _update_dispersion(self, sums: _Sums, step: _Step, progress: Progress) -> float:
        """The residual sum of squares for each free row; the relative change."""
        determined = step.determined + float(np.trace(sums.told))
        squares = progress.dispersion * (sums.deviance - float(np.trace(sums.moment))) + sums.squares
        new = max(squares / max(sums.weight - determined, 1e-3), _LEAST_DISPERSION)
        change = abs(new - progress.dispersion) / progress.dispersion
        progress.dispersion = new
        return change


def _symmetric(lower: Array) -> Array:
    """A symmetric matrix from its lower triangle."""
    d = math.isqrt(2 * len(lower))
    matrix = np.zeros((d, d))
    matrix[np.tril_indices(d)] = lower
    return matrix + np.tril(matrix, -1).T
