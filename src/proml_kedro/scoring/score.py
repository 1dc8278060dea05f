"""Scoring of a table: rows in, parts of scores out, a few rows in memory at a time."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from proml_kedro import __version__
from proml_kedro.bundle import Bundle, IntegrityError
from proml_kedro.bundle.row_scorer import with_neutral
from proml_kedro.engine.session import Session, connect
from proml_kedro.errors import Mistake, UserError
from proml_kedro.evaluation.class_scores import class_columns
from proml_kedro.features.tables.declared import is_used
from proml_kedro.features.tables.readers.base import Source
from proml_kedro.features.training.as_of import FeaturesAsOf, known_since
from proml_kedro.features.views.freshness import freshness
from proml_kedro.models.columns import as_array, to_arrow
from proml_kedro.models.component import Columns
from proml_kedro.models.progress import progress
from proml_kedro.results.names import table_file
from proml_kedro.scoring.counts import Counts
from proml_kedro.scoring.job import ScoringJob
from proml_kedro.scoring.parts import Parts
from proml_kedro.scoring.plain import plain_batches, plain_columns
from proml_kedro.scoring.plan import Plan, Planner
from proml_kedro.scoring.ranked import counted_columns, nothing_counted
from proml_kedro.scoring.rows import Rows, file_rows, files_of, stored_rows
from proml_kedro.scoring.summary import ScoringSummary
from proml_kedro.scoring.wrong_cells import WrongCells
from proml_kedro.spec.training_set import CLASS, EVENT_TIMESTAMP, ORDER, ROW, SCORE

if TYPE_CHECKING:
    import pyarrow as pa

SCORED_ROWS = 1 << 16
"""Rows that are scored at a time."""

JOINED_ROWS = 1 << 18
"""Rows whose features are looked up at a time; a multiple of :data:`SCORED_ROWS`."""

PART_ROWS = 1 << 20
"""Rows of a part; a multiple of :data:`JOINED_ROWS`."""


def score_table(job: ScoringJob, tell: Callable[[str], None]) -> ScoringSummary:
    """Score a table by a bundle, and write the scores to a file once all of them are there.

    The file has a row for each of the table, in its order: ``row`` (int64, from 0), the keys and ``timestamp`` where
    the table has them, ``score`` (float64: a probability, or the mean of a number or count), and ``order`` for a model
    with neutral features, by which rows are to be ranked, and ``rank`` (int64, null for a row that is not shown) for a
    model that says it. An earlier try that was killed is gone on with.

    Args:
        job: What is scored.
        tell: Called with a line for the user, before the end.

    Raises:
        UserError: What is wrong with the bundle, the table or the output, one line each; nothing is written then.
    """
    started = time.perf_counter()
    job.check_output()
    return _Scoring(job, _load(job), tell).run(started)


def _load(job: ScoringJob) -> Bundle:
    """Load the bundle.

    Raises:
        UserError: It is none, or not what was written.
    """
    where = f"{job.bundle_where} {job.bundle}"
    if not job.bundle.is_dir():
        message = "there is no such folder; a bundle is data/PROBLEM/MODEL/bundle, which `kedro run` makes"
        raise UserError(Mistake("", message, where))
    try:
        return Bundle.load(job.bundle)
    except (IntegrityError, OSError) as error:
        raise UserError(Mistake("", " ".join(str(error).split()), where)) from error


class _Scoring:
    """Scoring of one table.

    Args:
        job: What is scored.
        bundle: By what.
        tell: Called with a line for the user.
    """

    def __init__(self, job: ScoringJob, bundle: Bundle, tell: Callable[[str], None]) -> None:
        self._job, self._bundle, self._tell = job, bundle, tell
        self._lookup: FeaturesAsOf | None = None
        self._tables: Path | None = None

    def run(self, started: float) -> ScoringSummary:
        """Score all rows."""
        files = self._files()
        self._job.refuse_same_file(files)
        before = _state_of(files)
        with connect(self._job.hardware) as session, self._rows(session) as rows:
            plan = self._plan(rows)
            if plan.looked_up:
                self._tables = self._job.stored.feature_tables()
                features = self._bundle.manifest.features
                self._lookup = FeaturesAsOf(features, plan.looked_up, self._tables, self._job.hardware)
            parts = Parts(self._job.output, self._made_from(files), self._tell)
            with parts.locked():
                self._write_parts(session, rows, plan, parts)
                if _state_of(files) != before:
                    message = "it changed while it was read; score it again when nobody writes it any more"
                    raise UserError(Mistake("", message, self._job.input))
                parts.finish(self._bundle.graph.spec.rank)
        return self._summary(rows, plan, parts, time.perf_counter() - started)

    def _plan(self, rows: Rows) -> Plan:
        try:
            return Planner(self._bundle.manifest, rows, self._job.as_of).plan(self._bundle.inputs)
        except UserError as error:
            raise UserError(*(replace(one, where=self._job.input) for one in error.mistakes)) from error

    def _files(self) -> list[Path]:
        return [self._job.stored.table(self._job.input)] if self._is_stored else files_of(self._source)

    @property
    def _source(self) -> Source:
        return Source("file", self._job.input, self._job.base_path)

    @property
    def _is_stored(self) -> bool:
        """Whether a table of the problem is meant; a file of that name goes before it."""
        known = self._bundle.manifest.problem.tables
        return self._job.input in known and not (self._job.base_path / self._job.input).exists()

    def _rows(self, session: Session) -> AbstractContextManager[Rows]:
        if self._is_stored:
            return nullcontext(stored_rows(self._files()[0], session))
        return file_rows(self._source, self._bundle.manifest, self._bundle.inputs, session)

    def _made_from(self, files: list[Path]) -> dict[str, str]:
        as_of = self._job.as_of
        return {
            "the input": str(_state_of(files)),
            "the bundle": self._bundle.digest,
            "the feature tables": self._tables.resolve().name if self._tables else "",
            "the moment of --as-of": as_of.astimezone(UTC).isoformat() if as_of else "",
            "the version of proml_kedro": __version__,
            "the size of parts": str(PART_ROWS),
        }

    def _write_parts(self, session: Session, rows: Rows, plan: Plan, parts: Parts) -> None:
        size = JOINED_ROWS if self._lookup else SCORED_ROWS
        total = _known_count(session, rows)
        with progress("rows", None if total is None else -(-total // size)) as advance:
            for _ in range(parts.rows // size):
                advance()
            plain = plain_columns(plan.columns, rows.file, rows.unchanged)
            if plain is not None and rows.file is not None:
                batches = plain_batches(rows.file, plain, SCORED_ROWS)
            else:
                batches = session.batches(f"SELECT {plan.sql} FROM {rows.relation}", SCORED_ROWS)
            pieces = self._read(_in_pieces(batches, size, parts.rows), plan)
            while True:
                counts = Counts()
                tables = self._part(pieces, plan, parts.rows, counts, advance)
                first = next(tables, None)
                if first is None and parts.done:
                    break
                parts.write(chain([self._nothing(session, rows, plan) if first is None else first], tables), counts)
        if total not in (None, parts.rows):
            raise RuntimeError(f"rows were lost or doubled: {total} in the table, {parts.rows} scored")

    def _read(self, pieces: Iterator[pa.Table], plan: Plan) -> Iterator[pa.Table]:
        """Read pieces; what is wrong with cells becomes a mistake of the file.

        Raises:
            UserError: Values are not of their type.
        """
        job = self._job
        with WrongCells(plan, self._bundle.inputs, job.hardware, self._rows, job.input).named():
            yield from pieces

    def _part(
        self, pieces: Iterator[pa.Table], plan: Plan, first: int, counts: Counts, advance: Callable[[], None]
    ) -> Iterator[pa.Table]:
        """Score the pieces of one part."""
        while counts.rows < PART_ROWS and (piece := next(pieces, None)) is not None:
            yield from self._scored(piece, plan, first + counts.rows, counts)
            advance()

    def _scored(self, piece: pa.Table, plan: Plan, first: int, counts: Counts) -> Iterator[pa.Table]:
        found = self._look_up(piece, counts)
        for start in range(0, len(piece), SCORED_ROWS):
            here, there = (one.slice(start, SCORED_ROWS) if one is not None else None for one in (piece, found))
            yield self._score(here, there, plan, first + start, counts)

    def _look_up(self, piece: pa.Table, counts: Counts) -> Any:
        if self._lookup is None:
            return None
        import pyarrow.compute as pc

        found = self._lookup.read(piece.select([*self._lookup.keys, EVENT_TIMESTAMP]))
        for view in self._lookup.views:
            counts.unknown[view] += known_since(found, view).null_count
        moments = piece[EVENT_TIMESTAMP]
        counts.no_moment += moments.null_count
        newest = pc.max(moments).as_py()
        counts.newest = max(counts.newest, newest.isoformat(timespec="seconds") if newest else "")
        return found

    def _score(self, rows: pa.Table, found: Any, plan: Plan, first: int, counts: Counts) -> pa.Table:
        import pyarrow as pa

        columns: Columns = self._columns(rows, found, plan)
        counts.add_inputs(columns)
        neutral = self._bundle.manifest.rows.neutral
        columns = with_neutral(columns, {name: neutral[name] for name in plan.neutral}) if plan.neutral else columns
        scores = self._bundle.score(columns)
        finite = np.isfinite(scores).reshape(len(scores), -1).all(axis=1)
        if not finite.all():
            message = f"the model's score is no number for {int((~finite).sum()):,} of its rows"
            raise UserError(Mistake("", f"{message}, the first in row {first + int(np.argmin(finite)):,}"))
        classes = self._bundle.classes
        counts.add_scores(scores, classes)
        table = rows.select(plan.kept).add_column(0, ROW, pa.array(np.arange(first, first + len(rows))))
        for name, values in class_columns(scores, classes).items() if classes else ((SCORE, scores),):
            table = table.append_column(name, to_arrow(values))
        if neutral and not classes:
            table = table.append_column(ORDER, pa.array(self._bundle.order_scores(columns), pa.float64()))
        if self._bundle.graph.spec.rank:
            for name, values in counted_columns(self._bundle, columns).items():
                table = table.append_column(name, values)
        return table

    def _columns(self, rows: pa.Table, found: Any, plan: Plan) -> Columns:
        counted = self._bundle.graph.spec.rank is not None  # whose values tell groups apart, so that none is rounded
        return {
            one.name: as_array(
                (found if one.name in plan.looked_up else rows)[one.name],
                one,
                "float64" if counted else self._bundle.precision_of(one),
            )
            for one in self._bundle.inputs
            if one.name not in plan.neutral
        }

    def _nothing(self, session: Session, rows: Rows, plan: Plan) -> pa.Table:
        """Return the columns of scores without a row."""
        import pyarrow as pa

        empty = session.arrow(f"SELECT {plan.sql} FROM {rows.relation} LIMIT 0").select(plan.kept)
        empty = empty.add_column(0, ROW, pa.array([], pa.int64()))
        classes = self._bundle.classes
        of_classes = class_columns(np.zeros((0, len(classes))), classes) if classes else {}
        ordered = [ORDER] if self._bundle.manifest.rows.neutral and not classes else []
        for name in of_classes or (SCORE, *ordered):
            empty = empty.append_column(name, pa.array([], pa.string() if name == CLASS else pa.float64()))
        if rank := self._bundle.graph.spec.rank:
            for name, values in nothing_counted(rank, self._bundle).items():
                empty = empty.append_column(name, values)
        return empty

    def _summary(self, rows: Rows, plan: Plan, parts: Parts, seconds: float) -> ScoringSummary:
        counts = Counts()
        for part in parts.done:
            counts.add(part.counts)
        computed, looked_up = len(plan.computed), len(plan.looked_up)
        named = len(self._bundle.inputs) - computed - looked_up - len(plan.neutral)
        ends = {}
        for view in self._lookup.views if self._lookup and self._tables else ():
            fresh = freshness(table_file(self._tables.resolve(), view)) if self._tables else None
            ends[view] = fresh.newest.isoformat(timespec="seconds") if fresh and fresh.newest else "no time"
        return ScoringSummary(
            bundle=self._bundle.manifest.tag,
            output=self._job.output,
            counts=counts,
            sources={
                "as columns of their names": named,
                "computed from columns": computed,
                "looked up by key": looked_up,
            },
            kept=rows.kept,
            neutral=plan.neutral,
            ignored=_ignored(rows, plan),
            values_end=ends,
            seconds=seconds,
        )


def _ignored(rows: Rows, plan: Plan) -> list[str]:
    """Columns of the file that no input, key or moment is made of, as far as names tell."""
    words = frozenset(re.findall(r"\w+", " ".join([*plan.columns.values(), rows.derived]).lower()))
    return [name for name in rows.source_columns if not is_used(name, words)]


def _in_pieces(batches: Iterator[pa.RecordBatch], size: int, skip: int) -> Iterator[pa.Table]:
    """Cut rows into pieces of one size, the last one shorter, so that what is scored together is so in every try.

    Args:
        batches: The rows.
        size: Rows of a piece.
        skip: Rows at the beginning that are left out.
    """
    import pyarrow as pa

    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        left = min(skip, batch.num_rows)
        skip -= left
        batch = batch.slice(left)
        while count + batch.num_rows >= size:
            taken = size - count
            yield pa.Table.from_batches([*waiting, batch.slice(0, taken)]).combine_chunks()
            batch, waiting, count = batch.slice(taken), [], 0
        if batch.num_rows:
            waiting.append(batch)
            count += batch.num_rows
    if waiting:
        yield pa.Table.from_batches(waiting).combine_chunks()


def _known_count(session: Session, rows: Rows) -> int | None:
    """Count the rows where that needs no reading of them; None elsewhere."""
    if "read_parquet" not in rows.relation.sql:
        return None
    return int(session.row(f"SELECT count(*) FROM {rows.relation}")[0])


def _state_of(files: list[Path]) -> list[tuple[str, int, int, int, int]]:
    """What changes when somebody writes one of the files, or puts another one in its place.

    The moment of the last change of state no program can set, so that the content need not be read for it.
    """
    states = [(str(file), file.stat()) for file in files]  # folders may be columns
    return [(name, one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns) for name, one in states]
