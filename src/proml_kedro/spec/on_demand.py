"""On-demand features as declared: which others they read, in which order they are computed, what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from proml_kedro.errors import Mistake
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.expression import Node, columns, parse
from proml_kedro.spec.expression_types import check_dtype
from proml_kedro.spec.feature_ref import FeatureRef
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.order import CircleError, in_order


def expressions(features: FeaturesSpec, names: Iterable[str]) -> dict[str, Node]:
    """Return the on-demand features among some, and those that they read in turn, each after all that it reads.

    Args:
        features: The problem's features.
        names: ``view.feature``; others are ignored.

    Raises:
        ValueError: An expression cannot be read.
        CircleError: Features need each other in a circle.
    """
    texts, nodes = _texts(features), dict[str, Node]()
    pending = [name for name in names if name in texts]
    while pending:
        name = pending.pop(0)
        if name not in nodes:
            nodes[name] = parse(texts[name])
            pending += [other for other in columns(nodes[name]) if other in texts]
    needs = {name: [other for other in columns(node) if other in nodes] for name, node in nodes.items()}
    return {name: nodes[name] for name in in_order(needs)}


def bases(features: FeaturesSpec, names: Iterable[str]) -> dict[str, Dtype]:
    """Return features that are no on-demand ones, and those that on-demand ones are computed from, with their types.

    Args:
        features: The problem's features.
        names: ``view.feature``.

    Returns:
        In declared order.
    """
    wanted = list(names)
    nodes = expressions(features, wanted)
    needed = {*wanted, *(name for node in nodes.values() for name in columns(node))} - set(nodes)
    return {name: dtype for name, dtype in features.columns().items() if name in needed}


def check_on_demand(features: FeaturesSpec) -> Iterator[Mistake]:
    """Find expressions that cannot be read, read what is not there, do not fit their type, or need themselves."""
    dtypes = features.columns()
    sound = True
    for name, text in _texts(features).items():
        try:
            check_dtype(parse(text), dtypes, dtypes[name])
        except ValueError as error:
            sound = False
            yield Mistake(_key(name), str(error))
    if sound:
        yield from _check_cycles(features)


def _check_cycles(features: FeaturesSpec) -> Iterator[Mistake]:
    told: set[str] = set()
    for name in _texts(features):
        try:
            expressions(features, [name])
        except CircleError as error:
            if not told.intersection(error.path):  # a circle once, not from each of its members
                first = next(one for one in _texts(features) if one in error.path)
                circle, start = error.path[:-1], error.path.index(first)
                path = [*circle[start:], *circle[:start], first]
                yield Mistake(_key(first), f"needs itself: {' -> '.join(path)}")
            told.update(error.path)


def _key(name: str) -> str:
    ref = FeatureRef.parse(name)
    return f"features.{ref.view}.features.{ref.feature}.expression"


def _texts(features: FeaturesSpec) -> dict[str, str]:
    return {
        str(FeatureRef(name, field)): feature.expression or ""
        for name, view in features.views.items()
        if view.is_on_demand
        for field, feature in view.features.items()
    }
