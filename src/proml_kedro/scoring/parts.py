"""Finished parts of a file of scores, kept beside it until all are there, so that a killed run can go on."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proml_kedro.atomic import cannot_write, disk_full, lock_beside, remove_abandoned, temporary_beside, write_whole
from proml_kedro.errors import UserError
from proml_kedro.locks import take
from proml_kedro.scoring.counts import Counts
from proml_kedro.scoring.ranked import place_rows, with_places
from proml_kedro.spec.rank import RankSpec
from proml_kedro.spec.training_set import ROW

if TYPE_CHECKING:
    import pyarrow as pa

_STATE = "state.json"


@dataclass(frozen=True)
class Part:
    """A finished part.

    Attributes:
        file: Parquet file with its scores.
        counts: What was counted in its rows.
    """

    file: Path
    counts: Counts


class Parts:
    """Parts of one file of scores, in a folder beside it. Hold :meth:`locked` while it is used.

    Args:
        output: The file of scores.
        made_from: What scores depend on, in words → a digest.
        tell: Called with a line for the user.
    """

    def __init__(self, output: Path, made_from: Mapping[str, str], tell: Callable[[str], None]) -> None:
        self.output = output
        self.folder = output.with_name(f".{output.name}.parts")
        self._made_from = dict(made_from)
        self._tell = tell
        self.done: list[Part] = []

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let no other process write the same file while the block runs, and look for what an earlier one has left.

        What was made from other rows, or by another model, is thrown away, which is said.

        Raises:
            UserError: Nothing can be written there.
        """
        with self._writing(), cannot_write(self.output):
            lock = take(lock_beside(self.output), lambda: self._tell(f"another process writes {self.output}; waiting"))
        try:
            with self._writing(), cannot_write(self.output):
                self._begin()
            yield
        finally:
            if not self.done:
                shutil.rmtree(self.folder, ignore_errors=True)
            if lock:
                lock.release()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Name the output where nothing can be written, and say what is kept where the disk is full."""
        try:
            with disk_full(self.output):
                yield
        except UserError as error:
            mistakes = (
                replace(one, key="", message=one.message.replace("; nothing was kept", "; finished parts are kept"))
                if one.key == "data_dir"
                else one
                for one in error.mistakes
            )
            raise UserError(*mistakes) from error

    @property
    def rows(self) -> int:
        """How many rows are done."""
        return sum(one.counts.rows for one in self.done)

    def _begin(self) -> None:
        remove_abandoned(self.output.parent, below=False)
        known = _read(self.folder / _STATE)
        if known is not None and known != self._made_from:
            other = [what for what, digest in self._made_from.items() if known.get(what) != digest]
            self._tell(f"not the same as in the earlier try: {', '.join(other)}; beginning anew")
        if known != self._made_from:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir()
            write_whole(self.folder / _STATE, json.dumps(self._made_from))
        self._find_done()
        if self.done:
            self._tell(f"going on from row {self.rows:,}; what an earlier try has finished is kept")

    def _find_done(self) -> None:
        """Find the parts that are whole, up to the first that is not."""
        while True:
            part = self.folder / f"{len(self.done):06d}.parquet"
            note = _read(part.with_suffix(".json"))
            if note is None or not part.is_file() or _digest(part) != note["sha256"]:
                return
            self.done.append(Part(part, Counts.of(note["counts"])))

    def write(self, tables: Iterator[pa.Table], counts: Counts) -> None:
        """Write the next part.

        Args:
            tables: Its rows.
            counts: What is counted in them, complete once they have been read.
        """
        part = self.folder / f"{len(self.done):06d}.parquet"
        temporary = temporary_beside(part)
        try:
            with self._writing():
                write_parquet(tables, temporary, compression="none")  # it is read again soon
                note = {"counts": vars(counts), "sha256": _digest(temporary)}
                temporary.replace(part)
                write_whole(part.with_suffix(".json"), json.dumps(note))
        finally:
            temporary.unlink(missing_ok=True)
        self.done.append(Part(part, counts))

    def finish(self, rank: RankSpec | None = None) -> None:
        """Put the parts together into the file of scores, and remove them.

        Args:
            rank: How rows are put in order; None for a model that does not say it.
        """
        temporary = temporary_beside(self.output)
        try:
            with self._writing(), cannot_write(self.output):
                write = _write_csv if self.output.suffix.lower() == ".csv" else write_parquet
                write(self._tables(rank), temporary)
                temporary.replace(self.output)
        finally:
            temporary.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _tables(self, rank: RankSpec | None) -> Iterator[pa.Table]:
        import pyarrow.parquet as pq

        places, first = place_rows(rank, [one.file for one in self.done]) if rank else None, 0
        for one in self.done:
            table = pq.read_table(one.file)
            yield table if places is None else with_places(table, places[first : first + len(table)])
            first += len(table)


def write_parquet(tables: Iterator[pa.Table], file: Path, compression: str = "zstd") -> None:
    """Write tables of one schema, at least one, into a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer = None
    try:
        for table in tables:
            texts = [one.name for one in table.schema if not pa.types.is_primitive(one.type)]  # few scores are equal
            writer = writer or pq.ParquetWriter(
                file,
                table.schema,
                compression=compression,
                use_dictionary=texts,
                column_encoding={ROW: "DELTA_BINARY_PACKED"} if ROW in table.column_names else None,
            )
            if len(table):
                writer.write_table(table)
    finally:
        if writer:
            writer.close()


def _write_csv(tables: Iterator[pa.Table], file: Path) -> None:
    import pyarrow.csv as pc

    writer = None
    try:
        for table in tables:
            writer = writer or pc.CSVWriter(file, table.schema)
            writer.write_table(table)
    finally:
        if writer:
            writer.close()


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
