"""Text as values: what it must look like to be a value of a type, and that value. Nothing is rounded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from proml_kedro.engine.duckdb import is_moment, literal

CELL = "\x1f"
"""What stands for a column of text in the SQL of a :class:`Reading`."""

WHOLE = re.compile(r"U?(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)")
"""SQL types of whole numbers, as DuckDB calls them."""

_DATE = r"\d{4}-\d{2}-\d{2}"
_TIME = r"[ T]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6}0*)?)?"
_ZONE = r" ?(?:Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)"
_NO_ZONE = r" ?(?:Z|UTC|GMT|[+-]00(?::?00)?)"

_TRUE = "'true', 't', 'yes', 'y', '1', '1.0'"
_FALSE = "'false', 'f', 'no', 'n', '0', '0.0'"


@dataclass(frozen=True)
class Reading:
    """A way to read text. :data:`CELL` in its SQL stands for the column.

    Attributes:
        type: SQL type of the values.
        fits: Condition for a text to be such a value.
        value: The value of a text that fits; it may still fail, as for the 30th of February.
        called: What such values are, in the plural, for messages.
        format: Format of dates, in the directives of ``strptime``; empty for other ways.
    """

    type: str
    fits: str
    value: str
    called: str
    format: str = ""

    def condition(self, column: str) -> str:
        """Return the condition for a cell to be null or such a value, in SQL.

        Args:
            column: A column of text, quoted.
        """
        return self._with(f"(({CELL} IS NULL) OR (({self.fits}) AND ({self._tried()}) IS NOT NULL))", column)

    def sql(self, column: str) -> str:
        """Return the value of a cell, in SQL that fails on text that does not fit.

        Args:
            column: A column of text, quoted.
        """
        if self.type == "VARCHAR":
            return column
        return self._with(f"CASE WHEN {self.fits} THEN {self.value} WHEN {CELL} IS NOT NULL THEN error('') END", column)

    def lenient_sql(self, column: str) -> str:
        """Return the value of a cell, in SQL that gives null for text that does not fit."""
        return self._with(f"CASE WHEN {self.fits} THEN {self._tried()} END", column)

    def _tried(self) -> str:
        return re.sub(r"\bCAST\(", "TRY_CAST(", self.value)

    @staticmethod
    def _with(template: str, column: str) -> str:
        return template.replace(CELL, column)


@dataclass(frozen=True)
class Numbers:
    """How numbers are written.

    Attributes:
        decimal: The mark before the fraction.
        thousands: The mark between groups of three digits; none when empty.
    """

    decimal: str = "."
    thousands: str = ""

    @property
    def plain(self) -> str:
        """A cell as DuckDB reads numbers, in SQL."""
        text = f"replace({CELL}, {literal(self.thousands)}, '')" if self.thousands else CELL
        return text if self.decimal == "." else f"replace({text}, {literal(self.decimal)}, '.')"

    def _digits(self, first: str = "[0-9]", more: str = "*") -> str:
        together = f"{first}[0-9]{more}"
        return f"(?:{together}|[1-9][0-9]{{0,2}}(?:{_mark(self.thousands)}[0-9]{{3}})+)" if self.thousands else together

    @property
    def whole(self) -> str:
        """What whole numbers look like, ``3.0`` and ``1e5`` included."""
        return rf" *[+-]?{self._digits()}(?:{_mark(self.decimal)}0*)?(?:[eE][+]?[0-9]{{1,2}})? *"

    @property
    def number(self) -> str:
        """What finite numbers look like."""
        mark = _mark(self.decimal)
        return rf" *[+-]?(?:{self._digits()}(?:{mark}[0-9]*)?|{mark}[0-9]+)(?:[eE][+-]?[0-9]{{1,3}})? *"

    def decimals(self, scale: int) -> str:
        """Write the pattern of numbers of so many decimals."""
        mark = _mark(self.decimal)
        fraction = f"{mark}[0-9]{{1,{scale}}}0*" if scale else f"{mark}0+"
        return rf" *[+-]?(?:{self._digits()}(?:{mark}[0-9]{{0,{scale}}}0*)?|{fraction}) *"

    @property
    def canonical_whole(self) -> str:
        """What whole numbers look like that come back as the same text."""
        return f"0|-?{self._digits('[1-9]', '{0,18}')}"

    @property
    def canonical_number(self) -> str:
        """What numbers look like that lose nothing in double precision but digits that it does not have."""
        mark = _mark(self.decimal)
        whole = f"(?:0|{self._digits('[1-9]', '{0,14}')})"
        return rf"-?(?:{whole}(?:{mark}[0-9]*)?|{mark}[0-9]+)(?:[eE][+-]?[0-9]{{1,3}})?"


PLAIN = Numbers()
_WORDS = "'(?i) *([+-]?inf(inity)?|nan) *'"


def _mark(text: str) -> str:
    return re.escape(text)


def reading_of(type_: str, numbers: Numbers = PLAIN) -> Reading:
    """Return how text is read as values of a declared type.

    Args:
        type_: SQL type, as DuckDB calls it.
        numbers: How numbers are written.
    """
    plain = numbers.plain
    value = f"CAST({plain} AS {type_})"
    decimal = re.fullmatch(r"DECIMAL\(\d+,(\d+)\)", type_)
    if type_ == "VARCHAR":
        return Reading(type_, "true", CELL, "texts")
    if WHOLE.fullmatch(type_):
        return Reading(type_, _match(numbers.whole), value, f"whole numbers ({type_})")
    if type_ in ("DOUBLE", "FLOAT"):
        return Reading(type_, _number(numbers.number, numbers, type_), value, f"numbers ({type_})")
    if decimal:
        return Reading(type_, _match(numbers.decimals(int(decimal[1]))), value, f"numbers ({type_})")
    if type_ == "BOOLEAN":
        fits = f"(TRY_CAST({CELL} AS BOOLEAN) IS NOT NULL OR lower(trim({CELL})) IN ({_TRUE}, {_FALSE}))"
        value_ = f"coalesce(TRY_CAST({CELL} AS BOOLEAN), lower(trim({CELL})) IN ({_TRUE}))"
        return Reading(type_, fits, value_, "truth values")
    if is_moment(type_):
        return _moment(type_)
    return Reading(type_, "true", f"CAST({CELL} AS {type_})", f"{type_} values")


def _moment(type_: str) -> Reading:
    if type_ == "DATE":
        midnight = r"(?:[ T]00:00(?::00(?:\.0+)?)?)?"
        return Reading(type_, _shaped(f" *{_DATE}{midnight} *", *_DAY), f"CAST({CELL} AS DATE)", "dates")
    zone = _ZONE if type_ == "TIMESTAMP WITH TIME ZONE" else _NO_ZONE
    fits = _shaped(f" *{_DATE}(?:{_TIME}(?:{zone})?)? *", *_SECONDS)
    return Reading(type_, fits, f"CAST({CELL} AS {type_})", "moments")


@cache
def guesses(numbers: Numbers) -> Mapping[str, Reading]:
    """Return the types that text is taken for when nothing is declared, the first that fits all cells before others.

    Each of them loses nothing of the text but its spelling.
    """
    plain = numbers.plain
    truth = f"lower({CELL}) IN ('true', 'false')"
    return {
        "BIGINT": Reading("BIGINT", _match(numbers.canonical_whole), f"CAST({plain} AS BIGINT)", "whole numbers"),
        "DOUBLE": Reading("DOUBLE", _number(numbers.canonical_number, numbers), f"CAST({plain} AS DOUBLE)", "numbers"),
        "BOOLEAN": Reading("BOOLEAN", f"({truth})", f"lower({CELL}) = 'true'", "truth values"),
        **MOMENTS,
    }


def _match(pattern: str) -> str:
    return f"regexp_full_match({CELL}, {literal(pattern)})"


def _number(pattern: str, numbers: Numbers, type_: str = "DOUBLE") -> str:
    """The condition for a number. Most are told without a regular expression, which costs more than reading them."""
    first = f"(({CELL} >= '1' AND {CELL} < ':') OR ({CELL} >= '0.' AND {CELL} < '0/'))"
    short = f"strlen({CELL}) < 25 AND TRY_CAST({CELL} AS {type_}) < 1e15"
    simple = f"({first} AND {short} AND NOT contains({CELL}, '_') AND NOT contains({CELL}, ' '))"
    finite = f"({_match(pattern)} AND isfinite(TRY_CAST({numbers.plain} AS {type_})))"
    parts = [finite, _match_words()]
    return f"({' OR '.join([simple, *parts] if numbers == PLAIN else parts)})"


def _match_words() -> str:
    return f"regexp_full_match({CELL}, {_WORDS})"


_DAY = ("____-__-__",)
_SECONDS = ("____-__-__ __:__:__", "____-__-__T__:__:__", "____-__-__")


def _shaped(pattern: str, *shapes: str) -> str:
    """The condition for a moment; those in usual shapes are told without a regular expression, and then by the cast."""
    usual = " OR ".join(f"{CELL} LIKE '{shape}'" for shape in shapes)
    return f"(({CELL} >= '1' AND {CELL} < '3' AND ({usual})) OR {_match(pattern)})"


MOMENTS = {
    "DATE": Reading("DATE", _shaped(_DATE, *_DAY), f"CAST({CELL} AS DATE)", "dates"),
    "TIMESTAMP": Reading(
        "TIMESTAMP", _shaped(f"{_DATE}(?:{_TIME})?", *_SECONDS), f"CAST({CELL} AS TIMESTAMP)", "moments"
    ),
    "TIMESTAMP WITH TIME ZONE": Reading(
        "TIMESTAMP WITH TIME ZONE",
        _shaped(f"{_DATE}(?:{_TIME}(?:{_ZONE})?)?", *_SECONDS, "____-__-__ __:__:__Z", "____-__-__T__:__:__Z"),
        f"CAST({CELL} AS TIMESTAMP WITH TIME ZONE)",
        "moments",
    ),
}
"""Moments in ISO 8601; those without a zone are UTC."""
