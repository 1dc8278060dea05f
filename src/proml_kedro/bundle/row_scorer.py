"""From a row, as a request or a file holds it, to a score: neutral values, on-demand features, precision, model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from proml_kedro.arrow_arrays import as_numbers, without_infinite
from proml_kedro.features.on_demand.evaluate import OnDemand
from proml_kedro.models.component import Columns, Explanation, Input
from proml_kedro.models.graph import ModelGraph
from proml_kedro.spec import FeaturesSpec


@dataclass(frozen=True)
class Trace:
    """Scores of n rows with what they were made from.

    Attributes:
        scores: Shape (n,); of several classes (n, classes).
        features: All inputs, and the on-demand features.
        components: ``component.output`` of every component.
    """

    scores: npt.NDArray[np.float64]
    features: Columns
    components: Columns


class RowScorer:
    """Scores rows with a model, in the same way for files and for requests.

    Args:
        graph: The model.
        features: The declared features.
        precision: Floating point type of the numbers that the model is given.
        neutral: ``view.feature`` to the value that every row is given by :meth:`order_scores`; what ``features``
            declares when left out.

    Attributes:
        inputs: What a row consists of: features that the model reads, and those that its on-demand ones are made of.
    """

    def __init__(
        self,
        graph: ModelGraph,
        features: FeaturesSpec,
        precision: str,
        neutral: Mapping[str, bool | int | float | str] | None = None,
    ) -> None:
        names = [one.name for one in graph.inputs]
        self._graph = graph
        self._on_demand = OnDemand(features, names)
        self._precision = precision
        read = [one for one in graph.inputs if one.name not in self._on_demand.dtypes]
        more = [Input(name, dtype) for name, dtype in self._on_demand.needs.items()]
        self.inputs = tuple(dict.fromkeys([*read, *more]))
        values = features.neutral() if neutral is None else neutral
        self.neutral = {one.name: values[one.name] for one in self.inputs if one.name in values}

    def score(self, columns: Columns) -> npt.NDArray[np.float64]:
        """Score rows: probabilities, or means of numbers and counts, shape (n,); of several classes (n, classes).

        Args:
            columns: :attr:`inputs`, n rows each, numbers in float64 so that on-demand features are as in training.
        """
        known = self.known(columns)
        given = {one.name: known[one.name] for one in self._graph.inputs}
        return self._graph.score(_as_given(given, self._precision))

    def trace(self, columns: Columns) -> Trace:
        """Score rows, and keep what that was made from."""
        known = self.known(columns)
        given = {one.name: known[one.name] for one in self._graph.inputs}
        outputs = self._graph.outputs(_as_given(given, self._precision))
        return Trace(np.asarray(outputs[self._graph.plan.score], np.float64), known, outputs)

    def all_columns(self, columns: Columns) -> Columns:
        """Compute all that components read and say of rows, as they are given it."""
        known = self.known(columns)
        given = _as_given({one.name: known[one.name] for one in self._graph.inputs}, self._precision)
        return {**given, **self._graph.outputs(given)}

    def inputs_of(self, component: str, columns: Columns) -> Columns:
        """Compute what a component reads of rows."""
        known = self.known(columns)
        given = _as_given({one.name: known[one.name] for one in self._graph.inputs}, self._precision)
        return self._graph.inputs_of(component, given)

    def explain(self, columns: Columns) -> Explanation | None:
        """Divide margins among the model's inputs, on-demand features too; None when the model has no way to."""
        known = self.known(columns)
        return self._graph.explain(
            _as_given({one.name: known[one.name] for one in self._graph.inputs}, self._precision)
        )

    def precision_of(self, one: Input) -> str:
        """Return the floating point type that suffices for an input: that of the model, if nothing is made of it."""
        return "float64" if one.name in self._on_demand.needs else self._precision

    @property
    def traced(self) -> tuple[Input, ...]:
        """List the features of :attr:`Trace.features`."""
        return (*self.inputs, *(Input(name, dtype) for name, dtype in self._on_demand.dtypes.items()))

    def known(self, columns: Columns) -> Columns:
        """Return the columns of :meth:`score`, and the on-demand features that are computed from them."""
        return {**columns, **self._on_demand.compute(columns)}

    def order_scores(self, columns: Columns) -> npt.NDArray[np.float64]:
        """Scores to put rows in order by: a feature with a neutral value has that value in every row; shape (n,).

        What is known only once rows have been put in order, such as a position in a list, would otherwise rank a row
        by where it stood before. On-demand features are computed from the neutral values as well.

        Args:
            columns: As for :meth:`score`; features with a neutral value may be absent.
        """
        return self.score(with_neutral(columns, self.neutral))


def _as_given(columns: Columns, precision: str) -> Columns:
    """Columns as the model is given them; numbers are converted together, which for few rows costs as much as one."""
    flat = [name for name, one in columns.items() if one.dtype != object and one.ndim == 1]
    together: Columns = {}
    if all(columns[name].dtype == precision and not np.isinf(columns[name]).any() for name in flat):
        together, flat = {name: columns[name] for name in flat}, []
    if flat:
        rows = len(columns[flat[0]])
        numbers = np.empty((len(flat), rows), precision)
        with np.errstate(over="ignore"):
            for position, name in enumerate(flat):
                numbers[position] = columns[name]
        together = dict(zip(flat, without_infinite(numbers), strict=True))
    return {
        name: together[name] if name in together else one if one.dtype == object else as_numbers(one, precision)
        for name, one in columns.items()
    }


def with_neutral(columns: Columns, neutral: Mapping[str, bool | int | float | str]) -> Columns:
    """Replace columns by their neutral values; those of numbers are float64, of text objects."""
    if not neutral:
        return columns
    rows = len(next(iter(columns.values())))
    constant = {
        name: np.full(rows, value, object if isinstance(value, str) else np.float64) for name, value in neutral.items()
    }
    return {**columns, **constant}
