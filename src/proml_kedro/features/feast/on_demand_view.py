"""On-demand features as Feast knows them: a view whose function computes them with the code that training uses.

Feast keeps such a function as source text in its registry. Ours is two lines and the definition as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from proml_kedro.features.on_demand.evaluate import OnDemand
from proml_kedro.features.on_demand.plain_values import from_lists, to_lists
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.on_demand import bases, expressions

if TYPE_CHECKING:
    from feast import OnDemandFeatureView

_SOURCE = """\
def {view}(inputs):
    from proml_kedro.features.feast.on_demand_view import transform

    return transform({view!r}, {definition!r}, inputs)
"""


def transform(view: str, definition: str, inputs: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """A view's features as lists, None for null.

    Args:
        view: The view.
        definition: What :func:`_definition` wrote.
        inputs: Lists of n values: those of feature views as ``view__feature``, those of requests by their name alone.
    """
    on_demand = _read(view, definition)
    lists = {name: inputs[_name_among(inputs, name)] for name in on_demand.needs}
    columns = from_lists(lists, on_demand.needs)
    computed = to_lists(on_demand.compute(columns), on_demand.dtypes)
    return {name.partition(".")[2]: values for name, values in computed.items()}


def _name_among(inputs: Mapping[str, Any], name: str) -> str:
    view, _, feature = name.partition(".")
    full = f"{view}__{feature}"
    return full if full in inputs else feature


@lru_cache(maxsize=1024)
def _read(view: str, definition: str) -> OnDemand:
    features = FeaturesSpec.model_validate(json.loads(definition))
    return OnDemand(features, [f"{view}.{name}" for name in features.views[view].features])


def _definition(features: FeaturesSpec, view: str) -> str:
    """All that is needed to compute a view, in JSON: expressions, and the types of what they read."""
    names = [f"{view}.{name}" for name in features.views[view].features]
    declared: dict[str, Any] = {}
    for name, dtype in bases(features, names).items():
        base, _, feature = name.partition(".")
        declared.setdefault(base, {"source": "request", "features": {}})["features"][feature] = {"dtype": dtype}
    for name in expressions(features, names):
        other, _, field = name.partition(".")
        spec = features.views[other].features[field]
        computed = declared.setdefault(other, {"source": "on_demand", "features": {}})["features"]
        computed[field] = {"dtype": spec.dtype, "expression": spec.expression}
    return json.dumps(declared, sort_keys=True)


def on_demand_view(
    name: str, features: FeaturesSpec, declared: Sequence[Any], schema: list[Any], tags: dict[str, str]
) -> OnDemandFeatureView:
    """A view of on-demand features as Feast declares it.

    Args:
        name: The view.
        features: The problem's features.
        declared: Feast's feature views and request sources of what it reads.
        schema: Its fields.
        tags: What is noted of it.
    """
    from feast import OnDemandFeatureView
    from feast.transformation.python_transformation import PythonTransformation
    from feast.transformation.udf_rehydrate import rehydrate_udf_from_source

    class Declared(PythonTransformation):
        """Feast would guess types from what an example of the inputs gives, which may be null."""

        def infer_features(self, *_: Any, **__: Any) -> list[Any]:
            return schema

    view = features.views[name]
    read = bases(features, [f"{name}.{one}" for one in view.features])
    source = _SOURCE.format(view=name, definition=_definition(features, name))
    function: Any = rehydrate_udf_from_source(source, preferred_name=name)
    wanted: dict[str, list[str]] = {}
    for one in read:
        base, _, feature = one.partition(".")
        wanted.setdefault(base, []).append(feature)
    by_name = {one.name: one for one in declared}
    return OnDemandFeatureView(
        name=name,
        sources=[_part(by_name[base], names) for base, names in wanted.items()],
        schema=schema,
        feature_transformation=Declared(function, source),
        mode="python",
        description=view.description,
        owner=view.owner,
        tags=tags,
    )


def _part(source: Any, names: list[str]) -> Any:
    """Of a feature view, what is read of it; a request source as it is."""
    from feast import FeatureView

    return source[names].projection if isinstance(source, FeatureView) else source
