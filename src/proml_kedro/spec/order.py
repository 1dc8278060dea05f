"""An order of things that need each other, and the circle that there is when there is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter


class CircleError(ValueError):
    """Things need each other in a circle.

    Attributes:
        path: The circle; each needs the next one, and the last is the first.
    """

    def __init__(self, path: list[str]) -> None:
        super().__init__(f"need each other in a circle: {' -> '.join(path)}")
        self.path = path


def in_order(needs: Mapping[str, Iterable[str]]) -> list[str]:
    """Put each after all that it needs.

    >>> in_order({"final": ["trees"], "trees": []})
    ['trees', 'final']

    Args:
        needs: Each by name with the names of what it needs.

    Raises:
        CircleError: There is no such order.
    """
    try:
        return list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        raise CircleError(error.args[1][::-1]) from error
