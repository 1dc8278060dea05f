"""Names that stand for code: the one way to extend proml_kedro.

A name gets its object by decorator, or by an entry point of an installed package, loaded on first use::

    @components.register("my_kind")
    class MyKind(Component): ...

    [project.entry-points."proml_kedro.components"]
    my_kind = "my_package.my_module:MyKind"
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from proml_kedro.errors import unknown

T = TypeVar("T")


class UnknownNameError(KeyError):
    """No object has this name; ``str()`` of it is a message for the user."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message


class Registry(Generic[T]):
    """Objects of one sort by name.

    Args:
        sort: What the objects are, for messages: "component", "metric".
        group: Entry point group to look in, or None for decorated objects only.
    """

    def __init__(self, sort: str, group: str | None = None) -> None:
        self.sort = sort
        self.group = group
        self._objects: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that gives ``name`` to an object.

        Raises:
            ValueError: The name is taken by another object.
        """

        def add(item: T) -> T:
            if name in self._objects and self._objects[name] is not item:
                raise ValueError(f"{self.sort} '{name}' is registered twice: {self._objects[name]!r} and {item!r}")
            self._objects[name] = item
            return item

        return add

    @cached_property
    def _entry_points(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=self.group)} if self.group else {}

    def names(self) -> list[str]:
        """All known names, sorted."""
        return sorted({*self._objects, *self._entry_points})

    def get(self, name: str) -> T:
        """The object called ``name``.

        Raises:
            UnknownNameError: Nothing has that name.
        """
        if name not in self._objects:
            if name not in self._entry_points:
                raise UnknownNameError(unknown(self.sort, name, self.names()))
            self._objects[name] = self._entry_points[name].load()
        return self._objects[name]


components: Registry[Any] = Registry("kind of component", "proml_kedro.components")
"""Classes that implement :class:`proml_kedro.models.component.Component`."""

component_specs: Registry[Any] = Registry("kind of component", "proml_kedro.component_specs")
"""What the YAML of a kind may say, where that can be had without importing the component and its libraries."""
