"""What the laws compare: columns of every type."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from proml_kedro.models.component import Array, Columns
from proml_kedro.spec.dtype import vector_size
from proml_kedro.spec.outputs import OF_CLASSES, Output

Score = Callable[[Columns], Mapping[str, Array]]


def check_types(scores: Mapping[str, Array], declared: Iterable[Output], rows: int) -> None:
    """Check that outputs are those that are declared, each of its dtype and shape."""
    dtypes = {one.name: one.dtype for one in declared}
    assert set(scores) == set(dtypes), f"score gives {sorted(scores)}, declared are {sorted(dtypes)}"
    for name, values in scores.items():
        dtype, size = dtypes[name], vector_size(dtypes[name])
        expected = (rows,) if size is None else (rows, size)
        if dtype == OF_CLASSES:
            expected = (rows, values.shape[-1])
        assert values.shape == expected, f"output '{name}' has shape {values.shape} for {rows} rows of {dtype}"
        if dtype == "str":
            texts = values.dtype == object and all(one is None or isinstance(one, str) for one in values)
            assert texts, f"output '{name}' is declared as str and gives {values.dtype}, or objects that are no text"
        else:
            assert np.issubdtype(values.dtype, np.floating), f"output '{name}' gives {values.dtype}, not floating point"


def check_rows_alone(score: Score, columns: Columns, scores: Mapping[str, Array], is_exact: bool = False) -> None:
    """Check that a row's outputs do not depend on the rows beside it, nor on their order; to the last bit if exact."""
    rows = len(next(iter(columns.values())))
    for part in (slice(0, 1), slice(0, 7), slice(None, None, -1)):
        some = {name: values[part] for name, values in columns.items()}
        expected = {name: values[part] for name, values in scores.items()}
        same(f"a row's score does not depend on the rows beside it ({part} of {rows})", expected, score(some))
    if is_exact:
        _check_rows_exactly(score, columns, scores)


def _check_rows_exactly(score: Score, columns: Columns, scores: Mapping[str, Array]) -> None:
    rows = len(next(iter(columns.values())))
    for part in (*(slice(at, at + 1) for at in range(0, rows, 17)), slice(3, 8), slice(1, 65), slice(None, None, -1)):
        made = score({name: values[part] for name, values in columns.items()})
        for name, values in made.items():
            if values.dtype != object:
                is_same = values.tobytes() == np.ascontiguousarray(scores[name][part]).tobytes()
                assert is_same, f"scores_rows_exactly: '{name}' depends on the rows beside it ({part} of {rows})"


def check_batches(score: Score, columns: Columns, scores: Mapping[str, Array], rows: int = 7) -> None:
    """Check that rows scored some at a time score as all together; also that no row scores to no row."""
    total = len(next(iter(columns.values())))
    starts = range(0, total + rows, rows)  # the last part is empty
    parts = [score({name: values[at : at + rows] for name, values in columns.items()}) for at in starts]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in scores}
    same(f"batches of {rows} rows score as all rows do", scores, joined)


def check_untouched(columns: Columns, again: Columns, what: str) -> None:
    """Check that columns are equal to those that were made in the same way again."""
    for name, values in columns.items():
        assert equal(values, again[name]), f"{what} changed the column '{name}' it was given"


def check_no_pickle(folder: Path) -> None:
    """Check that no file below a folder looks like a pickle."""
    for file in folder.rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        # Binary data may begin with the same byte; with a protocol's number behind it and a full stop at the end, no.
        looks_like_one = content[:1] == b"\x80" and content[1:2] in b"\x02\x03\x04\x05" and content[-1:] == b"."
        assert not looks_like_one, f"{file.name} looks like a pickle; components are saved as data"


def equal(left: Array, right: Array) -> bool:
    """Tell whether two columns hold the same values, missing ones included."""
    if left.dtype == object:
        return bool((left == right).all())
    return bool(np.array_equal(left, right, equal_nan=True))


def same(law: str, expected: Mapping[str, Array], actual: Mapping[str, Array]) -> None:
    """Check that outputs are equal: texts and what is missing exactly, numbers to 1e-6."""
    for name, values in expected.items():
        if values.dtype == object:
            assert equal(values, actual[name]), f"broken: {law}: output '{name}' differs"
            continue
        missing = np.isnan(values)
        assert (missing == np.isnan(actual[name])).all(), f"broken: {law}: output '{name}' is missing in other rows"
        difference = float(np.abs(values - actual[name])[~missing].max(initial=0.0))
        assert difference <= 1e-6, f"broken: {law}: output '{name}' differs by {difference:.3g}"
