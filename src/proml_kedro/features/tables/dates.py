"""Dates that are not written as ISO 8601 has them: which formats could be meant, and how each is read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from proml_kedro.engine.duckdb import literal
from proml_kedro.features.tables.text import CELL, Reading

_PARTS = {
    "%d": r"\d{1,2}",
    "%m": r"\d{1,2}",
    "%Y": r"\d{4}",
    "%y": r"\d{2}",
    "%b": r"[A-Za-z]{3}",
    "%B": r"[A-Za-z]{3,9}",
    "%H": r"\d{1,2}",
    "%I": r"\d{1,2}",
    "%M": r"\d{2}",
    "%S": r"\d{2}",
    "%f": r"\d{1,6}",
    "%p": r"[AaPp][Mm]",
    "%z": r"(?:Z|[+-]\d{2}:?\d{2})",
}
"""Directives, each with what it stands for in a text."""

_TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")
_NAMED = ("%d %b %Y", "%d-%b-%Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y")
_LOOKS = re.compile(
    r"\s*(\d{1,4}[/.\-]\d{1,2}[/.\-]\d{1,4}|\d{1,2}[ -][A-Za-z]{3}|[A-Za-z]{3,9} \d{1,2},? \d{4}).*", re.DOTALL
)


def candidates(sample: Sequence[str], two_digits: bool = False) -> list[str]:
    """Return the formats that could read a column, by a sample of its cells.

    Args:
        sample: Texts of the column, not empty.
        two_digits: Whether years may be written with two digits.
    """
    if not sample or not _LOOKS.fullmatch(sample[0]):
        return []
    patterns = {one: re.compile(pattern(one) or "") for one in _formats(two_digits)}
    # A format that reads no cell of the sample is not worth trying; one that fails on some is, to say which.
    return [one for one, wanted in patterns.items() if any(wanted.fullmatch(text) for text in sample)]


def _formats(two_digits: bool) -> Iterator[str]:
    for time in _TIMES:
        for mark in "/.-":
            orders = ["%d|%m|%Y", "%m|%d|%Y", "%Y|%m|%d"]
            orders += ["%d|%m|%y", "%m|%d|%y", "%y|%m|%d"] if two_digits else []
            yield from (order.replace("|", mark) + time for order in orders)
        yield from (order + time for order in _NAMED)


def pattern(format_: str) -> str | None:
    """Return a regular expression of the texts that a format reads; None where it has other directives."""
    parts = re.split(r"(%.)", format_)
    if any(one.startswith("%") and one not in _PARTS for one in parts):
        return None
    return " *" + "".join(_PARTS.get(one) or re.escape(one) for one in parts) + " *"


def reading_in(format_: str, type_: str | None = None) -> Reading:
    """Return how text in a format is read.

    Args:
        format_: The format, in the directives of ``strptime``.
        type_: SQL type of the values; by the format when left out: with a time zone, with a time, or a date.
    """
    zoned, timed = re.search(r"%[zZ]", format_), re.search(r"%[HIMSfpcXTgn]", format_)
    wanted = type_ or ("TIMESTAMP WITH TIME ZONE" if zoned else "TIMESTAMP" if timed else "DATE")
    parsed = f"try_strptime(trim({CELL}), {literal(format_)})"
    shape = pattern(format_)
    fits = f"{parsed} IS NOT NULL" + (f" AND regexp_full_match({CELL}, {literal(shape)})" if shape else "")
    if wanted == "DATE" and timed:  # a time of day would be lost
        fits += f" AND {parsed} = date_trunc('day', {parsed})"
    return Reading(wanted, fits, f"CAST({parsed} AS {wanted})", f"of the form {format_}", format_)
