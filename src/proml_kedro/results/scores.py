"""``scores.parquet`` of an evaluation: what the model and its baseline say of each row of validation and test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from proml_kedro.results.json_file import UnreadableError
from proml_kedro.spec.training_set import BASELINE, EXAMPLE_ID, LABEL, SCORE, SPLIT

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Scores:
    """The rows that a model was chosen and judged by, with their scores.

    Attributes:
        table: A row for each example of validation and test: ``example_id`` as in the training set, the keys, where
            examples have a moment ``timestamp`` and its ``day``, then ``split``, ``label``, where the problem has them
            ``weight`` and ``group``, ``score`` (float64: a probability, or the mean of a number or count),
            ``baseline`` where there is one, and ``order``, by which rows are ranked, where rankings are judged. Where
            there are several classes ``label`` is the name of one, ``class`` of the most probable one, ``score`` its
            probability, and ``probability.NAME`` and ``baseline.NAME`` hold the probability of each.
    """

    FILE: ClassVar[str] = "scores.parquet"
    """Name of the file."""

    table: pa.Table

    @classmethod
    def read(cls, folder: Path, split: str | None = None) -> Self:
        """Read the scores of an evaluation.

        Args:
            folder: Of the evaluation.
            split: ``validation`` or ``test``; both when left out.

        Raises:
            UnreadableError: They are missing, as in evaluations of earlier versions, or damaged.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = Path(folder) / cls.FILE
        try:
            table = pq.read_table(file, filters=[(SPLIT, "=", split)] if split else None)
        except (OSError, pa.ArrowException) as error:
            raise UnreadableError(file, "it is not there" if not file.exists() else "it is no Parquet file") from error
        missing = [name for name in (EXAMPLE_ID, SPLIT, LABEL, SCORE) if name not in table.column_names]
        if missing:
            raise UnreadableError(file, f"it has no column '{missing[0]}'")
        return cls(table)

    @property
    def has_baseline(self) -> bool:
        """Whether a baseline was scored too."""
        return BASELINE in self.table.column_names
