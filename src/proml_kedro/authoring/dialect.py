"""How a file of text is written, as far as it must be known to read it at all: encoding, header, names."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from proml_kedro.authoring.draft import Draft
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import Session
from proml_kedro.errors import UserError
from proml_kedro.features.tables.csv import Dialect

_DATA = re.compile(r"\s*(?:[+-]?[\d.,]*\d[\d.,]*(?:[eE][+-]?\d+)?|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}.*)\s*")
_UNDEFINED = b"\x81\x8d\x8f\x90\x9d"
"""Bytes that mean nothing in cp1252."""


def open_text(draft: Draft, session: Session, folder: Path) -> Relation:
    """Return the rows of a file as they stand there, from a copy that can be read again and again.

    What keeps a file from being read and can be found out is set in the draft: encoding, names, header.

    Args:
        draft: The table.
        session: What reads it.
        folder: Where the copy goes.

    Raises:
        UserError: The file cannot be read.
    """
    for _ in range(5):  # encoding, then header, names and delimiter, each at most once
        try:
            with draft.opened(session, folder) as rows:
                if draft.reader().is_text and "header" not in draft.options and _is_otherwise(draft, folder):
                    continue
                copy = folder / f"{draft.name}.text.parquet"
                session.write_parquet(f"SELECT * FROM {rows}", copy)
                return session.parquet(copy)
        except UserError as error:
            if not _mend(draft, error, folder):
                raise
    raise UserError.at(f"problem.tables.{draft.name}.source", f"'{draft.file.name}' cannot be read")


def _mend(draft: Draft, error: UserError, folder: Path) -> bool:
    """Set what an error asks for; tell whether that is worth another attempt."""
    key, message = error.mistakes[0].key.rpartition(".")[2], error.mistakes[0].message
    if key in draft.options:
        return False
    if key == "encoding":
        found = re.search(r"write encoding: ([\w-]+)", message)
        if found is None:
            return False
        name = found[1]
        if name in ("cp1252", "latin-1"):
            name = "latin-1" if any(byte in draft.file.read_bytes() for byte in _UNDEFINED) else "cp1252"
        draft.set(
            "encoding",
            name,
            f"{message.partition(';')[0]}; look whether the letters are right, or name another encoding",
        )
        return True
    if (key == "names" and "twice" in message) or (key == "names" and " and '" in message):
        header = _records(draft, folder)[0]
        seen: dict[str, int] = {}
        names = []
        for position, name in enumerate(header):
            name = name.strip() or f"column{position}"
            seen[name.lower()] = seen.get(name.lower(), 0) + 1
            names.append(name if seen[name.lower()] == 1 else f"{name}_{seen[name.lower()]}")
        draft.set("names", names, "names in the header are not different from each other")
        return True
    return False


def _records(draft: Draft, folder: Path) -> Sequence[Sequence[str]]:
    reader = draft.reader()
    dialect = Dialect(draft.options.get("delimiter"), draft.options.get("quote", '"'))
    with tempfile.TemporaryDirectory(dir=folder) as own, reader.fetch(draft.origin, Path(own)) as files:
        draft.delimiter = dialect.delimiter_in(files[0])
        return dialect.first_records(files[0])


def _is_otherwise(draft: Draft, folder: Path) -> bool:
    """Tell whether the first line has no names, or has them in other quotes; the draft then says so."""
    if draft.file.suffix.lower() in (".jsonl", ".ndjson") or "names" in draft.options:
        return False
    records = _records(draft, folder)
    if len(records) < 2:
        return False
    first, *rest = records
    if "quote" not in draft.options and all(re.fullmatch("'.+'", cell) for cell in first):
        draft.set("quote", "'", "names stand in such quotes")
        return True
    data = [bool(_DATA.fullmatch(cell)) for cell in first]
    below = [[row[at] for row in rest if at < len(row) and row[at].strip()] for at in range(len(first))]
    all_data = [bool(cells) and all(map(_DATA.fullmatch, cells)) for cells in below]
    years = [int(cell) for cell, one in zip(first, data, strict=True) if one and re.fullmatch(r"\s*\d{4}\s*", cell)]
    is_years = len(years) == sum(data) and years == sorted(set(years))
    if not any(data) or is_years or any(whole and not one for one, whole in zip(data, all_data, strict=True)):
        return False
    draft.set("header", False, "the first line is data like the others")
    draft.options["names"] = [f"c{position + 1}" for position in range(len(first))]
    return True
