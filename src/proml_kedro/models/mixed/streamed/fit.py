"""The whole way: rows to parts, parts to blocks, sweeps, and what was found in files.

Everything is kept in one folder, so that a killed process loses no more than the step it was in: the reading of the
rows as a whole, one part that was being packed, or one sweep.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from proml_kedro.models.component import Array, Examples
from proml_kedro.models.mixed.empirical_bayes import Covariance
from proml_kedro.models.mixed.encoding import Scale
from proml_kedro.models.mixed.spec import INTERCEPT
from proml_kedro.models.mixed.streamed.collect import Effects, collect
from proml_kedro.models.mixed.streamed.pack import Slopes, pack, pack_population
from proml_kedro.models.mixed.streamed.partition import Moments, Partition, partition, parts_for
from proml_kedro.models.mixed.streamed.rows import batches
from proml_kedro.models.mixed.streamed.sweeps import Progress, Settings, Sweeps

logger = logging.getLogger(__name__)

_INTERCEPT_PENALTY = 1e-4  # as in the engine for data in memory


@dataclass(frozen=True)
class Model:
    """What is fitted.

    Attributes:
        entity: The inputs that name the entity together.
        features: What its coefficients multiply, the intercept among them.
        fixed: Those of the features that have a coefficient for all entities too; the intercept always has.
        offset: A numeric input, or None.
        penalty: Precision of the fixed effects' prior.
        variational: Or else penalised quasi-likelihood.
    """

    entity: Sequence[str]
    features: Sequence[str]
    fixed: Sequence[str] = ()
    offset: str | None = None
    penalty: float = 1.0
    variational: bool = True

    @property
    def numbers(self) -> list[str]:
        """Features that are inputs."""
        return [name for name in self.features if name != INTERCEPT]

    def penalties(self) -> Array:
        """Precision of each feature's fixed coefficient, infinite where there is none; shape (d,)."""
        known = {INTERCEPT: _INTERCEPT_PENALTY, **dict.fromkeys(self.fixed, max(self.penalty, _INTERCEPT_PENALTY))}
        return np.array([known.get(name, np.inf) for name in self.features])


@dataclass(frozen=True)
class Found:
    """What was found.

    Attributes:
        scales: Of each feature that is an input.
        mean: Fixed coefficients of the features, zero for those that have none, shape (d,).
        effects: Of the entities.
        progress: How it went; covariance of the population.
        offset_deviation: Standard deviation of the offset over rows.
    """

    scales: dict[str, Scale]
    mean: Array
    effects: Effects
    progress: Progress
    offset_deviation: float


def fit(
    model: Model,
    examples: Sequence[Examples],
    covariance: Covariance,
    threads: int,
    folder: Path,
    **tolerances: Any,
) -> Found:
    """Fit, or go on with a fit of the same model to the same examples.

    Args:
        model: What.
        examples: All rows, one set after the other.
        covariance: Of the entities' coefficients; where to start.
        threads: That share the work.
        folder: Where everything is kept; about 50 bytes a row while parts are packed, and 20 after that.
        tolerances: Of :class:`Settings`.
    """
    rows = divide(model, examples, folder)
    scales, first = scales_of(model, rows), start_of(model, rows)
    with ThreadPoolExecutor(threads) as pool:
        parts = pack_all(model, rows, scales, folder, pool)
        population = np.load(folder / "population.npy", mmap_mode="r")
        file = folder / "progress.json"
        progress = Progress(first.tolist(), covariance.value.tolist())
        if file.exists():
            progress = Progress(**json.loads(file.read_text()))
            covariance.value = np.array(progress.covariance)
            logger.info("going on after sweep %d", progress.sweeps)
        settings = Settings(model.penalties(), model.variational, **tolerances)
        Sweeps(parts, population, settings, pool).fit(covariance, progress, file)
    mean = np.array(progress.mean)
    offset = _scale(rows.moments[0], rows.rows).deviation if model.offset else 0.0
    return Found(scales, mean, collect(parts, len(mean), rows.longest, folder), progress, offset)


def divide(model: Model, examples: Sequence[Examples], folder: Path) -> Partition:
    """The rows in parts: those that are there, or else from the beginning."""
    file, target = folder / "partition.json", folder / "rows"
    count = sum(len(one) for one in examples)
    if file.exists():
        known = json.loads(file.read_text())
        moments = [Moments(**one) for one in known.pop("moments")]
        return Partition(target, **known, moments=moments)
    shutil.rmtree(folder, ignore_errors=True)
    target.mkdir(parents=True)
    columns = [model.offset, *model.numbers]
    rows = partition(lambda: batches(examples, model.entity, columns), len(columns) + 1, parts_for(count), target)
    content = {name: value for name, value in asdict(rows).items() if name != "folder"}
    temporary = file.with_suffix(".writing")
    temporary.write_text(json.dumps(content))
    temporary.rename(file)
    return rows


def pack_all(
    model: Model, rows: Partition, scales: dict[str, Scale], folder: Path, pool: ThreadPoolExecutor
) -> list[Path]:
    """Pack the parts that are not yet packed; their files are removed, one by one."""
    slopes = _slopes(model, scales)
    targets = [folder / "parts" / str(part) for part in range(rows.parts)]

    def work(part: int) -> None:
        if not targets[part].exists():
            pack(*rows.read(part), slopes, targets[part])
        rows.remove(part)

    if not (folder / "population.npy").exists():
        temporary = folder / "population.writing.npy"
        np.save(temporary, pack_population(rows.read_population(), slopes))
        temporary.rename(folder / "population.npy")
    list(pool.map(work, range(rows.parts)))
    return targets


def _slopes(model: Model, scales: dict[str, Scale]) -> Slopes:
    columns, means, factors = [], [], []
    for name in model.features:
        scale = scales.get(name, Scale(0.0, 1.0, False, False))
        columns.append(-1 if name == INTERCEPT else 1 + model.numbers.index(name))
        means.append(scale.mean)
        factors.append(1.0 / scale.deviation)
    return Slopes(np.array(columns, np.int64), np.array(means), np.array(factors))


def _scale(moments: Moments, rows: int) -> Scale:
    deviation = float(np.sqrt(moments.squares / max(moments.count, 1)))
    constant = deviation <= 1e-7 * abs(moments.mean)
    return Scale(moments.mean, 1.0 if constant else deviation, 0 < moments.count < rows, constant)


def scales_of(model: Model, rows: Partition) -> dict[str, Scale]:
    """How each number is standardised."""
    return dict(zip(model.numbers, (_scale(one, rows.rows) for one in rows.moments[1:-1]), strict=True))


def start_of(model: Model, rows: Partition) -> Array:
    """Fixed coefficients to start from: the log-odds of the labels, and no slopes; shape (d,)."""
    offset, label = rows.moments[0], rows.moments[-1]
    ones = label.mean * label.count
    start = np.zeros(len(model.features))
    log_odds = np.log((ones + 0.5) / (rows.rows - ones + 0.5))
    start[list(model.features).index(INTERCEPT)] = log_odds - offset.mean * offset.count / max(rows.rows, 1)
    return start
