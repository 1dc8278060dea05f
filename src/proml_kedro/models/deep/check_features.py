"""Mistakes under ``features``: names that match nothing, and tables that cannot be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from proml_kedro.errors import Mistake, unknown
from proml_kedro.models.deep.features_spec import DeepFeaturesSpec
from proml_kedro.models.deep.layout import GROUPS, CategoricalInput, lay_out, matching
from proml_kedro.spec.dtype import Dtype, vector_size


def check_features(features: DeepFeaturesSpec, inputs: Mapping[str, Dtype]) -> Iterator[Mistake]:
    """Find patterns that match nothing, and texts, crosses and tables that contradict each other.

    Args:
        features: How inputs become tensors.
        inputs: Their types by name.
    """
    text = {name: dtype for name, dtype in inputs.items() if dtype == "str"}
    numbers = {name: dtype for name, dtype in inputs.items() if dtype != "str" and vector_size(dtype) is None}
    embedded = dict.fromkeys((*text, *numbers, *features.crosses))
    settings: list[tuple[str, str, Mapping[str, object]]] = [
        ("embed", "feature", embedded),
        ("numeric", "number", numbers),
        ("buckets", "number", numbers),
        *((key, "text", text) for key in ("min_count", "max_categories", "hash", "text", "sequences")),
    ]
    for key, sort, known in settings:
        patterns = getattr(features, key)
        for pattern in patterns if isinstance(patterns, Mapping) else ():
            if not matching([pattern], known):
                yield Mistake(f"features.{key}.{pattern}", unknown(f"{sort} among the inputs", pattern, known))
    yield from _check_forms(features, text)
    yield from _check_crosses(features, inputs)
    yield from _check_tables(features, inputs, text)


def _check_forms(features: DeepFeaturesSpec, text: Mapping[str, Dtype]) -> Iterator[Mistake]:
    texts = matching(list(features.text), text)
    for name in matching(list(features.sequences), text):
        if name in texts:
            yield Mistake("features.sequences", f"'{name}' is under features.text already")


def _check_crosses(features: DeepFeaturesSpec, inputs: Mapping[str, Dtype]) -> Iterator[Mistake]:
    crossable = {one.name: one for one in lay_out(features, inputs).categoricals if one.form in ("category", "buckets")}
    for name, cross in features.crosses.items():
        if name in (*GROUPS, *inputs):
            yield Mistake(f"features.crosses.{name}", "the name stands for inputs; call the cross something else")
        for position, one in enumerate(cross.of):
            if one not in crossable:
                here = f"features.crosses.{name}.of.{position}"
                yield Mistake(here, unknown("category or bucketed number among the inputs", one, crossable))


def _check_tables(
    features: DeepFeaturesSpec, inputs: Mapping[str, Dtype], text: Mapping[str, Dtype]
) -> Iterator[Mistake]:
    owner: dict[str, str] = {}
    for table, patterns in features.tables.items():
        if table in (*inputs, *features.crosses):
            yield Mistake(f"features.tables.{table}", "an input has this name too; call the table something else")
        for position, pattern in enumerate(patterns):
            key = f"features.tables.{table}.{position}"
            members = matching([pattern], text)
            if not members:
                yield Mistake(key, unknown("text among the inputs", pattern, text))
            for name in members:
                if owner.setdefault(name, table) != table:
                    yield Mistake(key, f"'{name}' has the table '{owner[name]}' already")
    layout = lay_out(features, inputs)
    for table in features.tables:
        members_of = [one for one in layout.categoricals if one.table == table]
        if len({_of_table(one) for one in members_of}) > 1:
            names = ", ".join(one.name for one in members_of)
            message = f"embed, min_count, max_categories and hash must be equal for {names}"
            yield Mistake(f"features.tables.{table}", message)


def _of_table(one: CategoricalInput) -> tuple[int | None, ...]:
    """Return what all inputs of one table must agree in."""
    return one.dimension, one.min_count, one.most, one.bins
