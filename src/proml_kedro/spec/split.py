"""How examples are divided: what a split is. The ways to divide are in the registry ``splits``."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator

from proml_kedro.errors import unknown
from proml_kedro.extensions import Registry, UnknownNameError, splits
from proml_kedro.spec.base import Spec

SplitName = Literal["train", "validation", "test"]
SPLITS: Final[tuple[SplitName, ...]] = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = SPLITS


def _known_timezone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(unknown("time zone", name, available_timezones()))
    return name


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
            chosen: type[Spec] = splits.get(str(value.get("by") or BY_TIME))
        except UnknownNameError:
            return cls
        return chosen

    @abstractmethod
    def sql(self, timestamp: str) -> str:
        """Return one of :data:`SPLITS` for each example, in SQL over the examples' columns.

        It must not depend on the order of the rows. Window functions are allowed; they see the examples with a label.

        Args:
            timestamp: The column with the example's moment, quoted.
        """

    def key_of(self, name: SplitName) -> str:
        """Return the key inside of the split that decides whether a part of it has rows; empty for the split itself."""
        return ""

    def columns(self) -> Iterator[tuple[str, str]]:
        """Yield the columns that the split reads, each with its key inside of the split."""
        yield from ()


BY_TIME: Final = "time"

AnySplit = splits.field(SplitSpec, lambda entry: entry, key="by", default=BY_TIME)
"""The mapping of a split: ``by`` names the way, which checks the other keys."""
