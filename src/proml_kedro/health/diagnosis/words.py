"""A diagnosis in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from proml_kedro.health.diagnosis.diagnose import Found

_MOST = 4
"""Values of a set that are named."""


def named(values: Mapping[str, Sequence[str]]) -> str:
    """Write a set.

    >>> named({"carrier": ("UA",), "origin": ("EWR", "JFK")})
    'carrier = UA and origin in (EWR, JFK)'
    """
    return " and ".join(_one(name, chosen) for name, chosen in values.items())


def _one(name: str, values: Sequence[str]) -> str:
    if len(values) == 1:
        return f"{name} = {values[0]}"
    more = f", and {len(values) - _MOST} more" if len(values) > _MOST else ""
    return f"{name} in ({', '.join(values[:_MOST])}{more})"


def in_words(found: Found, dimensions: Sequence[str]) -> str:
    """Say in one line what a change is made of."""
    change = f"{found.current:.4g} for {found.before:.4g}"
    of = f" of {', '.join(dimensions)}" if dimensions else ""
    sets = [one for one in found.parts if one.kind == found.verdict and one.values]
    if found.verdict == "nothing":
        return f"nothing happened that can be told from chance: {change}, and no value{of} stands out"
    if found.verdict == "mix":
        return f"{change}: other rows came, and behaved as before"
    if found.verdict == "everybody":
        verb = "rose" if found.current > found.before else "fell"
        return f"{change}: everybody {verb}; no value{of} stands out, nor of other columns of the table"
    moved = found.current - found.before
    parts = [f"{named(one.values)}{f' ({one.points / moved:.0%})' if moved else ''}" for one in sets]
    where = "outside of the dimensions: " if found.verdict == "outside" else ""
    return f"{change}: {where}{'; '.join(parts)}"
