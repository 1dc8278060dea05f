"""The results of earlier runs that a run starts from: those that it would have made itself."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from proml_kedro.artifacts import Artifact, ArtifactStore, Recipe
from proml_kedro.digests import as_json
from proml_kedro.workflow.code import TRAINING_SET

_SHOWN = 5
"""How many differences a message names."""


def find(store: ArtifactStore, recipes: Mapping[str, Recipe], wanted: Collection[str]) -> dict[str, Artifact]:
    """Find the stored results that fit the configuration and were made from each other. Missing ones are omitted.

    Args:
        store: Where they are.
        recipes: What each is made from, each before what needs it.
        wanted: Names of those that are looked for.
    """
    looked_for = [name for name in reversed(list(recipes)) if name in wanted]
    best: dict[str, Artifact] = {}
    # Models may be made from parts of one training set, so that none of them tells which: it is chosen first.
    sets = store.find_all(recipes["training_set"]) if set(looked_for) - {"tables", "feature_tables"} else ()
    for training_set in (*sets, None):
        found = _find_with(store, recipes, looked_for, training_set)
        best = max(best, found, key=len)
        if len(best) == len(looked_for):
            break
    return best


def _find_with(
    store: ArtifactStore, recipes: Mapping[str, Recipe], looked_for: Collection[str], training_set: Artifact | None
) -> dict[str, Artifact]:
    """Find results that were made from one training set, or that say themselves from what they were made if None."""
    found: dict[str, Artifact] = {}
    ancestors: dict[str, Artifact] = {}
    if training_set is not None:
        ancestors = {"training_set": training_set, **store.made_of(training_set)}
    allowed = {name: {one.fingerprint} for name, one in ancestors.items()}
    if training_set is not None:
        allowed["training_set"] |= set(_parts(store, recipes, training_set))
    for name in looked_for:  # from the last back: what it was made from is the choice for those before it
        artifact = _look_up(store, recipes[name], ancestors.get(name), allowed)
        if artifact:
            found[name] = artifact
            _add_ancestors(store, artifact, ancestors)
            allowed = {**{one: {made.fingerprint} for one, made in ancestors.items()}, **allowed}
    return found


def _parts(store: ArtifactStore, recipes: Mapping[str, Recipe], training_set: Artifact) -> Iterator[str]:
    """Yield the fingerprints of the parts of a training set that models are made from."""
    for name in ("trained_baseline", "trained_model"):
        if "training_set" in recipes[name].of:
            yield store.part(training_set, recipes[name].of["training_set"], TRAINING_SET).fingerprint


def _look_up(
    store: ArtifactStore, recipe: Recipe, chosen: Artifact | None, allowed: Mapping[str, Collection[str]]
) -> Artifact | None:
    if chosen is None:
        return store.find(recipe, allowed)
    return chosen if store.holds(chosen) else None


def _add_ancestors(store: ArtifactStore, artifact: Artifact, ancestors: dict[str, Artifact]) -> None:
    """Note which results one was made from, and these in turn; of two of a name the first that was noted stays."""
    for name, one in store.made_of(artifact).items():
        if name not in ancestors:
            ancestors[name] = one
            _add_ancestors(store, one, ancestors)


def explain_missing(
    store: ArtifactStore, recipes: Mapping[str, Recipe], missing: Collection[str], newest: Mapping[str, Artifact]
) -> str:
    """Say which results there are not for the configuration, and in what the newest ones differ from it.

    Args:
        store: Where results are.
        recipes: What each is to be made from.
        missing: Names of those that are missing.
        newest: The newest of these, where there is one.
    """
    yet = [name for name in missing if name not in newest]
    if yet:
        return f"there is no '{yet[0]}' yet for this problem and model"
    *most, last = (f"'{name}'" for name in missing)
    names = f"{', '.join(most)} or {last}" if most else last
    why = _why(store, recipes, {name: newest[name] for name in missing if name in recipes})
    return f"there is no {names} for this configuration" + (f": {why}" if why else "")


def _why(store: ArtifactStore, recipes: Mapping[str, Recipe], newest: Mapping[str, Artifact]) -> str:
    found = list(
        dict.fromkeys(text for name, one in newest.items() for text in _differences(store, recipes[name], one))
    )
    if found:
        more = f" and {len(found) - _SHOWN} more that differ" if len(found) > _SHOWN else ""
        return f"the newest has {', '.join(found[:_SHOWN])}{more}"
    if not all(store.holds(one) for one in newest.values()):
        return "files of the newest are gone"
    known = all(store.record(one.path) for one in newest.values())
    return "the newest was made from other data" if known else ""


def _differences(store: ArtifactStore, recipe: Recipe, newest: Artifact) -> Iterator[str]:
    """What the configuration of a result says other than a recipe, written KEY=VALUE."""
    record = store.record(newest.path)
    if record is None:
        return
    for name, wanted in as_json(recipe.configuration).items():
        if name in record.configuration:
            yield from _compare(record.configuration[name], wanted, recipe.called.get(name, name))
    made_of = store.made_of(newest)
    for name, one in recipe.of.items():
        if name in made_of:
            yield from _differences(store, one, made_of[name])


def _compare(have: Any, wanted: Any, key: str) -> Iterator[str]:
    if have == wanted:
        return
    if " " in key:  # a description, of what no single key says
        yield f"other {key}"
    elif isinstance(have, dict) and isinstance(wanted, dict):
        for name in dict.fromkeys([*have, *wanted]):
            below = f"{key}.{name}".removeprefix(".")
            if name in have and name in wanted:
                yield from _compare(have[name], wanted[name], below)
            else:
                yield _written(below, have[name]) if name in have else f"no {below}"
    else:
        yield _written(key, have)


def _written(key: str, value: Any) -> str:
    """A value in the form of an override; only its key when it is long."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"{key}={text}" if len(text) <= 40 else f"another {key}"
