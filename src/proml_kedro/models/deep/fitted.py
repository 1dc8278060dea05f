"""A network with everything that was learned, built from a declaration and saved as data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from proml_kedro.models.component import Array
from proml_kedro.models.deep.build import build
from proml_kedro.models.deep.export import export
from proml_kedro.models.deep.heads import HeadState
from proml_kedro.models.deep.labels import HeadStarts
from proml_kedro.models.deep.layout import Layout
from proml_kedro.models.deep.maps import Embedding
from proml_kedro.models.deep.preprocess import Preprocess
from proml_kedro.models.deep.scorer import Scorer
from proml_kedro.models.deep.spec import DeepSpec
from proml_kedro.models.deep.statistics import FIRST, Statistics

_MET = "met."  # before the names of tables, beside the numbers of weights


@dataclass(frozen=True)
class FittedNetwork:
    """A network and all that it needs to score raw values.

    Attributes:
        spec: Its declaration.
        statistics: Of the inputs.
        learned: What each head has learned besides weights, by its name.
        preprocess: Columns to matrices, by the statistics.
        model: ``keras.Model`` from the matrices to margins and exposed vectors.
        scorer: Preprocessing, model and heads as one traced function.
    """

    spec: DeepSpec
    statistics: Statistics
    learned: Mapping[str, HeadState]
    preprocess: Preprocess
    model: Any
    scorer: Scorer

    @classmethod
    def build(cls, spec: DeepSpec, layout: Layout, statistics: Statistics, starts: HeadStarts, key: str) -> Self:
        """Build the network of a declaration, with new weights.

        Args:
            spec: The declaration.
            layout: Of the inputs.
            statistics: Of the inputs.
            starts: What the labels tell each head.
            key: Of the component, for errors.

        Raises:
            UserError: Keras refuses a layer or its arguments.
        """
        model = build(spec, layout, statistics, starts.biases, key).model
        return cls._assemble(spec, statistics, starts.learned, Preprocess(layout, statistics), model)

    @classmethod
    def _assemble(
        cls,
        spec: DeepSpec,
        statistics: Statistics,
        learned: Mapping[str, HeadState],
        preprocess: Preprocess,
        model: Any,
    ) -> Self:
        heads = [(head, learned[name]) for name, head in spec.all_heads().items()]
        scorer = Scorer(preprocess, model, heads, spec.output_names("binary"))
        return cls(spec, statistics, learned, preprocess, model, scorer)

    def having_met(self, met: Mapping[str, Array]) -> Self:
        """Return the network with what stands for all ids of hashes but those that training has met, by table."""
        statistics = replace(self.statistics, met=met)
        preprocess = Preprocess(self.preprocess.layout, statistics)
        return self._assemble(self.spec, statistics, self.learned, preprocess, self.model)

    def finished(self, learned: Mapping[str, HeadState], anew: bool) -> Self:
        """Return the network with what its heads have learned after training.

        Args:
            learned: What each head has learned, by its name.
            anew: Whether to build the model again, in the precision of now, with the same weights.
        """
        model = self.model
        if anew:
            layout = self.preprocess.layout
            model = build(self.spec, layout, self.statistics, _no_starts(self.spec), "model").model
            model.set_weights(self.model.get_weights())
        return self._assemble(self.spec, self.statistics, learned, self.preprocess, model)

    def embeddings(self) -> Iterator[Embedding]:
        """Yield the vectors of each table of categories that has a vocabulary and that the network reads."""
        layout, statistics = self.preprocess.layout, self.statistics
        sizes = [statistics.size_of(one) for one in layout.categoricals]
        layers = {layer.name: layer for layer in self.model.layers}
        seen = set()
        for one in layout.categoricals:
            layer = layers.get(f"embeddings{one.dimension}")
            if layer is None or not one.has_vocabulary or one.table in seen:
                continue
            seen.add(one.table)
            start = layout.table_starts(one.dimension, sizes)[0][one.table] + FIRST
            names = statistics.vocabularies[one.table]
            yield Embedding(one.table, names, np.asarray(layer.embeddings)[start : start + len(names)])

    def save(self, folder: Path, **facts: Any) -> None:
        """Write ``weights.npz``, ``statistics.json`` and ``saved_model``.

        Weights are arrays in the order in which the network is built, then those of :attr:`Statistics.met`. The
        SavedModel is for whoever serves without Python; :meth:`load` does not need it.

        Args:
            folder: Where to.
            facts: Further values for ``statistics.json``.
        """
        weights = {str(position): values for position, values in enumerate(self.model.get_weights())}
        met = {f"{_MET}{table}": values for table, values in self.statistics.met.items()}
        np.savez(folder / "weights.npz", allow_pickle=False, **weights, **met)
        heads = {name: dict(learned) for name, learned in self.learned.items()}
        state = {**facts, "heads": heads, **self.statistics.as_json()}
        (folder / "statistics.json").write_text(json.dumps(state))
        export(self.scorer, folder / "saved_model")

    @classmethod
    def load(cls, spec: DeepSpec, layout: Layout, folder: Path) -> tuple[Self, dict[str, Any]]:
        """Read what :meth:`save` wrote: the network is built again from its declaration.

        Returns:
            The network, and the further values of ``statistics.json``.
        """
        state = json.loads((folder / "statistics.json").read_text())
        with np.load(folder / "weights.npz", allow_pickle=False) as arrays:
            weights = {name: arrays[name] for name in arrays.files}
        met = {name.removeprefix(_MET): weights.pop(name) for name in list(weights) if name.startswith(_MET)}
        names = ("scales", "bounds", "vocabularies", "complete")
        statistics = Statistics(**{name: state.pop(name) for name in names if name in state}, met=met)
        starts = HeadStarts(_no_starts(spec), state.pop("heads"))
        fitted = cls.build(spec, layout, statistics, starts, "model")
        fitted.model.set_weights([weights[str(position)] for position in range(len(weights))])
        return fitted, state


def _no_starts(spec: DeepSpec) -> dict[str, Any]:
    """Return biases of 0, where weights are assigned afterwards."""
    return {name: [0.0] * head.units for name, head in spec.all_heads().items()}
