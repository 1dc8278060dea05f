"""CSV files as tables of text in SQL: their dialect, found or declared, and what is wrong with a file that has none."""

from __future__ import annotations

import csv
import io
import mmap
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proml_kedro.engine.duckdb import NO_PARTITIONS, file_literal, literal, quote
from proml_kedro.engine.errors import EngineError
from proml_kedro.features.tables.csv_values import PlainCsv

_DELIMITERS = ",;\t|"
_ROWS = 20
"""Rows that must agree with the header for a delimiter to be found."""
_HEAD = 1 << 18


class DialectError(ValueError):
    """Dialect that cannot be told; ``str()`` of it is a message.

    Args:
        key: The key of YAML that decides.
        message: What is wrong, and what to write.
    """

    def __init__(self, key: str, message: str) -> None:
        self.key = key
        super().__init__(message)


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written, as far as YAML says.

    Attributes:
        delimiter: What is between fields; found when None.
        quote: What stands around fields; nothing when empty.
        header: Whether the first line has names.
        names: Names of the columns, in place of those of the header.
        null_words: What stands for null, in quotes too; an empty field, and ``NA`` without quotes, when None.
    """

    delimiter: str | None = None
    quote: str = '"'
    header: bool = True
    names: Sequence[str] | None = None
    null_words: Sequence[str] | None = None

    def sql(self, file: Path) -> str:
        """Return a file in UTF-8 as a table in SQL, all of whose columns are text. Empty text is null.

        Raises:
            DialectError: Delimiter or names cannot be told.
            UnicodeDecodeError: The beginning is not UTF-8.
        """
        delimiter, names = self._told_by(file)
        columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
        # Without quotes empty text is null already, and to ask each cell costs more than to look for quotes.
        may_be_empty = bool(self.quote) and self.null_words is None and _has_empty(file, self.quote)
        options = (
            f"auto_detect = false, header = {str(self.header).lower()}, delim = {literal(delimiter)}, "
            f"quote = {literal(self.quote)}, escape = {literal(self.quote)}, comment = '', skip = 0, "
            f"nullstr = [{', '.join(map(literal, self._null_words))}], "
            f"allow_quoted_nulls = {str(self.null_words is not None).lower()}, columns = {{{columns}}}, {NO_PARTITIONS}"
        )
        cells = ", ".join(
            f"nullif({quote(name)}, '') AS {quote(name)}" if may_be_empty else quote(name) for name in names
        )
        return f"(SELECT {cells} FROM read_csv({file_literal(file)}, {options}))"

    def plain(self, file: Path) -> PlainCsv:
        """Return a file in UTF-8 for Arrow's parser.

        Raises:
            DialectError: Delimiter or names cannot be told.
            UnicodeDecodeError: The beginning is not UTF-8.
        """
        delimiter, names = self._told_by(file)
        return PlainCsv(file, delimiter, names, self.header, self.quote, self._null_words)

    @property
    def _null_words(self) -> list[str]:
        return ["", *self.null_words] if self.null_words is not None else ["", "NA"]

    def _told_by(self, file: Path) -> tuple[str, list[str]]:
        """The delimiter and the names of a file."""
        text = head(file)
        excel = re.match(r'"?sep=(.)"?[ \t]*[\r\n]', text, re.IGNORECASE)
        if excel:
            raise DialectError("source", f"line 1 is Excel's note 'sep={excel[1]}', not names of columns; delete it")
        delimiter = self.delimiter or self._find_delimiter(text)
        names = self._names(self._records(text, delimiter))
        self._refuse_ends(text, delimiter, len(names))
        return delimiter, names

    def _refuse_ends(self, text: str, delimiter: str, fields: int) -> None:
        """Refuse lines that have a delimiter at their end which the header lacks: the engine would pass over it.

        Raises:
            DialectError: The beginning has such a line. In many files it stands for a name that the header lacks.
        """
        if f"{delimiter}\n" not in text and f"{delimiter}\r" not in text:
            return
        for position, record in enumerate(self._records(text, delimiter, every=True)):
            if len(record) > fields and not any(record[fields:]):
                message = (
                    f"record {position + 1} ends in {delimiter!r}: {len(record)} fields where the header has {fields}; "
                    "let the header end so too, or take it away, and look whether a name is missing in the header"
                )
                raise DialectError("source", message)

    def first_records(self, file: Path) -> list[list[str]]:
        """Return the fields of the first records of a file in UTF-8, the header among them.

        Raises:
            DialectError: The delimiter cannot be told.
            UnicodeDecodeError: The beginning is not UTF-8.
        """
        return self._records(head(file), self.delimiter_in(file))

    def delimiter_in(self, file: Path) -> str:
        """Return the delimiter, found in a file in UTF-8 if YAML does not say it.

        Raises:
            DialectError: It cannot be told.
            UnicodeDecodeError: The beginning is not UTF-8.
        """
        return self.delimiter or self._find_delimiter(head(file))

    def _records(self, text: str, delimiter: str, every: bool = False) -> list[list[str]]:
        lines = io.StringIO(text, newline="")
        if self.quote:
            reader = csv.reader(lines, delimiter=delimiter, quotechar=self.quote)
        else:
            reader = csv.reader(lines, delimiter=delimiter, quotechar=None, quoting=csv.QUOTE_NONE)
        found: list[list[str]] = []
        try:
            for record in reader:
                found.append(record)
                if len(found) > _ROWS and not every:
                    break
        except csv.Error:
            pass  # what the engine says of it names the line
        return found

    def _find_delimiter(self, text: str) -> str:
        counts: dict[str, int] = {}
        fallback: dict[str, int] = {}
        for one in _DELIMITERS:
            records = [record for record in self._records(text, one) if record]
            fields = len(records[0]) if records else 0
            if fields > 1:
                fallback[one] = fields
                if all(len(record) == fields for record in records):
                    counts[one] = fields
        most = max(counts.values(), default=0)
        best = [one for one, fields in counts.items() if fields == most]
        if len(best) > 1:
            ways = " or ".join(f"{one!r}" for one in best)
            raise DialectError(
                "delimiter", f'{ways} could part the {most} columns; write which: delimiter: "{best[0]}"'
            )
        return best[0] if best else max(fallback, key=lambda one: fallback[one], default=",")

    def _names(self, records: Sequence[Sequence[str]]) -> list[str]:
        if not records or not records[0]:
            raise DialectError("source", "the first line is empty" if records else "the file is empty")
        if self.names is not None:
            if len(self.names) != len(records[0]):
                message = f"there are {len(self.names)} names, and {len(records[0])} fields in the first line"
                raise DialectError("names", message)
            names = list(self.names)
        elif self.header:
            names = [name.strip() or f"column{position}" for position, name in enumerate(records[0])]
        else:
            example = ", ".join(f"c{position + 1}" for position in range(min(3, len(records[0]))))
            raise DialectError("names", f"without a header there are no names; write names: [{example}, …]")
        seen: dict[str, str] = {}
        for name in names:
            if name.lower() in seen:
                both = f"'{seen[name.lower()]}' and '{name}'" if seen[name.lower()] != name else f"'{name}' twice"
                raise DialectError("names", f"the header has {both}; give all columns names of their own: names: […]")
            seen[name.lower()] = name
        return names


def _has_empty(file: Path, quote: str) -> bool:
    """Return whether a file in UTF-8 has two quotes in a row anywhere."""
    mark = quote.encode()
    with file.open("rb") as content, mmap.mmap(content.fileno(), 0, access=mmap.ACCESS_READ) as text:
        return text.find(mark) >= 0 <= text.find(2 * mark)  # one byte is looked for ten times as fast as two


def head(file: Path) -> str:
    """Return the beginning of a file, whole lines of it.

    Raises:
        UnicodeDecodeError: It is not UTF-8.
    """
    size = _HEAD
    with file.open("rb") as content:
        data = content.read(size)
        while b"\n" not in data and b"\r" not in data and (more := content.read(size)):
            data += more
        whole = len(content.read(1)) == 0
    if not whole:
        data = data[: max(data.rfind(b"\n"), data.rfind(b"\r")) + 1]
    return data.decode("utf-8-sig")


def explain_csv(error: EngineError) -> str | None:
    """Return what is wrong with a file that could not be read as CSV, on one line; None when that is not known.

    Args:
        error: What the engine raised when it read the file as text.
    """
    text = str(error)
    line = re.search(r"on Line: (\d+)", text)
    count = re.search(r"Columns: (\d+) Found: (\d+)", text)
    if "invalid state" in text:
        return "lines end in different ways, or the first record has another end in quotes; write one end of lines"
    if not line:
        return None
    if count:
        return f"line {line[1]}: {count[2]} fields where the header has {count[1]}"
    if "quote" in text:
        return (
            f'line {line[1]}: a quote is not closed, or has text behind it; where quotes mean nothing write quote: ""'
        )
    if "line size" in text.lower():
        return f"line {line[1]}: it is longer than 2 MB; is a quote not closed?"
    return f"line {line[1]} cannot be read"
