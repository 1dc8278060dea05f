"""Rows that somebody gives, with keys in the types that the feature tables have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from proml_kedro.errors import Mistake, UserError

if TYPE_CHECKING:
    import pyarrow as pa


def as_table(rows: Mapping[str, Sequence[Any]] | Any) -> pa.Table:
    """Take rows as a table of Arrow.

    Args:
        rows: Any frame that offers Arrow's stream, or equally long columns by name.

    Raises:
        UserError: They are no rows.
    """
    import pyarrow as pa

    if hasattr(rows, "__arrow_c_stream__"):
        return pa.table(rows)
    if not isinstance(rows, Mapping):
        kind = type(rows).__name__
        raise UserError(Mistake("", f"'{kind}' is no data frame; give one of pandas or Polars, or columns by name"))
    texts = [name for name, values in rows.items() if isinstance(values, str | bytes)]
    if texts:
        raise UserError(*(Mistake("", f"'{name}' is one text; give a list of values") for name in texts))
    try:
        return pa.table(dict(rows))
    except (pa.ArrowException, TypeError) as error:
        raise UserError(Mistake("", f"the columns are no table: {str(error).splitlines()[0]}")) from error


def as_keys(rows: pa.Table, types: Mapping[str, pa.DataType]) -> pa.Table:
    """Give keys the types of the feature tables; NaN is a missing key.

    A number is never taken for a text, nor a text for a number: 12 is no '012'.

    Args:
        rows: A column for each key.
        types: Of each key.

    Raises:
        UserError: A key is of another sort.
    """
    mistakes = []
    for name, wanted in types.items():
        try:
            column = _as_key(rows[name], wanted)
        except (ValueError, NotImplementedError):
            has = "text" if _is_text(wanted) else str(wanted)
            mistakes.append(
                Mistake("", f"the key '{name}' is {has} in the feature tables; here it is {rows[name].type}")
            )
        else:
            rows = rows.set_column(rows.column_names.index(name), name, column)
    if mistakes:
        raise UserError(*mistakes)
    return rows


def _as_key(column: Any, wanted: pa.DataType) -> Any:
    """The column in a type.

    Raises:
        ValueError: It is of another sort, or a number has a fraction.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    if not pa.types.is_null(column.type) and _is_text(column.type) != _is_text(wanted):
        raise ValueError(f"{column.type} is no {wanted}")
    return column.cast(wanted)


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
