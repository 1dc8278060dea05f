"""Plain CSV files by Arrow's parser, which casts while it reads: the same rows as the engine's, at half of their cost.

It is for files of which both parsers say the same. Whatever the two could differ in is left to the engine: quotes,
single carriage returns, bytes of zero. So is every cell that Arrow does not take for a value of its type, and
every one that it takes where :mod:`proml_kedro.features.tables.text` does not.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from proml_kedro.features.tables.text import Reading, reading_of

if TYPE_CHECKING:
    import pyarrow as pa

_ARROW = {
    "TINYINT": "int8",
    "SMALLINT": "int16",
    "INTEGER": "int32",
    "BIGINT": "int64",
    "UTINYINT": "uint8",
    "USMALLINT": "uint16",
    "UINTEGER": "uint32",
    "UBIGINT": "uint64",
    "DOUBLE": "double",
    "DATE": "date32",
    "BOOLEAN": "bool",
}
"""SQL types whose text both read alike → Arrow's. Moments are none of them: Arrow takes an hour without minutes."""

_TRUE, _FALSE = (
    tuple(spelled for one in words for spelled in (one, one.title(), one.upper()))
    for words in (("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0"))
)
_BLOCK = 1 << 20


class NotAlikeError(Exception):
    """Content of a file that the engine has to read, since Arrow reads it otherwise."""


@dataclass(frozen=True)
class PlainCsv:
    """A CSV file in UTF-8 whose dialect is known.

    Attributes:
        file: The file.
        delimiter: What is between fields.
        names: Names of all columns.
        header: Whether the first line is to be passed over.
        quote: What may stand around fields; nothing when empty.
        null_words: What stands for null.
    """

    file: Path
    delimiter: str
    names: Sequence[str]
    header: bool
    quote: str
    null_words: Sequence[str]

    def batches(self, readings: Mapping[str, Reading]) -> pa.RecordBatchReader | None:
        """Return all rows in their order, as values where both parsers read alike and as text elsewhere.

        Reading fails with an error of Arrow, or with :class:`NotAlikeError`, where the engine is needed in the end.

        Args:
            readings: Column → how its text is read; other columns are left out.

        Returns:
            The rows; None for a file that has to be read by the engine.
        """
        import pyarrow as pa
        import pyarrow.csv as pc

        types = {name: _arrow_type(readings[name]) for name in self.names if name in readings}
        if not self._is_plain(any(one.startswith(("int", "uint")) for one in types.values())):
            return None
        reading = pc.ReadOptions(column_names=list(self.names), skip_rows=int(self.header), block_size=_BLOCK)
        parsing = pc.ParseOptions(delimiter=self.delimiter, quote_char=False)
        converting = pc.ConvertOptions(
            include_columns=list(types),
            column_types={name: pa.type_for_alias(one) for name, one in types.items()},
            null_values=list(self.null_words),
            strings_can_be_null=True,
            true_values=_TRUE,
            false_values=_FALSE,
        )
        try:
            stream = pc.open_csv(self.file, reading, parsing, converting)
        except pa.ArrowInvalid:  # of the first block; what is wrong with it the engine says
            return None
        numbers = [position for position, one in enumerate(types.values()) if one == "double"]
        return pa.RecordBatchReader.from_batches(stream.schema, _finite(stream, numbers))

    def _is_plain(self, has_whole: bool) -> bool:
        if len(self.names) < 2 or len(self.delimiter.encode()) > 1:  # an empty line is a row where there is one column
            return False
        with self.file.open("rb") as content, mmap.mmap(content.fileno(), 0, access=mmap.ACCESS_READ) as text:
            marks = [
                b"\0",
                *([self.quote.encode()] if self.quote else []),
                *([b"\t"] if self.delimiter != "\t" else []),
            ]
            if any(text.find(one) >= 0 for one in marks) or (text.find(b"\r") >= 0 and not _ends_alike(text)):
                return False
            return not (has_whole and any(text.find(one[1:]) >= 0 <= text.find(one) for one in (b"0x", b"0X")))


def _arrow_type(reading: Reading) -> str:
    """Arrow's name of a type that it reads as the engine does; that of text elsewhere, as for what is guessed."""
    known = reading.type in _ARROW and reading == reading_of(reading.type)
    return _ARROW[reading.type] if known else "string"


def _ends_alike(text: mmap.mmap) -> bool:
    """Whether all lines end in a carriage return and a line feed."""
    both = len(re.findall(b"\r\n", text))
    return both == len(re.findall(b"\r", text)) == len(re.findall(b"\n", text))


def _finite(stream: Iterator[pa.RecordBatch], numbers: Sequence[int]) -> Iterator[pa.RecordBatch]:
    """Rows, as long as all numbers are finite: Arrow takes 1e999 for infinity, and knows more words for no number."""
    import pyarrow.compute as pc

    for batch in stream:
        for position in numbers:
            if pc.all(pc.is_finite(batch.column(position))).as_py() is False:
                raise NotAlikeError
        yield batch
