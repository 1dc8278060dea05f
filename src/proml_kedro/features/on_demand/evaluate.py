"""On-demand features computed with NumPy: the same code object for training sets, batch scoring and requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from proml_kedro.column_functions.expressions import as_operand, evaluate
from proml_kedro.column_functions.functions import Array
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.on_demand import bases, expressions


class OnDemand:
    """Computes on-demand features.

    Args:
        features: The problem's features.
        names: ``view.feature`` of those that are wanted; others are ignored.

    Attributes:
        needs: The features that they are computed from, ``view.feature`` to type.
        dtypes: The type of each on-demand feature.
    """

    def __init__(self, features: FeaturesSpec, names: Iterable[str]) -> None:
        wanted = list(names)
        self._nodes = expressions(features, wanted)
        self.dtypes: dict[str, Dtype] = {name: features.columns()[name] for name in self._nodes}
        self._wanted = [name for name in wanted if name in self._nodes]
        self.needs: dict[str, Dtype] = bases(features, self._wanted)

    def compute(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        """Return the wanted features, each an array of shape (n,).

        Args:
            columns: At least :attr:`needs`, n rows each. Numbers and truth values of any numeric type, NaN or infinite
                where missing; text as objects with None. Float64 wherever results must be the same as elsewhere.
        """
        if not self._wanted:
            return {}
        known = {name: as_operand(columns[name]) for name in self.needs}
        n = len(next(iter(columns.values())))
        for name, node in self._nodes.items():
            known[name] = evaluate(node, known, self.dtypes[name], n)
        return {name: known[name] for name in self._wanted}
