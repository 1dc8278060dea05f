"""The YAML that declares a feature, to be read and to be copied."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proml_kedro.marketplace.entry import Entry

_WIDTH = 88


def as_yaml(entry: Entry, views: Mapping[str, Any]) -> str | None:
    """Return the view of a feature with this feature alone, as it is written; None when it is not declared there.

    Args:
        entry: The feature.
        views: The problem's feature views as they are written.
    """
    import yaml

    view = views.get(entry.view)
    features = view.get("features") if isinstance(view, Mapping) else None
    name = declared_name(entry, features) if isinstance(features, Mapping) else None
    if view is None or features is None or name is None:
        return None
    snippet = {entry.view: {**view, "features": {name: features[name]}}}
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(
        yaml.dump(snippet, Dumper=dumper, sort_keys=False, default_flow_style=None, allow_unicode=True, width=_WIDTH)
    )


def declared_name(entry: Entry, features: Mapping[str, Any]) -> str | None:
    """Return the name under which a feature is declared: without its window."""
    column = entry.ref.feature
    candidates = (column, column.removesuffix(f"_{entry.window}")) if entry.window else (column,)
    return next((one for one in reversed(candidates) if one in features), None)
