"""Categories by their numbers: many rows at once as each row alone."""

from __future__ import annotations

import numpy as np
import pytest

from proml_kedro.models.columns import Vocabulary, to_matrix
from proml_kedro.models.component import Input

KNOWN = ["", "Bern", "bern ", "é", "日本", "🙂"]


@pytest.mark.parametrize(
    "more", [[None], ["other", None], ["\ud800", None], [7, True, None], [np.str_("Bern"), float("nan")]], ids=str
)
@pytest.mark.parametrize("rows", [3, 1000, 1001, 5000])
def test_many_rows_are_numbered_as_each_alone(rows: int, more: list[object]) -> None:
    values = np.array([*KNOWN, *more, *KNOWN], object)[np.random.default_rng(rows).integers(0, 12 + len(more), rows)]
    vocabulary = Vocabulary(sorted(KNOWN))
    places = {name: place for place, name in enumerate(sorted(KNOWN))}
    expected = np.array([places.get(one, np.nan) if isinstance(one, str) else np.nan for one in values], np.float32)
    np.testing.assert_array_equal(vocabulary.encode(values), expected)


def test_a_matrix_has_the_columns_side_by_side_however_many_rows() -> None:
    rows = 10_000
    columns = {"a": np.arange(rows) / 7, "b": np.where(np.arange(rows) % 3, "Bern", None).astype(object)}
    matrix = to_matrix(columns, [Input("b", "str"), Input("a", "float")], {"b": Vocabulary(KNOWN)})
    np.testing.assert_array_equal(matrix[:, 1], columns["a"].astype(np.float32))
    np.testing.assert_array_equal(matrix[:, 0], np.where(np.arange(rows) % 3, 1, np.nan).astype(np.float32))


def test_equal_texts_in_objects_of_their_own_have_one_number() -> None:
    values = np.array(["".join(("Be", "rn")) for _ in range(3000)] + [None] * 3000 + ["".join(("é", ""))], object)
    expected = [1.0] * 3000 + [np.nan] * 3000 + [3.0]
    np.testing.assert_array_equal(Vocabulary(sorted(KNOWN)).encode(values), np.array(expected, np.float32))
