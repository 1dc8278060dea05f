"""How likely a place in a list is looked at, learned from clicks at logged places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from proml_kedro.models.component import Array, Columns, Examples, FitContext, Input
from proml_kedro.models.kinds import component_of
from proml_kedro.models.xgboost.spec import PropensitySpec
from proml_kedro.spec.model import spec_of

_PLACE = "place"


class PlaceError(ValueError):
    """A place that cannot be one; the message is for the user."""


@dataclass(frozen=True)
class Propensity:
    """The probability that a place is looked at, as a share of the first place's.

    A click takes a look at the place, and relevance (Richardson, Dominowska and Ragno, WWW 2007). So the logarithm of
    its probability is a sum of both, and what belongs to the place is a coefficient of a regression with a logarithmic
    link beside all other inputs, through which the places were chosen; its estimates are consistent though a click is
    no count (Gourieroux, Monfort and Trognon, Econometrica 1984). What the other inputs do not know of relevance is
    taken for the place's where the list was ordered by it.

    Attributes:
        spec: Its declaration.
        places: Different places, rising, shape (k,).
        looks: How likely each is looked at, shape (k,).
    """

    spec: PropensitySpec
    places: npt.NDArray[np.float64]
    looks: npt.NDArray[np.float64]

    @classmethod
    def of(cls, spec: PropensitySpec, examples: Examples, others: Sequence[Input], context: FitContext) -> Self:
        """Learn from logged places.

        Args:
            spec: The declaration.
            examples: With the place among their columns.
            others: What else explains clicks.
            context: Of the fit.

        Raises:
            PlaceError: A place is below 1, or that of a positive row is missing.
        """
        places = _places(examples, spec.position)
        by_power = spec.curve == "power"
        place = Input(_PLACE, "float" if by_power else "str")
        inputs = [*others, place]
        kind = component_of("linear")
        model = kind(
            spec_of("linear").model_validate({"kind": "linear", "inputs": [one.name for one in inputs]}), inputs
        )
        model.task = "count"
        known = np.isfinite(places)
        columns = {one.name: examples.columns[one.name][known] for one in others}
        rows = replace(
            examples.take(known), columns={**columns, _PLACE: _as_input(places[known], by_power)}, source=None
        )
        model.fit(rows, rows, replace(context, task="count", final=False, watch=None, shared=None))
        different = np.unique(places[known])
        return cls(
            spec, different, _looks(model, {name: one[:1] for name, one in columns.items()}, different, by_power)
        )

    def weights(self, places: Array, label: Array) -> npt.NDArray[np.float64]:
        """Compute what each row counts as the better one of a pair: one over how likely it was looked at.

        Args:
            places: Shape (n,), each among those that were learned from where the label is positive.
            label: 0 or 1, shape (n,); others count 1.
        """
        positions = np.clip(np.searchsorted(self.places, places), 0, len(self.places) - 1)
        return np.where(label > 0, np.minimum(1 / self.looks[positions], self.spec.at_most), 1.0)

    def weighed(self, examples: Examples) -> Examples:
        """Return the examples with the weights of pairs."""
        own = np.ones(len(examples)) if examples.weight is None else examples.weight
        weight = self.weights(_places(examples, self.spec.position), examples.label)
        return replace(examples, weight=own * weight)

    def facts(self) -> dict[str, Any]:
        """Say what was learned: how likely the first ten places are looked at."""
        shown = zip(self.places[:10].tolist(), self.looks[:10].tolist(), strict=True)
        return {"looked at, by place": {f"{place:g}": round(look, 4) for place, look in shown}}


def _places(examples: Examples, name: str) -> npt.NDArray[np.float64]:
    places = np.asarray(examples.columns[name], np.float64)
    if (places < 1).any():
        raise PlaceError(f"'{name}' is {np.nanmin(places):g} in a row; places are counted from 1")
    if lacking := int((~np.isfinite(places) & (examples.label > 0)).sum()):
        raise PlaceError(f"'{name}' is missing in {lacking:,} rows with a positive label")
    return places


def _as_input(places: Array, by_power: bool) -> Array:
    return np.log(places) if by_power else np.array([f"{one:g}" for one in places.tolist()], object)


def _looks(model: Any, row: Columns, places: npt.NDArray[np.float64], by_power: bool) -> npt.NDArray[np.float64]:
    """Compare places with the first, or the lowest that there is, all else being equal."""
    first = np.ones(1) if by_power else places[:1]
    rows = {name: np.repeat(values, len(places) + 1, axis=0) for name, values in row.items()}
    rows[_PLACE] = _as_input(np.concatenate([first, places]), by_power)
    margin = np.asarray(model.score(rows)["margin"], np.float64)
    return np.asarray(np.exp(margin[1:] - margin[0]), np.float64)
