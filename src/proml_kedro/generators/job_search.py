"""``kind: job_search``: a search for jobs, as Parquet files that are written a part at a time.

Tables for models::

    members.parquet      member_id, member_title_id, title, region, seniority, title_embedding
    jobs.parquet         job_id, posted_at, job_title_id, title, region, seniority, company_id, is_remote, salary_k, …
    impressions.parquet  a row for each job that was shown to somebody: who, what, where in the list, and what happened

and what no model may see::

    truth/impressions.parquet                probabilities of each action
    truth/{members,jobs,titles}.parquet      random effects and embeddings without noise
    truth/anomalies.json                     the faults that were injected
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from proml_kedro.generators.job_faults import Fault, faults_of, lost_actions, recorded_rows, spoil_salary
from proml_kedro.generators.job_lists import (
    Actions,
    Searches,
    Shown,
    Truth,
    draw_actions,
    draw_lists,
    draw_searches,
    find_truth,
)
from proml_kedro.generators.job_titles import REGIONS, Floats
from proml_kedro.generators.job_world import DAYS_BEFORE, Doubles, Ints, People, World, draw_world
from proml_kedro.spec.generator import GeneratorSpec

_PART = 10_000  # searches at once; part of what defines the data, since each has random numbers of its own


def write_job_search(spec: GeneratorSpec, folder: Path) -> None:
    """Write all tables; memory is that of members, jobs, one number a list, and one part of the impressions.

    Args:
        spec: How much there is.
        folder: An empty folder to write to.
    """
    world, faults = draw_world(spec), faults_of(spec)
    searches = draw_searches(spec, world)
    (folder / "truth").mkdir()
    _write_world(spec, world, folder)
    with ExitStack() as stack:
        impressions = stack.enter_context(_Appender(folder / "impressions.parquet"))
        truths = stack.enter_context(_Appender(folder / "truth" / "impressions.parquet"))
        first = 0
        for number, start in enumerate(range(0, spec.lists, _PART)):
            generator = np.random.default_rng([spec.seed, 2, number])
            part = searches.part(start, start + _PART)
            recorded, truth = _part(spec, world, part, faults, generator, (start, first))
            impressions.write(recorded)
            truths.write(truth)
            first += truth.num_rows
    (folder / "truth" / "anomalies.json").write_text(json.dumps([_described(one, spec) for one in faults], indent=1))


class _Appender:
    """A Parquet file that grows by a table at a time."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._writer: Any = None

    def write(self, table: pa.Table) -> None:
        """Append a table; the first one decides about the columns."""
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, table.schema, compression="zstd")
        self._writer.write_table(table)

    def __enter__(self) -> _Appender:
        return self

    def __exit__(self, *error: object) -> None:
        if self._writer is not None:
            self._writer.close()


def _part(
    spec: GeneratorSpec,
    world: World,
    searches: Searches,
    faults: tuple[Fault, ...],
    generator: np.random.Generator,
    first: tuple[int, int],
) -> tuple[pa.Table, pa.Table]:
    """Draw the impressions of some searches as they are recorded, with the truth about them.

    Args:
        spec: How much there is.
        world: Members and jobs.
        searches: The searches.
        faults: Of the recording.
        generator: Of this part's random numbers.
        first: Number of the first search and of the first impression.
    """
    shown = draw_lists(spec, world, searches, generator)
    truth = find_truth(world, shown)
    actions = draw_actions(truth, generator)
    ids = first[1] + np.arange(len(shown.job))
    columns = {
        "impression_id": pa.array(ids),
        "list_id": pa.array(first[0] + shown.search),
        "event_timestamp": _moments(spec, shown.day + shown.position / 86_400),
        "position": pa.array(shown.position, pa.int32()),
        **_known(world, shown),
        "salary_k": _numbers(spoil_salary(world.salary[shown.job], shown.day, faults, generator)),
        **_actions(spec, shown, actions, lost_actions(shown.day, faults, generator)),
    }
    recorded = pa.table(columns).take(pa.array(recorded_rows(shown.day, faults, generator)))
    return recorded, _truth(ids, truth)


