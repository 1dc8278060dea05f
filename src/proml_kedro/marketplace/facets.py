"""Facets: how many features have each value of a column."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from proml_kedro.marketplace.entry import COLUMNS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Codes = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]

FACETS = ("problem", "entity", "feature_type", "dtype", "window", "owner")
_MOST_VALUES = 20


class Facets:
    """Columns of the index as codes, each read once.

    Args:
        connection: To the index; features are numbered from 0 by their ``id``.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._codes: dict[str, tuple[list[Any], Codes]] = {}
        self._added: list[str] = []

    def column(self, name: str) -> tuple[list[Any], Codes]:
        """Return the different values of a column, and for each feature the position of its own, shape (n,).

        Raises:
            KeyError: There is no such column.
        """
        import numpy as np

        if name not in self._codes:
            if name not in COLUMNS:
                raise KeyError(name)
            position: dict[Any, int] = {}
            rows = self._connection.execute(f'SELECT "{name}" FROM feature ORDER BY id').fetchall()
            codes = np.array([position.setdefault(row[0], len(position)) for row in rows], np.int64)
            self._codes[name] = list(position), codes
        return self._codes[name]

    def add(self, name: str, of_view: Callable[[str, str], str]) -> None:
        """Add a facet that the index does not hold.

        Args:
            name: Of the facet.
            of_view: Its value for a problem and one of its views.
        """
        import numpy as np

        (problems, problem_of), (views, view_of) = self.column("problem"), self.column("view")
        pairs, pair_of = np.unique(np.stack([problem_of, view_of]), axis=1, return_inverse=True)
        labels = [of_view(problems[problem], views[view]) for problem, view in pairs.T.tolist()]
        values = list(dict.fromkeys(labels))
        codes = np.array([values.index(one) for one in labels], np.int64)
        self._codes[name] = values, codes[pair_of.ravel()]
        self._added.append(name)

    def matches(self, column: str, value: str | int) -> Mask:
        """Return whether each feature has a value, shape (n,). A part of a composite entity counts as its value.

        Raises:
            KeyError: There is no such column.
        """
        import numpy as np

        values, codes = self.column(column)
        if column == "entity":
            wanted = [position for position, one in enumerate(values) if value == one or value in str(one).split(",")]
            mask: Mask = np.isin(codes, wanted)
            return mask
        return np.asarray(codes == (values.index(value) if value in values else -1))

    def count(self, hits: Codes) -> dict[str, dict[str, int]]:
        """Count the values of each facet among some features, the most frequent first.

        Args:
            hits: Numbers of the features.
        """
        import numpy as np

        counts = {}
        for name in (*FACETS, *self._added):
            values, codes = self.column(name)
            numbers = np.bincount(codes[hits], minlength=len(values))
            order = np.argsort(-numbers, kind="stable")[:_MOST_VALUES].tolist()
            counts[name] = {str(values[one]): int(numbers[one]) for one in order if numbers[one]}
        return counts
