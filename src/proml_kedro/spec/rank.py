"""``rank`` of a model: how scored rows are put in order, and which of them are shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import PositiveInt

from proml_kedro.errors import Mistake, unknown
from proml_kedro.spec.base import Spec
from proml_kedro.spec.problem import ProblemSpec
from proml_kedro.spec.training_set import RANK


class RankSpec(Spec):
    """Order of the rows that are alternatives to each other, by the model's score.

    Attributes:
        within: What makes rows alternatives: `group` (the problem's `examples.group`), or an entity.
        order: Whether the largest or the smallest score comes first.
        limit: How many rows of a group have a place; all when left out.
        at_most: How many rows of one value have a place in a group, by input: a feature or key that the model reads. A
            row for which there is no more room is passed over, and the next best takes its place. Missing values are
            not limited.
    """

    within: str
    order: Literal["descending", "ascending"] = "descending"
    limit: PositiveInt | None = None
    at_most: dict[str, PositiveInt] = {}

    def column(self, problem: ProblemSpec) -> str:
        """Name the column of the examples' table that makes rows alternatives."""
        return str(problem.examples.group) if self.within == "group" else self.within

    def check(self, problem: ProblemSpec, read: Iterable[str]) -> Iterator[Mistake]:
        """Find what the problem or the model has not; keys begin inside of ``rank``.

        Args:
            problem: What is predicted.
            read: The features and keys that the model reads.
        """
        known, read = [*(["group"] if problem.examples.group else []), *problem.examples.entities], list(read)
        if self.within not in known:
            yield Mistake("within", unknown("group or entity", self.within, known))
        yield from (
            Mistake(f"at_most.{name}", unknown("input", name, read)) for name in self.at_most if name not in read
        )
        if RANK in problem.examples.entities:
            yield Mistake("within", f"an entity is called '{RANK}', as places are in files of scores; rename it")
        if problem.label.task == "multiclass":
            yield Mistake("order", "the score of several classes has no order")
