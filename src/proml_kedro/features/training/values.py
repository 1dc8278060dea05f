"""The value of a feature, in SQL over what a point-in-time join results in."""

from __future__ import annotations

from collections.abc import Mapping

from proml_kedro.engine.duckdb import cast, quote
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.feature_ref import FeatureRef
from proml_kedro.spec.features import FeaturesSpec, FeatureViewSpec, zero_when_empty


def values_sql(names: Mapping[str, Dtype], features: FeaturesSpec) -> dict[str, str]:
    """Return the SQL of each feature's value over the keys and the columns ``view__feature``.

    Args:
        names: ``view.feature`` → type.
        features: The problem's features.
    """
    result = {}
    zeros = {name: zero_when_empty(view) for name, view in features.views.items()}
    for name, dtype in names.items():
        ref = FeatureRef.parse(name)
        value = quote(ref.column)
        if ref.feature in zeros[ref.view]:
            value = _without_history(features.views[ref.view], value)
        result[name] = cast(value, dtype)
    return result


def _without_history(view: FeatureViewSpec, value: str) -> str:
    """Counts and sums of keys that nothing has ever happened to are 0; those of unknown (null) keys stay null."""
    known = " AND ".join(f"{quote(key)} IS NOT NULL" for key in view.key)
    return f"CASE WHEN {known} THEN coalesce({value}, 0) END"
