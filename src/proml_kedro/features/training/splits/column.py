"""Examples divided by a column that says where each belongs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from proml_kedro.engine.duckdb import literal, quote
from proml_kedro.spec.base import Name
from proml_kedro.spec.split import SPLITS, ExampleColumns, SplitName, SplitSpec

Value = int | str


class ColumnSplit(SplitSpec):
    """Which examples train, which choose (validation) and which judge (test), as a column says.

    Attributes:
        column: The column.
        values: For each part the column's values that belong to it, such as folds; ``train``, ``validation`` and
            ``test`` themselves when left out.
        otherwise: The part of all other values and of missing ones; they are refused when left out.
    """

    example: ClassVar[Mapping[str, Any]] = {
        "column": "item",
        "values": {"validation": ["i1", "i2"], "test": ["i3"]},
        "otherwise": "train",
    }

    by: Literal["column"]
    column: Name
    values: dict[SplitName, Annotated[list[Value], Field(min_length=1)]] = {name: [name] for name in SPLITS}
    otherwise: SplitName | None = None

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        named = [str(one) for values in self.values.values() for one in values]
        twice = sorted({one for one in named if named.count(one) > 1})
        if twice:
            raise ValueError(f"'{twice[0]}' belongs to two parts")
        for name in SPLITS:
            if name not in self.values and name != self.otherwise:
                raise ValueError(f"no value belongs to {name}")
        return self

    def divide(self, examples: ExampleColumns) -> str:
        """Return the split of each example, in SQL; null where the column says none."""
        parts = (f"WHEN {self._is_one_of(values)} THEN '{name}'" for name, values in self.values.items())
        return f"CASE {' '.join(parts)} ELSE {literal(self.otherwise) if self.otherwise else 'NULL'} END"

    def columns(self) -> Iterator[tuple[str, str]]:
        """Yield the column."""
        yield self.column, "column"

    def _is_one_of(self, values: list[Value]) -> str:
        """The condition for the column to be one of some values; numbers are compared as such: ``0`` is ``0.0`` too."""
        text, number = f"CAST({quote(self.column)} AS VARCHAR)", f"TRY_CAST({quote(self.column)} AS DOUBLE)"
        ways = (f"{text} = {literal(one)}" if isinstance(one, str) else f"{number} = {one}" for one in values)
        return f"({' OR '.join(ways)})"

    def texts(self) -> Iterator[tuple[str, str]]:
        """Yield the column, if its values are text."""
        if any(isinstance(one, str) for values in self.values.values() for one in values):
            yield self.column, "column"

    def key_of(self, name: SplitName) -> str:
        """Return where the part's values stand."""
        return "values" if "values" in self.model_fields_set else "column"
