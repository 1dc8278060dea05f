"""Feast's dump of a registry, which takes every on-demand view for one of pandas or of Substrait."""

from __future__ import annotations

from typing import Any

from feast.infra.registry.base_registry import BaseRegistry

_FORMS = ("userDefinedFunction", "substraitPlan")
"""Forms of a transformation that Feast 0.67 writes a body into, whichever one a view has."""


def let_python_views_be_dumped() -> None:
    """Give each transformation of a dump all forms; `feast registry-dump` ends with a KeyError otherwise."""
    plain = BaseRegistry._message_to_sorted_dict

    def with_all_forms(message: Any) -> dict[str, Any]:
        found: dict[str, Any] = plain(message)
        transformation = found.get("spec", {}).get("featureTransformation")
        if transformation is not None:
            for form in _FORMS:
                transformation.setdefault(form, {})
        return found

    BaseRegistry._message_to_sorted_dict = staticmethod(with_all_forms)  # type: ignore[method-assign]
