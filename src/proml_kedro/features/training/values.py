"""The value of a feature, in SQL over what a point-in-time join results in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from proml_kedro.engine.duckdb import cast, quote
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.feature_ref import FeatureRef
from proml_kedro.spec.features import FeaturesSpec, zero_when_empty


def values_sql(names: Mapping[str, Dtype], features: FeaturesSpec, moment: str | None = None) -> dict[str, str]:
    """Return the SQL of each feature's value over the keys and the columns ``view__feature``.

    Args:
        names: ``view.feature`` → type.
        features: The problem's features.
        moment: Column with the moment as of which values are read, where it may be null: nothing is known then, and
            what is not known is not 0.
    """
    result = {}
    zeros = {name: zero_when_empty(view) for name, view in features.views.items()}
    for name, dtype in names.items():
        ref = FeatureRef.parse(name)
        value = quote(ref.column)
        if ref.feature in zeros[ref.view]:
            value = _without_history([*features.views[ref.view].key, *([moment] if moment else [])], value)
        result[name] = cast(value, dtype)
    return result


def _without_history(asked: Sequence[str], value: str) -> str:
    """Counts and sums of keys that nothing has ever happened to are 0; those of unknown (null) keys stay null."""
    known = " AND ".join(f"{quote(one)} IS NOT NULL" for one in asked)
    return f"CASE WHEN {known} THEN coalesce({value}, 0) END"
