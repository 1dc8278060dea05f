"""Rows that show themselves, and become a frame of whichever library."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

_SHOWN = 40
_STYLE = "padding:2px 10px;vertical-align:top;text-align:"


class Frame:
    """Rows with columns. Libraries that read Arrow's stream take it as it is: ``duckdb``, ``polars``, ``pyarrow``.

    Args:
        table: The rows.
        title: What stands above them, in words.
    """

    def __init__(self, table: pa.Table, title: str = "") -> None:
        self._table = table
        self.title = title

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], columns: Sequence[str], title: str = "") -> Frame:
        """Make a frame of rows.

        Args:
            rows: By column; what is not there is null.
            columns: The columns, in order.
            title: What stands above them.
        """
        import pyarrow as pa

        return cls(pa.table({name: pa.array([row.get(name) for row in rows]) for name in columns}), title)

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self._table.column_names)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        yield from self._table.to_pylist()

    def __getitem__(self, column: str) -> list[Any]:
        """Return the values of a column."""
        values: list[Any] = self._table.column(column).to_pylist()
        return values

    def arrow(self) -> pa.Table:
        """Return the rows as a table of Arrow."""
        return self._table

    def pandas(self) -> pd.DataFrame:
        """Return the rows as a data frame of pandas."""
        frame: pd.DataFrame = self._table.to_pandas()
        return frame

    def polars(self) -> pl.DataFrame:
        """Return the rows as a data frame of Polars, which has to be installed."""
        import polars

        return polars.DataFrame(self._table)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Give the rows by Arrow's C stream interface."""
        return self._table.__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        rows = [self.columns, *([in_words(one) for one in row.values()] for row in self._first())]
        widths = [max(len(row[place]) for row in rows) for place in range(len(self.columns))]
        lines = ["  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([*([self.title] if self.title else []), *lines, *self._more()])

    def _repr_html_(self) -> str:
        """Show the rows in a notebook: numbers at the right, texts at the left."""
        sides = {name: "right" if _is_number(self._table.schema.field(name).type) else "left" for name in self.columns}
        head = "".join(f'<th scope="col" style="{_STYLE}{side}">{escape(name)}</th>' for name, side in sides.items())
        rows = (
            "<tr>"
            + "".join(
                f'<td style="{_STYLE}{sides[name]};{self._style_of(name, row)}">{escape(in_words(value))}</td>'
                for name, value in row.items()
            )
            + "</tr>"
            for row in self._first()
        )
        title = f'<caption style="text-align:left;font-weight:700">{escape(self.title)}</caption>' if self.title else ""
        more = "".join(f"<p>{escape(one)}</p>" for one in self._more())
        return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>{more}"

    def _style_of(self, column: str, row: Mapping[str, Any]) -> str:
        """How a cell looks beyond its side; frames of one sort have looks of their own."""
        return ""

    def _first(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._table.slice(0, _SHOWN).to_pylist()
        return rows

    def _more(self) -> list[str]:
        return [f"… and {len(self) - _SHOWN:,} more rows"] if len(self) > _SHOWN else []


def in_words(value: Any) -> str:
    """Write a value for people: nothing for null, six significant digits of a number."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
