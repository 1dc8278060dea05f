"""How examples are divided: what a split is. The ways to divide are in the registry ``splits``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Annotated, Any, ClassVar, Final, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, Field

from proml_kedro.errors import unknown
from proml_kedro.extensions import Registry, UnknownNameError, splits
from proml_kedro.spec.base import Spec

SplitName = Literal["train", "validation", "test"]
SPLITS: Final[tuple[SplitName, ...]] = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = SPLITS


_timezones = cache(available_timezones)  # it reads six hundred files


def _known_timezone(name: str) -> str:
    if name not in _timezones():
        raise ValueError(unknown("time zone", name, _timezones()))
    return name


def _parse_share(value: Any) -> Any:
    percent = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", value.strip(), re.ASCII) if isinstance(value, str) else None
    return float(percent[1]) / 100 if percent else value


Share = Annotated[float, BeforeValidator(_parse_share), Field(gt=0, lt=1)]
"""A part of the examples, such as ``20%`` or 0.2."""


@dataclass(frozen=True)
class ExampleColumns:
    """What a split can tell examples apart by, each as SQL over the examples' columns.

    Attributes:
        timestamp: The example's moment; None where there is none.
        identity: What makes an example itself wherever it stands in its table, as arguments of ``row(…)``.
        label: The truth value or class that is predicted; None where the label is a number.
    """

    timestamp: str | None
    identity: str
    label: str | None = None


@dataclass(frozen=True)
class Fold:
    """One of several divisions by time, by each of which a model is judged.

    Attributes:
        validation_from: First moment of its validation period; examples before it train.
        test_from: First moment of its test period.
        end: Moment at which that ends; examples from then on are in no part of the fold.
    """

    validation_from: datetime
    test_from: datetime
    end: datetime


class SplitSpec(Spec):
    """Which examples train, which choose (validation) and which judge (test).

    One that users add is a subclass, registered by an entry point. :func:`proml_kedro.testing.check_split` proves that
    it divides the examples.

    Attributes:
        by: The way to divide.
        timezone: In which days begin, by IANA name.
    """

    registries: ClassVar[Mapping[str, Registry[Any]]] = {"by": splits}

    example: ClassVar[Mapping[str, Any]] = {}
    """Keys of YAML beside ``by``, for the law and the reference. The examples have the columns ``user``, ``item`` and
    ``at``, their moment, in January to March 2024."""
    needs_time: ClassVar[bool] = False
    """Whether examples must have a moment."""
    is_by_time: ClassVar[bool] = False
    """Whether training ends before validation begins, and validation before test."""

    by: str
    timezone: Annotated[str, AfterValidator(_known_timezone)] = "UTC"

    @classmethod
    def for_value(cls, value: Any) -> type[Spec]:
        """Return the class of the split that a piece of YAML names; by time when it names none."""
        if not isinstance(value, Mapping):
            return cls
        try:
            chosen: type[Spec] = splits.get(_name_of(value))
        except UnknownNameError:
            return cls
        return chosen

    def divide(self, examples: ExampleColumns) -> str:
        """Return one of :data:`SPLITS` for each example, in SQL, by more than its own columns; :meth:`sql` by default.

        Args:
            examples: What there is of an example.
        """
        return self.sql(examples.timestamp or "CAST(NULL AS TIMESTAMPTZ)")

    def sql(self, timestamp: str) -> str:
        """Return one of :data:`SPLITS` for each example, in SQL over the examples' columns.

        It must not depend on the order of the rows. Window functions are allowed; they see the examples with a label.

        Args:
            timestamp: The column with the example's moment, quoted.

        Raises:
            NotImplementedError: A kind of split overrides neither this nor :meth:`divide`.
        """
        raise NotImplementedError(f"split '{self.by}' says nowhere how it divides")

    def local(self, timestamp: str) -> str:
        """Return a moment as the clocks of :attr:`timezone` show it, a TIMESTAMP in SQL: days begin at midnight.

        Without it SQL takes the day, hour or weekday of a moment to be those of UTC.

        Args:
            timestamp: The column with the moment, quoted.
        """
        return f"timezone('{self.timezone}', {timestamp})"

    def folds_until(self, newest: datetime) -> list[Fold]:
        """List the divisions by each of which a model is judged, the earliest first; the last one is the split itself.

        Args:
            newest: Moment of the last example.

        Returns:
            None where the split is the only division.
        """
        return []

    def key_of(self, name: SplitName) -> str:
        """Return the key inside of the split that decides whether a part of it has rows; empty for the split itself."""
        return ""

    def columns(self) -> Iterator[tuple[str, str]]:
        """Yield the columns that the split reads, each with its key inside of the split."""
        yield from ()

    def texts(self) -> Iterator[tuple[str, str]]:
        """Yield the columns whose text the split compares with YAML's, each with its key: they are read as text."""
        yield from ()


BY_TIME: Final = "time"


def _name_of(value: Mapping[str, Any]) -> str:
    """Name the way to divide: ``by: NAME``, or ``by: {NAME: …}`` with the other keys of the way in it."""
    by = value.get("by") or BY_TIME
    return str(next(iter(by)) if isinstance(by, Mapping) and by else by)


AnySplit = splits.field(SplitSpec, lambda entry: entry, key="by", default=BY_TIME, name_of=_name_of)
"""The mapping of a split: ``by`` names the way, which checks the other keys."""
