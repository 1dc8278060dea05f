"""The name of a feature, in each of the forms in which it is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, order=True)
class FeatureRef:
    """A feature of a view.

    Attributes:
        view: Name of the feature view.
        feature: Name of the feature in it; that of a windowed one ends in its window, as in ``delay_24h``.
    """

    view: str
    feature: str

    @classmethod
    def parse(cls, name: str) -> Self:
        """Read ``view.feature``.

        >>> FeatureRef.parse("weather.visib")
        FeatureRef(view='weather', feature='visib')

        Raises:
            ValueError: The text has no dot, as the name of an entity has none.
        """
        view, dot, feature = name.partition(".")
        if not dot:
            raise ValueError(f"'{name}' is no view.feature")
        return cls(view, feature)

    @classmethod
    def from_feast(cls, name: str) -> Self:
        """Read ``view:feature``, which is Feast's notation.

        >>> FeatureRef.from_feast("weather:visib")
        FeatureRef(view='weather', feature='visib')
        """
        view, _, feature = name.partition(":")
        return cls(view, feature)

    def __str__(self) -> str:
        return f"{self.view}.{self.feature}"

    @property
    def column(self) -> str:
        """Name of its column in joined tables and in signatures: ``view__feature``, as Feast has it.

        >>> FeatureRef("weather", "visib").column
        'weather__visib'
        """
        return f"{self.view}__{self.feature}"

    @property
    def feast(self) -> str:
        """Reference in Feast's own notation: ``view:feature``.

        >>> FeatureRef("weather", "visib").feast
        'weather:visib'
        """
        return f"{self.view}:{self.feature}"
