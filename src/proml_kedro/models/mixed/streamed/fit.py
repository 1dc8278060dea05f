"""Streamed fit: rows to parts, parts to blocks, sweeps, and the result in files.

Everything is kept in one folder, so that a killed process loses at most the step that it was in: the first pass over
the rows as a whole, one part that was being packed, or one sweep.
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
from proml_kedro.models.mixed.streamed.problem import StandardisedProblem, StreamedProblem
from proml_kedro.models.mixed.streamed.progress import Progress, SweepSettings
from proml_kedro.models.mixed.streamed.storage.blocks import PackedPart, pack
from proml_kedro.models.mixed.streamed.storage.collect import CollectedEffects, collect
from proml_kedro.models.mixed.streamed.storage.index import EntityIndex
from proml_kedro.models.mixed.streamed.storage.partition import ColumnMoments, Partition, partition, parts_for
from proml_kedro.models.mixed.streamed.storage.read import batches
from proml_kedro.models.mixed.streamed.sweeps import Sweeps
from proml_kedro.models.mixed.streamed.warm_start import StreamedStart

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StreamedFit:
    """Result of a streamed fit, in the unit of the label.

    Attributes:
        scales: Standardisation of each feature that is an input.
        mean: Fixed coefficient of each feature, zero for those that have none, shape (d,).
        errors: Standard errors, shape (d,).
        covariance: Covariance of the population, shape (d, d).
        spread: Root mean squares of the entities' coefficients, shape (d,).
        dispersion: Residual variance, with the linear loss.
        effects: Coefficients of the entities.
        progress: Course of the sweeps, in the unit of the fit.
        offset_deviation: Standard deviation of the offset over rows.
        rows: Number of training rows.
        left_out: Number of rows that ``max_rows`` omits.
    """

    scales: dict[str, Scale]
    mean: Array
    errors: Array
    covariance: Array
    spread: Array
    dispersion: float
    effects: CollectedEffects
    progress: Progress
    offset_deviation: float
    rows: int
    left_out: int


def fit(
    problem: StandardisedProblem,
    covariance: Covariance,
    threads: int,
    folder: Path,
    start: StreamedStart | None = None,
    **tolerances: Any,
) -> StreamedFit:
    """Fit, or resume a fit of the same model to the same examples.

    Args:
        problem: The model, and its rows as :func:`divide` has left them in the folder.
        covariance: Initial covariance of the entities' coefficients, in the unit of the fit.
        threads: Number of threads.
        folder: Folder of all files; about 50 bytes a row while parts are packed, and 20 afterwards.
        start: Initial values from a previous model.
        tolerances: Fields of :class:`.progress.SweepSettings`.
    """
    model = problem.problem
    with ThreadPoolExecutor(threads) as pool:
        parts = pack_all(problem, folder, pool)
        index = EntityIndex.of(parts, problem.rows.longest, folder)
        file = folder / "progress.json"
        known = _read(file)
        if known is not None:
            progress = Progress(**known)
            covariance.restore(progress.covariance_state)
            logger.info("going on after sweep %d", progress.sweeps)
        else:
            progress = _first_progress(problem, index, covariance, start)
        tolerances = {"sample_first": start is None, **tolerances}
        settings = SweepSettings(model.penalties(), model.variational, problem.form, model.intercept, **tolerances)
        Sweeps(parts, settings, pool).fit(covariance, progress, file)
    effects = collect(index, len(model.features), problem.unit.deviation, folder)
    return _result(problem, effects, progress, parts)


def _first_progress(
    problem: StandardisedProblem, index: EntityIndex, covariance: Covariance, start: StreamedStart | None
) -> Progress:
    """Start from a previous model, or from a model with nothing but an intercept."""
    value: list[list[float]] = covariance.value.tolist()
    if start is None:
        part = PackedPart.open(index.parts[0])
        return Progress(problem.first_mean([part.rows, part.loose]).tolist(), value)
    start.write_states(index, problem.unit)
    dispersion = start.previous.fitted.dispersion / problem.unit.deviation**2
    return Progress(start.mean(problem.unit).tolist(), value, dispersion)


def _result(
    problem: StandardisedProblem, effects: CollectedEffects, progress: Progress, parts: Sequence[Path]
) -> StreamedFit:
    """Convert the result to the unit of the label."""
    unit = problem.unit
    mean = np.array(progress.mean) * unit.deviation
    mean[problem.problem.intercept] += unit.mean
    left_out = sum(int(PackedPart.open(one).left_out) for one in parts)
    return StreamedFit(
        scales=problem.scales,
        mean=mean,
        errors=np.array(progress.errors) * unit.deviation,
        covariance=np.array(progress.covariance) * unit.deviation**2,
        spread=np.array(progress.spread) * unit.deviation,
        dispersion=progress.dispersion * unit.deviation**2,
        effects=effects,
        progress=progress,
        offset_deviation=problem.offset_deviation,
        rows=problem.rows.rows - left_out,
        left_out=left_out,
    )


def divide(problem: StreamedProblem, examples: Sequence[Examples], folder: Path) -> Partition:
    """Divide rows into parts, or find the parts of an earlier run."""
    file, target = folder / "partition.json", folder / "rows"
    count = sum(len(one) for one in examples)
    known = _read(file)
    if known is not None:
        moments = [ColumnMoments(**one) for one in known.pop("moments")]
        return Partition(target, **known, moments=moments)
    shutil.rmtree(folder, ignore_errors=True)
    target.mkdir(parents=True)
    schema = problem.schema(examples)
    rows = partition(lambda: batches(examples, schema), schema.columns, schema.weighted, parts_for(count), target)
    rows.origins = schema.origins
    content = {name: value for name, value in asdict(rows).items() if name != "folder"}
    temporary = file.with_suffix(".writing")
    temporary.write_text(json.dumps(content))
    temporary.rename(file)
    return rows


def _read(file: Path) -> dict[str, Any] | None:
    """Read what an earlier process has noted; None when it has noted nothing, or that is damaged."""
    try:
        content: dict[str, Any] = json.loads(file.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        logger.warning("%s cannot be read; the fit starts anew", file)
        return None
    return content


def pack_all(problem: StandardisedProblem, folder: Path, pool: ThreadPoolExecutor) -> list[Path]:
    """Pack the parts that are not packed yet, and remove their files one by one."""
    rows, encoder = problem.rows, problem.encoder()
    targets = [folder / "parts" / str(part) for part in range(rows.parts)]

    def work(part: int) -> None:
        if not targets[part].exists():
            pack(*rows.read(part), encoder, targets[part], problem.problem.bounds)
        rows.remove(part)

    list(pool.map(work, range(rows.parts)))
    return targets
