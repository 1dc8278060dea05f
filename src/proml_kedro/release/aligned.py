"""The same examples as several models score them: rows aligned by example, refused where they are not the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from proml_kedro.errors import Mistake, UserError
from proml_kedro.evaluation.rows import Grouping, ModelScores, ScoredRows
from proml_kedro.release.scored import ScoredModel
from proml_kedro.spec.problem import Task
from proml_kedro.spec.training_set import (
    BASELINE,
    DAY,
    EXAMPLE_ID,
    LABEL,
    ORDER,
    SCORED,
    TIMESTAMP,
    WEIGHT,
    probability_of,
)

AnyArray = npt.NDArray[Any]


@dataclass(frozen=True)
class Aligned:
    """Models on the examples that all of them have scored.

    Attributes:
        models: The models, each with the same examples in the same order.
        notices: What was left out, in words.
    """

    models: Sequence[ScoredModel]
    notices: Sequence[str]

    def pair(self, place: int, cluster_by: str, within: str | None) -> ScoredRows:
        """Return the rows of one model and of the first one, its baseline.

        Args:
            place: Of the model.
            cluster_by: Column that makes rows a cluster; ``row`` for none.
            within: Column that makes rows a group of a ranking; None where no order is judged.

        Raises:
            UserError: There is no such column.
        """
        first, model = self.models[0], self.models[place]
        classes = _classes(first)
        return ScoredRows(
            label=_class_numbers(first, classes) if classes else _numbers(first.rows, LABEL),
            candidate=_scores(model, within),
            baseline=_scores(first, within),
            task=cast(Task, first.metrics.task),
            classes=classes,
            clusters=None if cluster_by == "row" else _column(first, cluster_by, "--by"),
            grouping=Grouping(within, _codes(_column(first, within, "ranking"))) if within else None,
        )


def align(models: Sequence[ScoredModel]) -> Aligned:
    """Align models by example, and prove that the examples are the same.

    Raises:
        UserError: They are of other tasks, have no example in common, or an example's label, key or moment differs.
    """
    first, *others = models
    for one in others:
        if one.metrics.task != first.metrics.task:
            tasks = f"{first.title} is of task '{first.metrics.task}', {one.title} of '{one.metrics.task}'"
            raise UserError(Mistake("", f"they cannot be compared: {tasks}"))
        if _classes(one) != _classes(first):
            classes = f"{first.title} knows {', '.join(_classes(first))}, {one.title} {', '.join(_classes(one))}"
            raise UserError(Mistake("", f"they cannot be compared: of classes {classes}"))
    ids = [_ids(one) for one in models]
    common = ids[0]
    for of_one in ids[1:]:
        common = np.intersect1d(common, of_one, assume_unique=True)
    if not len(common):
        raise UserError(Mistake("", f"{_titles(models)} have no example of the test period in common"))
    aligned = [_taken(one, of_one, common) for one, of_one in zip(models, ids, strict=True)]
    for one in aligned[1:]:
        _check_same(aligned[0], one)
    return Aligned(aligned, list(_left_out(models, len(common))))


def _ids(model: ScoredModel) -> AnyArray:
    ids = _numbers(model.rows, EXAMPLE_ID)
    if len(np.unique(ids)) < len(ids):
        raise UserError(Mistake("", f"{model.title} has scored an example more than once"))
    return ids


def _taken(model: ScoredModel, ids: AnyArray, common: AnyArray) -> ScoredModel:
    """Take the common examples, ascending."""
    order = np.argsort(ids, kind="stable")
    places = order[np.searchsorted(ids[order], common)]
    return ScoredModel(model.title, model.rows.take(pa.array(places)), model.metrics)


def _check_same(first: ScoredModel, other: ScoredModel) -> None:
    """Refuse examples of one number that are not about the same thing: those of tables that have changed.

    Weights may differ: they are of training, and no metric takes them.
    """
    shared = [one for one in first.rows.column_names if one in other.rows.column_names and not _is_score(one)]
    for name in shared:
        one, two = first.rows[name].combine_chunks(), other.rows[name].combine_chunks()
        differ = pc.sum(pc.invert(_same(one, two))).as_py() or 0
        if differ:
            message = (
                f"the examples of {first.title} and {other.title} are not the same: {differ:,} of {len(one):,} have "
                f"another '{name}'; train one of them anew on the tables of the other"
            )
            raise UserError(Mistake("", message))


def _same(one: pa.Array, other: pa.Array) -> pa.Array:
    """Tell which values are equal, two nulls among them; none where types differ."""
    if one.type != other.type:
        one, other = pc.cast(one, pa.string()), pc.cast(other, pa.string())
    both = pc.and_(pc.is_null(one, nan_is_null=True), pc.is_null(other, nan_is_null=True))
    return pc.or_(both, pc.fill_null(pc.equal(one, other), fill_value=False))


def _left_out(models: Sequence[ScoredModel], common: int) -> Iterator[str]:
    for one in models:
        if left := one.rows.num_rows - common:
            yield f"{left:,} of {one.rows.num_rows:,} examples of {one.title} are left out: not every model scored them"


def _is_score(column: str) -> bool:
    """Tell whether a column says what a model makes of an example, or how much it learned from it."""
    return column in (*SCORED, WEIGHT) or column.startswith((probability_of(""), f"{BASELINE}."))


def _classes(model: ScoredModel) -> tuple[str, ...]:
    """Name the classes that a model tells apart, in the order of its columns; none where there are not several."""
    prefix = probability_of("")
    return tuple(one.removeprefix(prefix) for one in model.rows.column_names if one.startswith(prefix))


def _class_numbers(model: ScoredModel, classes: Sequence[str]) -> AnyArray:
    """Number the class of each example, from 0."""
    numbers = pc.index_in(model.rows[LABEL].cast(pa.string()), value_set=pa.array(classes))
    if numbers.null_count:
        raise UserError(Mistake("", f"{model.title} has labels that are none of its classes"))
    return cast(AnyArray, numbers.to_numpy().astype(np.float64))


def _scores(model: ScoredModel, within: str | None) -> ModelScores:
    if classes := _classes(model):
        each = [_numbers(model.rows, probability_of(one)) for one in classes]
        return ModelScores(model.title, np.stack(each, axis=1))
    order = _numbers(model.rows, ORDER) if within and ORDER in model.rows.column_names else None
    return ModelScores(model.title, _numbers(model.rows, "score"), order)


def _column(model: ScoredModel, name: str, option: str) -> AnyArray:
    if name in model.rows.column_names:
        return cast(AnyArray, model.rows[name].cast(pa.string()).to_numpy(zero_copy_only=False))
    if name == DAY and TIMESTAMP in model.rows.column_names:
        raise UserError(Mistake("", f"the scores of {model.title} are of an earlier version and name no day", option))
    known = [one for one in model.rows.column_names if one not in (*SCORED, LABEL)]
    raise UserError(Mistake("", f"{model.title} has no column '{name}'; there are row, {', '.join(known)}", option))


def _numbers(rows: pa.Table, name: str) -> AnyArray:
    return cast(AnyArray, rows[name].to_numpy())


def _codes(values: AnyArray) -> npt.NDArray[np.int64]:
    return np.asarray(np.unique(values.astype(str), return_inverse=True)[1], np.int64)


def _titles(models: Sequence[ScoredModel]) -> str:
    return " and ".join(one.title for one in models)
