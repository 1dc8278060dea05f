"""From the name of a kind to the class of its components."""

from __future__ import annotations

from typing import cast

from proml_kedro.extensions import components
from proml_kedro.models.component import Component


def component_of(kind: str) -> type[Component]:
    """Find the class of the components of a kind; it is imported now if it has not been.

    Args:
        kind: A name of the registry; it may stand for a class, for a package that offers one as ``Component``, or for a
            producer, which offers one too.

    Raises:
        UnknownNameError: Nothing has that name.
    """
    entry = components.get(kind)
    is_component = isinstance(entry, type) and issubclass(entry, Component)
    return cast("type[Component]", entry if is_component else entry.Component)


def modules_of(kind: str) -> list[str]:
    """List the modules of a kind: where its name leads to, and where the class of its components is defined.

    Raises:
        UnknownNameError: Nothing has that name.
    """
    entry = components.get(kind)
    return list(dict.fromkeys([getattr(entry, "__module__", entry.__name__), component_of(kind).__module__]))
