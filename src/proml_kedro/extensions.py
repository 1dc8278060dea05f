"""Open registries: names that users write, and the code they stand for. The one way to extend proml_kedro.

A name gets its object by an entry point of an installed package, loaded on first use, or by decorator::

    [project.entry-points."proml_kedro.metrics"]
    gini = "my_package.my_module:GINI"

    @components.register("my_kind")
    class MyKind(Component): ...

What comes with proml_kedro is declared in the same way, in its own ``pyproject.toml``. Every registry has a law in
:mod:`proml_kedro.testing` that an extension can be held to.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import Annotated, Any, Generic, TypeVar, cast

from pydantic import BaseModel, GetCoreSchemaHandler, SerializeAsAny, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

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
        also: Another registry whose names are known here too, behind those of this one.
    """

    def __init__(self, sort: str, group: str | None = None, also: Registry[T] | None = None) -> None:
        self.sort = sort
        self.group = group
        self.also = also
        self._objects: dict[str, T] = {}
        self._modules: dict[str, str] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that gives ``name`` to an object.

        Raises:
            ValueError: The name is taken by another object.
        """

        def add(item: T) -> T:
            if name in self._objects and self._objects[name] is not item:
                raise ValueError(f"{self.sort} '{name}' is registered twice: {self._objects[name]!r} and {item!r}")
            self._objects[name] = item
            self._modules[name] = _module_of(item, module)
            return item

        module = str(sys._getframe(1).f_globals.get("__name__", ""))  # of an instance only who registers it is known
        return add

    @contextmanager
    def temporary(self, name: str, item: T) -> Iterator[T]:
        """Give ``name`` to an object while the block runs, in tests and notebooks."""
        before = dict(self._objects)
        self._objects[name] = item
        try:
            yield item
        finally:
            self._objects = before

    @cached_property
    def _entry_points(self) -> Mapping[str, EntryPoint]:
        return {point.name: point for point in _installed().select(group=self.group)} if self.group else {}

    def names(self) -> list[str]:
        """List all known names, sorted."""
        return sorted({*self._objects, *self._entry_points, *(self.also.names() if self.also else ())})

    def modules(self) -> dict[str, str]:
        """Return the module that the object of each name comes from, without importing any."""
        points = {name: point.module for name, point in self._entry_points.items()}
        decorated = {name: self._modules.get(name) or _module_of(one) for name, one in self._objects.items()}
        return {**(self.also.modules() if self.also else {}), **decorated, **points}

    def required_by(self, name: str) -> tuple[str, ...]:
        """Return the distributions that the package of a name's entry point declares to need; extras are left out."""
        if self.also and name not in self._objects and name not in self._entry_points:
            return self.also.required_by(name)
        point = self._entry_points.get(name)
        written = (point.dist.requires if point and point.dist else None) or ()
        needed = (one for one in written if "extra ==" not in one)
        return tuple(match[0] for one in needed if (match := re.match(r"[A-Za-z0-9._-]+", one)))

    def get(self, name: str) -> T:
        """Return the object called ``name``.

        Raises:
            UnknownNameError: Nothing has that name.
        """
        if name not in self._objects:
            if name not in self._entry_points:
                if self.also and name in self.also.names():
                    return self.also.get(name)
                raise UnknownNameError(unknown(self.sort, name, self.names()))
            self._objects[name] = self._entry_points[name].load()
        return self._objects[name]

    def field(
        self,
        base: type[BaseModel],
        spec_of: Callable[[T], type[BaseModel]],
        key: str,
        default: str | None = None,
        *,
        name_of: Callable[[Mapping[str, Any]], str | None] | None = None,
        prefix: str = "",
        optional: bool = False,
    ) -> Any:
        """Make the type of a YAML mapping in which one key names an entry, and that entry checks the other keys.

        Args:
            base: What all entries' specs derive from.
            spec_of: The spec of an entry.
            key: The key that names the entry, for example ``kind``.
            default: The entry when the key is missing; None when the key is required.
            name_of: The entry that a mapping names, where a second key can name it too; ``key`` alone when left out.
            prefix: What messages begin with.
            optional: Whether a mapping that names no entry is checked by ``base``.
        """

        def pick(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
            if not isinstance(value, dict):
                return handler(value)
            name = name_of(value) if name_of else value.get(key, default)
            if name is None and optional:
                return handler(value)
            if name is None:
                words = {"lead": prefix or f"{key} ", "known": ", ".join(self.names())}
                raise PydanticCustomError(key, "{lead}is missing; known: {known}", words)
            try:
                chosen = spec_of(self.get(str(name)))
            except UnknownNameError as error:
                raise PydanticCustomError(key, "{message}", {"message": f"{prefix}{error}"}) from error
            return chosen.model_validate(value)

        entries = Entries(self, spec_of, key, default)
        return Annotated[base, entries, SerializeAsAny(), WrapValidator(pick)]  # type: ignore[type-arg]


@dataclass(frozen=True)
class Entries:
    """A note at the type of a mapping: an entry of a registry checks it.

    Attributes:
        registry: The registry.
        spec_of: The spec of an entry.
        key: The key that names the entry.
        default: The entry when the key is missing; None when there is none.
    """

    registry: Registry[Any]
    spec_of: Callable[[Any], type[BaseModel]]
    key: str
    default: str | None


@dataclass(frozen=True)
class NameIn:
    """A note at a type of text: it has to be a name in a registry, up to an ``@``. Nothing is loaded to check that.

    ``MetricName = Annotated[str, NameIn(metrics)]``
    """

    registry: Registry[Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check the name after the text."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def _check(self, name: str) -> str:
        if name.partition("@")[0] not in self.registry.names():
            raise ValueError(unknown(self.registry.sort, name, self.registry.names()))
        return name


def _module_of(item: Any, default: str = "") -> str:
    """The module that an object comes from; an instance does not say, so that whoever registers it counts."""
    if hasattr(item, "__qualname__"):
        return str(item.__module__)
    return str(getattr(item, "__name__", "") or default or type(item).__module__)


@cache
def _installed() -> EntryPoints:
    """Entry points of all installed packages; reading them takes tens of milliseconds."""
    return cast(EntryPoints, entry_points())


producers: Registry[Any] = Registry("producer", "proml_kedro.producers")
"""Functions of a model's inputs that learn nothing; each is a kind of component. Classes that derive from
:class:`proml_kedro.models.producers.Producer`."""

components: Registry[Any] = Registry("kind of component", "proml_kedro.components", also=producers)
"""Kinds of component: classes that implement :class:`proml_kedro.models.component.Component`, or packages that offer
such a class as ``Component`` and what its YAML may say as ``Spec``, the former only once it is asked for."""

blocks: Registry[Any] = Registry("block", "proml_kedro.blocks")
"""Blocks of a deep component's network."""

heads: Registry[Any] = Registry("loss", "proml_kedro.heads")
"""Heads of a deep component, by the loss that they are trained with."""

layers: Registry[Any] = Registry("layer", "proml_kedro.layers")
"""Keras layers of users, by name, for a network's ``layer:`` blocks."""

metrics: Registry[Any] = Registry("metric", "proml_kedro.metrics")
"""Classes that implement :class:`proml_kedro.evaluation.metric.Metric`: figures of scores against labels."""

ranking_metrics: Registry[Any] = Registry("ranking metric", "proml_kedro.ranking_metrics")
"""Classes that implement :class:`proml_kedro.evaluation.metric.RankingMetric`: figures of the order within groups."""

aggregates: Registry[Any] = Registry("aggregate", "proml_kedro.aggregates")
"""Classes that implement :class:`proml_kedro.features.views.aggregates.Aggregate`: functions of events in a window."""

table_readers: Registry[Any] = Registry("table reader", "proml_kedro.table_readers")
"""Classes that implement :class:`proml_kedro.features.tables.readers.TableReader`: ways to read a source table."""

splits: Registry[Any] = Registry("split", "proml_kedro.splits")
"""Classes that implement :class:`proml_kedro.spec.split.SplitSpec`: ways to divide examples into training, validation
and test."""

online_stores: Registry[Any] = Registry("online store", "proml_kedro.online_stores")
"""Classes that implement :class:`proml_kedro.features.online.kind.OnlineStoreKind`, by the scheme that names them."""

anomaly_detectors: Registry[Any] = Registry("anomaly detector", "proml_kedro.anomaly_detectors")
"""Classes that implement :class:`proml_kedro.health.anomalies.detector.Detector`: what is unusual over time."""

drift_checks: Registry[Any] = Registry("drift check", "proml_kedro.drift_checks")
"""Classes that implement :class:`proml_kedro.health.check.DriftCheck`: current data against the reference."""


def registries() -> tuple[Registry[Any], ...]:
    """Return every registry."""
    return tuple(one for one in globals().values() if isinstance(one, Registry))
