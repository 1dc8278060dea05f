"""What is wrong with a mixed model's YAML once it is known what its inputs are; without reading any data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from proml_kedro.errors import Mistake, unknown
from proml_kedro.spec.dtype import Dtype

if TYPE_CHECKING:
    from proml_kedro.models.mixed.spec import MixedSpec, RandomEffectSpec

_INTERCEPT = "intercept"


def of_terms(spec: MixedSpec, inputs: Mapping[str, Dtype]) -> Iterator[Mistake]:
    """Terms that name no input, one of the wrong type, or one that another term has.

    Args:
        spec: The component.
        inputs: What it reads, by name.

    Yields:
        Keys begin inside of the component.
    """
    yield from _of_offsets(spec, inputs)
    yield from _of_fixed(spec, inputs)
    for position, effect in enumerate(spec.random_effects):
        for name in effect.entity:
            yield from _is_text(f"random_effects.{position}.entity", name, inputs)
        if effect.kind == "coefficients":
            yield from _of_features(f"random_effects.{position}.features", effect, inputs)


def _of_offsets(spec: MixedSpec, inputs: Mapping[str, Dtype]) -> Iterator[Mistake]:
    for key, name in (("offset", spec.offset), ("exposure", spec.exposure)):
        if name is not None:
            yield from _is_number(key, name, inputs, f"an {key}")
    if spec.offset is not None and spec.offset == spec.exposure:
        yield Mistake("exposure", f"'{spec.exposure}' is the offset already")


def _of_fixed(spec: MixedSpec, inputs: Mapping[str, Dtype]) -> Iterator[Mistake]:
    for position, pattern in enumerate(spec.fixed):
        if not any(fnmatchcase(name, pattern) for name in inputs):
            yield Mistake(f"fixed.{position}", unknown("input", pattern, inputs))
        elif pattern in (spec.offset, spec.exposure):
            yield Mistake(f"fixed.{position}", f"'{pattern}' is the offset or exposure, which has no coefficient")


def _of_features(key: str, effect: RandomEffectSpec, inputs: Mapping[str, Dtype]) -> Iterator[Mistake]:
    for position, name in enumerate(effect.features):
        if name != _INTERCEPT:
            yield from _is_number(f"{key}.{position}", name, inputs, "a feature of an effect")


def _is_number(key: str, name: str, inputs: Mapping[str, Dtype], what: str) -> Iterator[Mistake]:
    if name not in inputs:
        yield Mistake(key, unknown("input", name, [one for one, dtype in inputs.items() if dtype != "str"]))
    elif inputs[name] == "str":
        yield Mistake(key, f"'{name}' is text; {what} is a number")


def _is_text(key: str, name: str, inputs: Mapping[str, Dtype]) -> Iterator[Mistake]:
    if name not in inputs:
        yield Mistake(key, unknown("input", name, [one for one, dtype in inputs.items() if dtype == "str"]))
    elif inputs[name] != "str":
        yield Mistake(key, f"'{name}' is a number; an entity is text: declare the feature with `dtype: str`")
