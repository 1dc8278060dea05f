"""A training set as rows that are read when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proml_kedro.errors import Mistake, UserError, unknown
from proml_kedro.notebook.frame import Frame
from proml_kedro.results import TrainingSetFacts
from proml_kedro.results.names import examples_file
from proml_kedro.spec.split import SPLITS
from proml_kedro.spec.training_set import SPLIT

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa


class TrainingSet:
    """Examples with their label, their split, and their features as they were known then.

    Args:
        folder: Of the result.
    """

    def __init__(self, folder: Path) -> None:
        self.path = examples_file(folder)
        self.facts = TrainingSetFacts.read(folder)

    @property
    def columns(self) -> list[str]:
        """Names of the columns; features are ``view.feature``."""
        import pyarrow.parquet as pq

        return list(pq.read_schema(self.path).names)

    def __len__(self) -> int:
        return self.facts.rows

    def arrow(self, columns: Sequence[str] | None = None, split: str | None = None) -> pa.Table:
        """Read rows as a table of Arrow.

        Args:
            columns: Those to read; all when left out.
            split: ``train``, ``validation`` or ``test``; all when left out.

        Raises:
            UserError: There is no such column or split.
        """
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        known = self.columns
        mistakes = [Mistake("", unknown("column", one, known)) for one in columns or () if one not in known]
        if split is not None and split not in SPLITS:
            mistakes.append(Mistake("", unknown(SPLIT, split, SPLITS)))
        if mistakes:
            raise UserError(*mistakes)
        rows = None if split is None else pc.field(SPLIT) == split
        return pq.read_table(self.path, columns=None if columns is None else list(columns), filters=rows)

    def pandas(self, columns: Sequence[str] | None = None, split: str | None = None) -> pd.DataFrame:
        """Read rows as a data frame of pandas; see :meth:`arrow`."""
        frame: pd.DataFrame = self.arrow(columns, split).to_pandas()
        return frame

    def polars(self, columns: Sequence[str] | None = None, split: str | None = None) -> pl.DataFrame:
        """Read rows as a data frame of Polars, which has to be installed; see :meth:`arrow`."""
        import polars

        return polars.DataFrame(self.arrow(columns, split))

    def relation(self) -> Any:
        """Return the file as a ``duckdb.DuckDBPyRelation``, of which only what is asked for is read."""
        from proml_kedro.engine.session import parquet_relation

        return parquet_relation(self.path)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Give all rows by Arrow's C stream interface."""
        return self.arrow().__arrow_c_stream__(requested_schema)

    def splits(self) -> Frame:
        """Say how many rows each split has, from when to when, and the mean of their labels."""
        rows: list[dict[str, Any]] = [
            {SPLIT: name, "rows": one.rows, "from": one.start, "to": one.to, "mean label": one.label_mean}
            for name, one in self.facts.splits.items()
        ]
        title = f"{len(self):,} examples, {len(self.columns):,} columns"
        return Frame.of(rows, [SPLIT, "rows", "from", "to", "mean label"], title)

    def __repr__(self) -> str:
        return repr(self.splits())

    def _repr_html_(self) -> str:
        return self.splits()._repr_html_()
