"""Files as they come → plain files in UTF-8: unpacked, decoded, checked for being text at all."""

from __future__ import annotations

import codecs
import gzip
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from proml_kedro.errors import UserError

PACKED = (".gz", ".zst", ".zip")
"""Ends of the names of files that hold another one, packed."""

_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Marks at the beginning of a text, longer ones before those that they begin with."""

_FORMATS = {
    b"PAR1": ("a Parquet file", "reader: parquet"),
    b"PK\x03\x04": ("a zip archive or a spreadsheet", "a name that ends in .zip, or save the sheet as CSV"),
    b"\x1f\x8b": ("a file packed with gzip", "a name that ends in .gz"),
    b"\x28\xb5\x2f\xfd": ("a file packed with zstd", "a name that ends in .zst"),
    b"ARROW1": ("an Arrow file", "Parquet"),
    b"SQLite format 3": ("a SQLite database", "reader: sqlite, or a name that ends in .sqlite"),
}
"""How files begin that are no text: what they are, and what they need."""

_CHUNK = 1 << 20


class PlainText:
    """A file that should be text.

    Args:
        file: The file, perhaps packed.
        key: Where its table stands in the configuration.
        encoding: The declared encoding; UTF-8, or what its first bytes say, when None.
        inside: How the name of the file inside an archive ends.
        quote: What stands around text in which line ends are left alone; nothing when empty.
    """

    def __init__(
        self, file: Path, key: str, encoding: str | None = None, inside: str = ".csv", quote: str = '"'
    ) -> None:
        self.file = file
        self.key = key
        self.encoding = encoding
        self.inside = inside
        self.quote = quote

    def write(self, target: Path) -> Path:
        """Return a plain file in UTF-8: this one when it is one, otherwise a copy.

        Args:
            target: Where a copy goes.

        Raises:
            UserError: It is damaged, of another format, or not in its encoding.
        """
        with self._opened() as content:
            start = content.read(1 << 12)
        encoding = self._encoding_of(start)
        with self._opened() as content:
            beginning = next(self._decoded(content, encoding), b"")
        mixed = 0 < beginning.count(b"\r\n") < beginning.count(b"\n")  # which DuckDB does not read
        if encoding == "utf-8" and self.file.suffix.lower() not in PACKED and not mixed:
            return self.file
        with self._opened() as content, target.open("wb") as copy:
            parts = self._decoded(content, encoding)
            for part in _with_one_end(parts, self.quote.encode()) if mixed else parts:
                copy.write(part)
        return target

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        name = self.file.name
        kind = {".gz": "gzip", ".zip": "zip"}.get(self.file.suffix.lower(), "zstd")
        broken = UserError.at(f"{self.key}.source", f"'{name}' is not a whole {kind} file; copy it again")
        try:
            with self._unpacked() as content:
                yield content
        except (zipfile.BadZipFile, NotImplementedError, EOFError, zlib.error) as error:
            raise broken from error
        except RuntimeError as error:  # zipfile's way to say that a password is needed
            message = f"'{name}' is encrypted; unpack it first"
            raise UserError.at(f"{self.key}.source", message) from error
        except OSError as error:
            if error.errno is not None:  # of the disk, not of what is read
                raise
            raise broken from error

    @contextmanager
    def _unpacked(self) -> Iterator[IO[bytes]]:
        suffix: Any = self.file.suffix.lower()
        if suffix == ".gz":
            with gzip.open(self.file) as content:
                yield cast("IO[bytes]", content)
        elif suffix == ".zst":
            import pyarrow as pa

            with pa.input_stream(str(self.file), compression="zstd") as stream:
                yield stream
        elif suffix == ".zip":
            with zipfile.ZipFile(self.file) as archive:
                held = [one for one in archive.namelist() if not one.startswith("__MACOSX")]
                names = [one for one in held if one.lower().endswith(self.inside)]
                if len(names) != 1:
                    message = f"'{self.file.name}' holds {len(names)} {self.inside} files, not one"
                    raise UserError.at(f"{self.key}.source", message)
                with archive.open(names[0]) as content:
                    yield content
        else:
            with self.file.open("rb") as content:
                yield content

    def _encoding_of(self, start: bytes) -> str:
        for begin, (what, needs) in _FORMATS.items():
            if start.startswith(begin):
                raise UserError.at(f"{self.key}.source", f"'{self.file.name}' is {what}, not text; it needs {needs}")
        marked = next((name for mark, name in _BOMS.items() if start.startswith(mark)), None)
        if marked:
            return "utf-8" if marked == "utf-8-sig" else marked
        if self.encoding is not None:
            return self._known(self.encoding)
        if zeros := start.count(0):
            odd = start[1::2].count(0)
            found = "utf-16-le" if odd == zeros else "utf-16-be" if odd == 0 else None
            if found is None or zeros < len(start) // 8:
                raise UserError.at(f"{self.key}.source", f"'{self.file.name}' has bytes of zero and is no text")
            message = f"'{self.file.name}', line 1: is {found} without a mark; write encoding: {found}"
            raise UserError.at(f"{self.key}.encoding", message)
        return "utf-8"

    def _known(self, encoding: str) -> str:
        try:
            found = codecs.lookup(encoding).name
            "".encode(found)
        except (LookupError, UnicodeError) as error:
            message = f"no encoding '{encoding}'; write for example latin-1, cp1252, utf-16, shift_jis"
            raise UserError.at(f"{self.key}.encoding", message) from error
        return found

    def _decoded(self, content: IO[bytes], encoding: str) -> Iterator[bytes]:
        if encoding == "utf-8":  # whether it is so the engine says
            while data := content.read(_CHUNK):
                yield data
            return
        decoder = codecs.getincrementaldecoder(encoding)()
        line = 1
        while data := content.read(_CHUNK):
            try:
                text = decoder.decode(data)
                encoded = text.encode()
            except UnicodeDecodeError as error:
                raise self._undecodable(error, line + data[: error.start].count(b"\n"), encoding) from error
            except UnicodeError as error:
                raise self._no_text(encoding) from error
            line += text.count("\n")
            yield encoded
        try:
            yield decoder.decode(b"", final=True).encode()
        except UnicodeDecodeError as error:
            raise self._undecodable(error, line, encoding) from error
        except UnicodeError as error:
            raise self._no_text(encoding) from error

    def _no_text(self, encoding: str) -> UserError:
        return UserError.at(f"{self.key}.encoding", f"'{self.file.name}' is not text in {encoding}")

    def _undecodable(self, error: UnicodeDecodeError, line: int, encoding: str) -> UserError:
        byte = error.object[error.start]
        message = f"'{self.file.name}', line {line:,}: byte 0x{byte:02X} is not {encoding}"
        return UserError.at(f"{self.key}.encoding", message)


def _with_one_end(parts: Iterator[bytes], quote: bytes) -> Iterator[bytes]:
    """Text in which lines outside of quotes end in one way."""
    inside, rest = False, b""
    for part in parts:
        data = rest + part
        rest = data[-1:] if data.endswith(b"\r") else b""
        pieces = data[: len(data) - len(rest)].split(quote) if quote else [data[: len(data) - len(rest)]]
        for position, piece in enumerate(pieces):
            inside = inside != (position > 0)
            yield (quote if position else b"") + (piece if inside else piece.replace(b"\r\n", b"\n"))
    yield rest


def not_utf8(file: Path) -> tuple[str, str] | None:
    """Return where a file is not UTF-8, as the end of a key and a message; None when all of it is.

    Args:
        file: A plain file.
    """
    with file.open("rb") as content:
        for number, line in enumerate(content, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                byte = line[error.start]
                found = "cp1252" if any(0x80 <= one < 0xA0 for one in line) else "latin-1"
                message = f"line {number:,}: byte 0x{byte:02X} is not UTF-8; write encoding: {found}, or what it is"
                return "encoding", message
    return None
