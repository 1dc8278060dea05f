"""The code that results rest on, beside that of the step which makes them: kinds of component, and extensions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from proml_kedro.extensions import Registry, components, producers, registries
from proml_kedro.source_code import extension_fingerprint
from proml_kedro.spec import ModelSpec
from proml_kedro.spec.base import texts_in
from proml_kedro.spec.model import spec_of

TRAINING_SET = ("features.training", "features.feast", "==duckdb", "==feast")
"""What a training set, and so each part of it, rests on."""

_OURS = "proml_kedro."


def model_code(*models: ModelSpec | None) -> tuple[str, ...]:
    """Return what fitting models and scoring with them rests on, for :func:`~proml_kedro.source_code.code_fingerprint`.

    Only kinds of component that the models have count, and only the libraries that these name.
    """
    modules = components.modules()
    kinds = sorted({spec.kind for model in models if model for spec in model.components.values()})
    ours = {kind: modules[kind].removeprefix(_OURS) for kind in kinds if modules[kind].startswith(_OURS)}
    libraries = sorted({library for kind in ours for library in spec_of(kind).requires})
    return ("models.graph", "models.examples", "models.columns", *ours.values(), *(f"=={one}" for one in libraries))


def own_code(*specs: BaseModel | None) -> dict[str, str]:
    """Return a digest of the source of each extension that some specs name, by its name.

    An extension is an object of a registry that does not come with proml_kedro. Whatever a spec says that is the name
    of one counts: a kind of component, a metric, an aggregate.
    """
    extensions = [
        (one, name, module) for one in registries() if one is not producers for name, module in _extensions(one)
    ]
    if not extensions:
        return {}
    named = {text for spec in specs if spec is not None for text in texts_in(spec.model_dump(mode="json"))}
    return {
        name if registry is components else f"{registry.sort} {name}": _digest(registry, name, module)
        for registry, name, module in extensions
        if name in named
    }


def own_code_of(*specs: BaseModel | None) -> dict[str, dict[str, str]]:
    """Return :func:`own_code` under that name; nothing at all when there is none.

    So what a recipe without extensions says stays what it was before extensions counted.
    """
    found = own_code(*specs)
    return {"own_code": found} if found else {}


def _extensions(registry: Registry[Any]) -> Iterator[tuple[str, str]]:
    """Name and module of each object that does not come with proml_kedro."""
    return ((name, module) for name, module in registry.modules().items() if not module.startswith(_OURS))


def _digest(registry: Registry[Any], name: str, module: str) -> str:
    modules, requires = [module], registry.required_by(name)
    if registry is components:
        from proml_kedro.models.kinds import modules_of

        modules, requires = modules_of(name), spec_of(name).requires or requires
    theirs = [one for one in modules if not one.startswith(_OURS)]
    return extension_fingerprint(*theirs, requires=requires)
