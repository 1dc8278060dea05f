"""Mistakes in a mixed model's YAML that show once the inputs are known, without reading any data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from proml_kedro.errors import Mistake, unknown
from proml_kedro.models.mixed.effect_spec import INTERCEPT, FactorsSpec, RandomEffectSpec
from proml_kedro.spec.dtype import Dtype


def check_terms(
    inputs: Mapping[str, Dtype],
    offset: str | None,
    exposure: str | None,
    fixed: Sequence[str],
    effects: Sequence[RandomEffectSpec | FactorsSpec],
) -> Iterator[Mistake]:
    """Find terms that name no input, one of the wrong dtype, or one that another term has.

    Args:
        inputs: Dtype of each input, by name.
        offset: Input with the offset.
        exposure: Input with the exposure.
        fixed: Names and patterns of the inputs with fixed effects.
        effects: The random effects.

    Yields:
        Mistakes whose keys are relative to the component.
    """
    yield from _check_offsets(inputs, offset, exposure)
    yield from _check_fixed(inputs, fixed, (offset, exposure))
    for position, effect in enumerate(effects):
        for name in effect.inputs:
            yield from _check_text(f"random_effects.{position}.entity", name, inputs)
        if isinstance(effect, RandomEffectSpec):
            yield from _check_features(f"random_effects.{position}.features", effect, inputs)


def _check_offsets(inputs: Mapping[str, Dtype], offset: str | None, exposure: str | None) -> Iterator[Mistake]:
    for key, name in (("offset", offset), ("exposure", exposure)):
        if name is not None:
            yield from _check_number(key, name, inputs, f"an {key}")
    if offset is not None and offset == exposure:
        yield Mistake("exposure", f"'{exposure}' is the offset already")


def _check_fixed(
    inputs: Mapping[str, Dtype], fixed: Sequence[str], offsets: tuple[str | None, ...]
) -> Iterator[Mistake]:
    for position, pattern in enumerate(fixed):
        if not any(fnmatchcase(name, pattern) for name in inputs):
            yield Mistake(f"fixed.{position}", unknown("input", pattern, inputs))
        elif pattern in offsets:
            yield Mistake(f"fixed.{position}", f"'{pattern}' is the offset or exposure, which has no coefficient")


def _check_features(key: str, effect: RandomEffectSpec, inputs: Mapping[str, Dtype]) -> Iterator[Mistake]:
    for position, name in enumerate(effect.features):
        if name != INTERCEPT:
            yield from _check_number(f"{key}.{position}", name, inputs, "a feature of an effect")


def _check_number(key: str, name: str, inputs: Mapping[str, Dtype], what: str) -> Iterator[Mistake]:
    if name not in inputs:
        yield Mistake(key, unknown("input", name, [one for one, dtype in inputs.items() if dtype != "str"]))
    elif inputs[name] == "str":
        yield Mistake(key, f"'{name}' is text; {what} is a number")


def _check_text(key: str, name: str, inputs: Mapping[str, Dtype]) -> Iterator[Mistake]:
    if name not in inputs:
        yield Mistake(key, unknown("input", name, [one for one, dtype in inputs.items() if dtype == "str"]))
    elif inputs[name] != "str":
        yield Mistake(key, f"'{name}' is a number; an entity is text: declare the feature with `dtype: str`")
