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
from proml_kedro.models.mixed.covariance import Covariance
from proml_kedro.models.mixed.encoding import Scale
from proml_kedro.models.mixed.streamed.problem import Measured, Model
from proml_kedro.models.mixed.streamed.storage.blocks import Part, pack
from proml_kedro.models.mixed.streamed.storage.collect import Effects, collect
from proml_kedro.models.mixed.streamed.storage.index import Index
from proml_kedro.models.mixed.streamed.storage.partition import Moments, Partition, partition, parts_for
from proml_kedro.models.mixed.streamed.storage.read import batches
from proml_kedro.models.mixed.streamed.sweeps import Progress, Settings, Sweeps
from proml_kedro.models.mixed.streamed.warm_start import Start

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """What was found.

    Attributes:
        scales: Of each feature that is an input.
        mean: Fixed coefficients of the features, zero for those that have none, shape (d,).
        errors: Their standard errors.
        covariance: Of the population, shape (d, d).
        spread: Root mean squares of the entities' coefficients, shape (d,).
        dispersion: Residual variance, of the linear loss.
        effects: Of the entities.
        progress: How it went; in the unit of the fit.
        offset_deviation: Standard deviation of the offset over rows.
        rows: That were learned from.
        left_out: Rows of entities with too many.
    """

    scales: dict[str, Scale]
    mean: Array
    errors: Array
    covariance: Array
    spread: Array
    dispersion: float
    effects: Effects
    progress: Progress
    offset_deviation: float
    rows: int
    left_out: int


def fit(
    measured: Measured,
    covariance: Covariance,
    threads: int,
    folder: Path,
    start: Start | None = None,
    **tolerances: Any,
) -> Found:
    """Fit, or go on with a fit of the same model to the same examples.

    Args:
        measured: The model, and its rows as :func:`divide` has left them in the folder.
        covariance: Of the entities' coefficients, in the unit of the fit; where to start.
        threads: That share the work.
        folder: Where everything is kept; about 50 bytes a row while parts are packed, and 20 after that.
        start: From an earlier model.
        tolerances: Of :class:`Settings`.
    """
    model = measured.model
    with ThreadPoolExecutor(threads) as pool:
        parts = pack_all(measured, folder, pool)
        index = Index.of(parts, measured.rows.longest, folder)
        file = folder / "progress.json"
        if file.exists():
            progress = Progress(**json.loads(file.read_text()))
            covariance.restore(progress.covariance_state)
            logger.info("going on after sweep %d", progress.sweeps)
        else:
            progress = _begin(measured, index, covariance, start)
        tolerances = {"sample_first": start is None, **tolerances}
        settings = Settings(model.penalties(), model.variational, measured.form, model.intercept, **tolerances)
        Sweeps(parts, settings, pool).fit(covariance, progress, file)
    effects = collect(index, len(model.features), measured.unit.deviation, folder)
    return _found(measured, effects, progress, parts)


def _begin(measured: Measured, index: Index, covariance: Covariance, start: Start | None) -> Progress:
    """From an earlier model, or from a model that has nothing but an intercept."""
    value: list[list[float]] = covariance.value.tolist()
    if start is None:
        part = Part.open(index.parts[0])
        return Progress(measured.first_mean([part.rows, part.loose]).tolist(), value)
    start.lay_into(index, measured.unit)
    dispersion = start.earlier.learned.dispersion / measured.unit.deviation**2
    return Progress(start.mean(measured.unit).tolist(), value, dispersion)


def _found(measured: Measured, effects: Effects, progress: Progress, parts: Sequence[Path]) -> Found:
    """In the unit of the label."""
    unit = measured.unit
    mean = np.array(progress.mean) * unit.deviation
    mean[measured.model.intercept] += unit.mean
    left_out = sum(int(Part.open(one).left_out) for one in parts)
    return Found(
        measured.scales,
        mean,
        np.array(progress.errors) * unit.deviation,
        np.array(progress.covariance) * unit.deviation**2,
        np.array(progress.spread) * unit.deviation,
        progress.dispersion * unit.deviation**2,
        effects,
        progress,
        measured.offset_deviation,
        measured.rows.rows - left_out,
        left_out,
    )


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
    wanted = model.wanted(examples)
    rows = partition(lambda: batches(examples, wanted), wanted.columns, wanted.weighted, parts_for(count), target)
    content = {name: value for name, value in asdict(rows).items() if name != "folder"}
    temporary = file.with_suffix(".writing")
    temporary.write_text(json.dumps(content))
    temporary.rename(file)
    return rows


def pack_all(measured: Measured, folder: Path, pool: ThreadPoolExecutor) -> list[Path]:
    """Pack the parts that are not yet packed; their files are removed, one by one."""
    rows, slopes = measured.rows, measured.slopes()
    targets = [folder / "parts" / str(part) for part in range(rows.parts)]

    def work(part: int) -> None:
        if not targets[part].exists():
            pack(*rows.read(part), slopes, targets[part], measured.model.bounds)
        rows.remove(part)

    list(pool.map(work, range(rows.parts)))
    return targets
