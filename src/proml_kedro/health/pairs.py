"""The columns of reference and current data, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from proml_kedro.health.check import ColumnPair
from proml_kedro.health.profile import ReferenceProfile, count, label_of, missing
from proml_kedro.health.schema_check import as_numbers, schema_problem
from proml_kedro.health.score_profile import ScorePair
from proml_kedro.models.component import Columns, Input
from proml_kedro.spec.training_set import SCORE


def pair_columns(known: ReferenceProfile, current: Columns, inputs: Sequence[Input]) -> Iterator[ColumnPair]:
    """Pair the columns of both sides: those with a problem first, then those whose values can be compared."""
    problems = {
        one.name: problem
        for one in inputs
        if one.name in known.columns and (problem := schema_problem(current, one)) is not None
    }
    for name, problem in problems.items():
        yield ColumnPair(name, known.columns[name], missing(known.columns[name]), problem)
    for name, one in known.columns.items():
        if name in current and name not in problems:
            score = _score(known, current) if name == SCORE else None
            yield ColumnPair(name, one, count(one, current[name]), score=score)


def _score(known: ReferenceProfile, current: Columns) -> ScorePair | None:
    if known.score is None:
        return None
    telling = {name for name, one in known.score.relations.items() if one.explained >= known.score.telling}
    return ScorePair.of(known.score, as_numbers(current[SCORE]), known.places(current, telling), label_of(current))
