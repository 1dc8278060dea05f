"""From a data frame of pandas, or whatever gives Arrow's stream, to the columns that a model reads."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from proml_kedro.errors import Mistake, UserError, did_you_mean
from proml_kedro.models.columns import as_array
from proml_kedro.models.component import Array, Columns, Input


def read_frame(frame: Any, inputs: Sequence[Input], texts: Collection[str] = ()) -> Columns:
    """Read a model's inputs from a data frame.

    Args:
        frame: A ``pandas.DataFrame``, a ``polars.DataFrame``, a ``pyarrow.Table``, or any object that offers Arrow's
            ``__arrow_c_stream__``. Further columns are ignored.
        inputs: The columns to read.
        texts: Those that are declared to be text; numbers are refused there, since 7 is no '07'.

    Returns:
        Each input, n rows: float64 with NaN for missing, objects with None for missing, vectors of shape (n, size).

    Raises:
        UserError: A column is missing or is not of its type, one line each; or the object is no data frame.
    """
    table = _as_table(frame)
    columns: dict[str, Array] = {}
    mistakes = list(_missing(table.column_names, inputs))
    for one in inputs:
        if one.name in table.column_names:
            try:
                column = _as_key(table[one.name], one)
                _check_sort(table[one.name], one, one.name in texts)
                columns[one.name] = as_array(column, one, "float64")
            except (ValueError, TypeError, NotImplementedError) as error:  # those of Arrow are among them
                reason = str(error).partition("\n")[0]
                mistakes.append(
                    Mistake(one.name, f"the column, of type {table[one.name].type}, is no {one.dtype}: {reason}")
                )
    if mistakes:
        raise UserError(*mistakes)
    return columns


def _as_table(frame: Any) -> Any:
    import pyarrow as pa

    if isinstance(frame, pa.Table):
        return frame
    if not hasattr(frame, "__arrow_c_stream__"):
        kind = type(frame).__name__
        raise UserError(Mistake("", f"'{kind}' is no data frame; give one of pandas or Polars, or a pyarrow.Table"))
    try:
        return pa.table(frame)
    except (pa.ArrowException, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(Mistake("", f"a column of the data frame holds values of several types: {reason}")) from error


def _check_sort(column: Any, one: Input, is_text: bool) -> None:
    """Check that a text is no number, and an int no fraction.

    Raises:
        ValueError: It is.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    if is_text and is_number:
        raise ValueError("numbers are not text, 7 is no '07'; read the column as text")
    if one.dtype == "int" and pa.types.is_floating(kind):
        known = column.filter(pc.is_finite(column))
        if len(known) and not pc.all(pc.equal(known, pc.floor(known))).as_py():
            raise ValueError("some values have a fraction")


def _missing(names: Sequence[str], inputs: Sequence[Input]) -> Iterator[Mistake]:
    for one in inputs:
        if one.name not in names:
            yield Mistake(one.name, f"the data frame has no such column.{did_you_mean(one.name, names)}")


def _as_key(column: Any, one: Input) -> Any:
    """The column; a category, which pandas writes as a float as soon as a whole number is missing, as whole numbers.

    Raises:
        ValueError: A category is a number with a fraction.
    """
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not one.is_categorical:
        return column.cast(pa.float64()) if pa.types.is_null(column.type) else column
    return column.cast(pa.int64()) if pa.types.is_floating(column.type) else column