def _known(world: World, shown: Shown) -> dict[str, pa.Array]:
    """Collect what is known of member and job when the list is shown."""
    members, jobs, member, job = world.members, world.jobs, shown.member, shown.job
    return {
        "member_id": pa.array(member),
        "job_id": pa.array(job),
        "member_title_id": _words(members.title[member], world.titles.names),
        "job_title_id": _words(jobs.title[job], world.titles.names),
        "member_title": _words(members.text[member], world.texts),
        "job_title": _words(jobs.text[job], world.texts),
        "member_region": _words(members.region[member], REGIONS),
        "job_region": _words(jobs.region[job], REGIONS),
        "member_seniority": pa.array(members.seniority[member], pa.int32()),
        "job_seniority": pa.array(jobs.seniority[job], pa.int32()),
        "is_remote": pa.array(world.is_remote[job]),
        "job_age_days": pa.array(np.round(shown.day - world.posted[job], 2)),
    }


def _actions(spec: GeneratorSpec, shown: Shown, actions: Actions, lost: npt.NDArray[np.bool_]) -> dict[str, pa.Array]:
    moments = shown.day + shown.position / 86_400 + np.where(lost, np.nan, actions.apply_delay)
    return {
        "click": pa.array(actions.click & ~lost),
        "dismiss": pa.array(actions.dismiss & ~lost),
        "apply": pa.array(actions.apply & ~lost),
        "apply_timestamp": _moments(spec, moments),
    }


def _truth(ids: Ints, truth: Truth) -> pa.Table:
    return pa.table(
        {
            "impression_id": ids,
            "relevance": truth.relevance,
            "examination": truth.examination,
            "p_click": truth.click,
            "p_dismiss": truth.dismiss,
            "p_apply_after_click": truth.apply,
        }
    )


def _write_world(spec: GeneratorSpec, world: World, folder: Path) -> None:
    members, jobs = _people(world, world.members, "member"), _people(world, world.jobs, "job")
    jobs |= {
        "posted_at": _moments(spec, world.posted),
        "company_id": pa.array(world.company),
        "is_remote": pa.array(world.is_remote),
        "salary_k": pa.array(world.salary),
    }
    members["joined_at"] = _moments(spec, np.full(spec.members, -float(DAYS_BEFORE)))
    hidden = {"intercept": pa.array(world.members.intercept), "remote_slope": pa.array(world.remote_slope)}
    titles = {"title_id": pa.array(world.titles.names), "family": pa.array(world.titles.families)}
    tables = {
        "members": members,
        "jobs": jobs,
        "truth/members": {**_hidden(world.members, "member"), **hidden},
        "truth/jobs": {**_hidden(world.jobs, "job"), "intercept": pa.array(world.jobs.intercept)},
        "truth/titles": {**titles, "embedding": _vectors(world.titles.embeddings)},
    }
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), folder / f"{name}.parquet", compression="zstd")


def _people(world: World, people: People, prefix: str) -> dict[str, pa.Array]:
    return {
        f"{prefix}_id": pa.array(np.arange(len(people.title))),
        f"{prefix}_title_id": _words(people.title, world.titles.names),
        "title": _words(people.text, world.texts),
        "region": _words(people.region, REGIONS),
        "seniority": pa.array(people.seniority, pa.int32()),
        "title_embedding": _vectors(people.seen_embedding),
    }


def _hidden(people: People, prefix: str) -> dict[str, pa.Array]:
    return {f"{prefix}_id": pa.array(np.arange(len(people.title))), "embedding": _vectors(people.embedding)}


def _words(numbers: Ints, words: tuple[str, ...]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(numbers, pa.int32()), pa.array(words))


def _vectors(vectors: Floats) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])


def _numbers(values: Doubles) -> pa.Array:
    """Convert numbers, null for NaN."""
    return pa.array(values, mask=np.isnan(values))


def _moments(spec: GeneratorSpec, days: Doubles) -> pa.Array:
    """Convert days after the start to moments, to the second; null for NaN."""
    unknown = np.isnan(days)
    seconds = np.where(unknown, 0, days * 86_400).astype(np.int64)
    start = np.datetime64(spec.start, "us")
    return pa.array(start + seconds * np.timedelta64(1_000_000, "us"), pa.timestamp("us", "UTC"), mask=unknown)


def _described(fault: Fault, spec: GeneratorSpec) -> Mapping[str, Any]:
    start = np.datetime64(spec.start, "s")
    moments = {
        name: f"{start + np.timedelta64(round(86_400 * day), 's')}Z"
        for name, day in (("from", fault.start), ("to", fault.end))
    }
    return {name: value for name, value in asdict(fault).items() if name not in ("start", "end")} | moments
