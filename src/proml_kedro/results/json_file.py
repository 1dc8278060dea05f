"""Files of JSON with a type: what a class says is what is read and written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from pydantic import TypeAdapter, ValidationError

from proml_kedro.errors import Mistake, UserError

T = TypeVar("T")


class UnreadableError(UserError):
    """A file of a result does not hold what it should.

    Args:
        file: Which file.
        reason: What is wrong with it, without the values that it holds.
    """

    def __init__(self, file: Path, reason: str) -> None:
        self.file = file
        self.reason = reason
        super().__init__(Mistake("", f"cannot be read ({reason}); `kedro run reuse=false` makes it anew", str(file)))


class JsonFile:
    """A frozen dataclass that is a file of JSON in a result's folder.

    Keys that the class does not know are ignored, so that a file of another version can be read.
    """

    FILE: ClassVar[str]
    """Name of the file."""

    INDENT: ClassVar[int | None] = 1
    """Spaces of each level in the file."""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the file of a folder.

        Raises:
            UnreadableError: It is missing, or holds something else.
        """
        file = folder / cls.FILE
        try:
            return cls.of(json.loads(file.read_bytes()))
        except (OSError, ValueError, RecursionError) as error:
            raise UnreadableError(file, first_line(error)) from error

    @classmethod
    def of(cls, content: Any) -> Self:
        """Make one from plain values.

        Raises:
            ValidationError: They are of other types.
        """
        found: Self = _adapter(cls).validate_python(content)
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, with the keys of the file."""
        content: dict[str, Any] = _adapter(type(self)).dump_python(self, mode="json", by_alias=True)
        return content

    def write(self, folder: Path) -> None:
        """Write the file into a folder."""
        end = "\n" if self.INDENT == 2 else ""
        (folder / self.FILE).write_text(json.dumps(self.as_dict(), indent=self.INDENT) + end)


class JsonMapping(JsonFile):
    """A file of JSON that is one mapping, held in the only field of the dataclass."""

    @classmethod
    def of(cls, content: Any) -> Self:
        """Make one from a mapping."""
        return super().of({_only_field(cls): content})

    def as_dict(self) -> dict[str, Any]:
        """Return the mapping as plain values."""
        content: dict[str, Any] = super().as_dict()[_only_field(type(self))]
        return content


def _only_field(kind: type[Any]) -> str:
    (name,) = kind.__dataclass_fields__
    return str(name)


def read_model(kind: type[T], content: Mapping[str, Any], file: Path) -> T:
    """Check the content of a file that is not JSON by a dataclass.

    Args:
        kind: The dataclass.
        content: What the file holds, as plain values.
        file: Which file it was, for the message.

    Raises:
        UnreadableError: It is of other types.
    """
    try:
        found: T = _adapter(kind).validate_python(content)
    except ValidationError as error:
        raise UnreadableError(file, first_line(error)) from error
    return found


_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}


def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    """Return what checks a class; made on first use, since that takes a millisecond."""
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def first_line(error: Exception) -> str:
    """Say in one line what is wrong first, without the values."""
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        return f"{where}: {first['msg']}" if where else first["msg"]
    if isinstance(error, OSError):
        return error.strerror or "it is not there any more"
    return "it is not JSON"
