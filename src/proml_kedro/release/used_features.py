"""Which features bundles still look up, so that none of those is removed under them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from proml_kedro.bundle import BundleOutline, InputOutline
from proml_kedro.errors import Mistake, UserError
from proml_kedro.release.registry import Registry
from proml_kedro.results import Places, UnreadableError
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.problem import ProblemSpec


def refuse_removal(problem: ProblemSpec, features: FeaturesSpec, places: Places, allowed: bool = False) -> None:
    """Refuse a configuration in which a feature that a bundle looks up online is not declared any more.

    Args:
        problem: The problem.
        features: Its features, as they would be registered.
        places: Where results lie; the newest bundle of each model, and each registered one, may be live.
        allowed: Whether the user has said that they may go.

    Raises:
        UserError: One is gone, or has another type.
    """
    mistakes = [] if allowed else list(_removed(problem, features, places))
    if mistakes:
        raise UserError(*mistakes)


def lost_features(folder: Path, features: FeaturesSpec) -> list[InputOutline]:
    """List the inputs that a bundle looks up online and that are not declared as they were.

    Args:
        folder: Of the bundle.
        features: The features of now.

    Raises:
        UnreadableError: There is no bundle.
    """
    return list(_lost(BundleOutline.read(folder), features.columns()))


def _removed(problem: ProblemSpec, features: FeaturesSpec, places: Places) -> Iterator[Mistake]:
    declared = features.columns()
    released = Registry(places.base / places.data_dir, problem.name).read()
    served = [
        one.bundle for one in released.versions.values() if one.stage == "challenger" or one.number in released.live
    ]
    for folder in (*places.find("bundle", problem.name).values(), *served):
        with suppress(UnreadableError):  # which is for those to say who serve it
            bundle = BundleOutline.read(folder)
            yield from (_mistake(one, features, f"{folder} ({bundle.tag})") for one in _lost(bundle, declared))


def _lost(bundle: BundleOutline, declared: Mapping[str, Dtype]) -> Iterator[InputOutline]:
    """Find the inputs that are looked up online and not declared as they were."""
    return (one for one in bundle.inputs if not one.request and declared.get(one.name) != one.dtype)


def _mistake(lost: InputOutline, features: FeaturesSpec, bundle: str) -> Mistake:
    now = features.columns().get(lost.name)
    gone = f"is {now} now, but was {lost.dtype}" if now else "is no longer declared"
    view = lost.name.partition(".")[0]
    return Mistake(
        f"features.{view}" if view in features.views else "features",
        f"'{lost.name}' {gone}, and the bundle {bundle} reads it; declare it, "
        "or say remove_used_features=true when that bundle is not served any more",
    )
