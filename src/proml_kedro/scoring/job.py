"""What is to be scored, by what, and where its scores go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from proml_kedro.errors import Mistake, UserError
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.scoring import FORMATS


class StoredTables(Protocol):
    """Results of runs that scoring may read."""

    def table(self, name: str) -> Path:
        """Return the Parquet file of a table of the problem, as a run has read it.

        Raises:
            UserError: There is none.
        """

    def feature_tables(self) -> Path:
        """Return the folder of the feature tables that hold what the bundle reads.

        Raises:
            UserError: There is none.
        """


@dataclass(frozen=True)
class ScoringJob:
    """A table to be scored.

    Attributes:
        bundle: Folder of the bundle.
        input: A file, a folder or glob of Parquet files, or the name of a table of the problem.
        output: The file to write.
        base_path: What a relative input begins at.
        stored: Results of runs that may be read.
        hardware: The machine.
        as_of: The moment as of which features are looked up; that of each row, less the lead time, when it is None.
        bundle_where: How the user named the bundle, for messages.
        output_where: How the user named the output.
    """

    bundle: Path
    input: str
    output: Path
    base_path: Path
    stored: StoredTables
    hardware: HardwareSpec
    as_of: datetime | None = None
    bundle_where: str = "argument BUNDLE"
    output_where: str = "option -o"

    def check_output(self) -> None:
        """See that the scores can be written.

        Raises:
            UserError: The name's end is unknown, it is a folder, or its folder is not there.
        """
        if mistakes := [Mistake("", message, self.output_where) for message in self._wrong_with_output()]:
            raise UserError(*mistakes)

    def _wrong_with_output(self) -> Iterator[str]:
        if not self.output.name.lower().endswith(FORMATS):
            yield f"cannot write '{self.output.name}'; its name must end in {' or '.join(FORMATS)}"
        elif self.output.is_dir():
            yield f"'{self.output}' is a folder; name a file"
        elif not self.output.parent.is_dir():
            yield f"there is no folder '{self.output.parent}'"

    def refuse_same_file(self, files: list[Path]) -> None:
        """See that nothing that is read would be written over.

        Args:
            files: What is read.

        Raises:
            UserError: The output is one of them.
        """
        for file in files:
            with suppress(OSError):
                if self.output.samefile(file):
                    raise UserError(Mistake("", f"'{self.output}' is what is scored; name another", self.output_where))
