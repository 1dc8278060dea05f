"""Which features bundles still look up, so that none of those is removed under them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from proml_kedro.errors import Mistake, UserError
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.problem import ProblemSpec


def refuse_removal(problem: ProblemSpec, features: FeaturesSpec, data_dir: Path, allowed: bool = False) -> None:
    """See that every feature that a bundle looks up online is still declared.

    Args:
        problem: The problem.
        features: Its features, as they would be registered.
        data_dir: Where results are kept; the newest bundle of each model is live.
        allowed: Whether the user has said that they may go.

    Raises:
        UserError: One is gone, or has another type.
    """
    mistakes = [] if allowed else list(_removed(problem, features, data_dir))
    if mistakes:
        raise UserError(*mistakes)


def _removed(problem: ProblemSpec, features: FeaturesSpec, data_dir: Path) -> Iterator[Mistake]:
    declared = features.columns()
    for file in sorted(data_dir.glob(f"{problem.name}/*/bundle/proml.yaml")):
        manifest = _read(file)
        for one in manifest.get("schema", {}).get("inputs", ()):
            name, dtype = str(one.get("name")), one.get("dtype")
            if one.get("request") or declared.get(name) == dtype:
                continue
            gone = f"is {declared[name]} now, but was {dtype}" if name in declared else "is no longer declared"
            view = name.partition(".")[0]
            bundle = f"{file.parent} ({manifest.get('name')}:{manifest.get('version')})"
            yield Mistake(
                f"features.{view}" if view in features.views else "features",
                f"'{name}' {gone}, and the bundle {bundle} reads it; declare it, "
                "or say remove_used_features=true when that bundle is not served any more",
            )


def _read(file: Path) -> dict[str, Any]:
    """A bundle's manifest; nothing when it cannot be read, which is for those to say who serve it."""
    import yaml

    try:
        content = yaml.load(file.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}
