"""From a row, as a request or a file holds it, to a probability: on-demand features, precision, model."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from proml_kedro.arrow_arrays import as_numbers
from proml_kedro.features.on_demand.evaluate import OnDemand
from proml_kedro.models.component import Columns, Input
from proml_kedro.models.graph.graph import ModelGraph
from proml_kedro.spec import FeaturesSpec


class RowScorer:
    """Scores rows with a model: the one way in which that is done, for files and for requests.

    Args:
        graph: The model.
        features: The declared features.
        precision: Floating point type of the numbers that the model is given.

    Attributes:
        inputs: What a row consists of: features that the model reads, and those that its on-demand ones are made of.
    """

    def __init__(self, graph: ModelGraph, features: FeaturesSpec, precision: str) -> None:
        names = [one.name for one in graph.inputs]
        self._graph = graph
        self._on_demand = OnDemand(features, names)
        self._precision = precision
        read = [one for one in graph.inputs if one.name not in self._on_demand.dtypes]
        more = [Input(name, dtype) for name, dtype in self._on_demand.needs.items()]
        self.inputs = tuple(dict.fromkeys([*read, *more]))

    def score(self, columns: Columns) -> npt.NDArray[np.float64]:
        """Probabilities, shape (n,).

        Args:
            columns: :attr:`inputs`, n rows each, numbers in float64 so that on-demand features are as in training.
        """
        known = {**columns, **self._on_demand.compute(columns)}
        given = {one.name: known[one.name] for one in self._graph.inputs}
        return self._graph.score(
            {name: one if one.dtype == object else as_numbers(one, self._precision) for name, one in given.items()}
        )
