"""The JSON Schema of the configuration agrees with our own checks: what these refuse it refuses, and nothing else."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from omegaconf._utils import get_yaml_loader
from pydantic import BaseModel, BeforeValidator, TypeAdapter, ValidationError

from proml_kedro.authoring.schema import as_text, groups, make_schema, named_by, write_schemas
from proml_kedro.authoring.schema_types import ALSO
from proml_kedro.commands.new import make_project
from proml_kedro.spec.evaluation import EvaluationSpec
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.model import ModelSpec
from proml_kedro.spec.monitoring import MonitoringSpec
from proml_kedro.spec.problem import ProblemSpec
from proml_kedro.spec.serving import ServingSpec
from tiers import examples

ROOT = Path(__file__).parents[3]
SCHEMA = make_schema()
SPECS: dict[str, Any] = {
    "problem": ProblemSpec,
    "features": FeaturesSpec,
    "model": ModelSpec,
    "hardware": HardwareSpec,
    "evaluation": EvaluationSpec,
    "serving": ServingSpec,
    "monitoring": MonitoringSpec,
}
NAMED = ("problem", "model")
"""Groups whose files are named in the spec too."""

MORE: dict[str, list[str]] = {
    "problem": [
        "{tables: {t: {source: a.db, table: x}}, examples: {table: t}, label: {expression: y}, "
        "split: {by: {entity: k, last: 20%}}}",
        "{tables: {t: {source: A.CSV.gz, decimal: ',', null_words: ['-']}, u: {query: select 1}}, "
        "examples: {table: t}, label: {expression: y, task: count}, split: {by: random, validation: 20%, test: 0.2}}",
        "{tables: {t: {source: x, reader: jsonl}}, examples: {table: t, lead_time: 1h}, label: {expression: y}, "
        "split: {validation_from: 2024-01-01, test_from: 2024-02-01}}",
    ],
    "features": [
        "{v: {key: k, source: {table: t, event_time: at, delay: 1d}, snapshot: 1d, defaults: {windows: [7d, all]}, "
        "features: {a: {agg: quantile, expression: x, q: 0.5}, b: {agg: decay, expression: x, half_life: 7d}}}}",
    ],
    "hardware": ["{threads: auto, memory: 4GB}", "{threads: 3}"],
    "model": ["{components: {a: {kind: ratio, of: [x.y, x.z]}, b: {kind: linear, inputs: ['*']}}, score: b}"],
}


def load(text: str) -> Any:
    return yaml.load(text, Loader=get_yaml_loader())  # numbers as Hydra reads them


def validator(group: str) -> Draft7Validator:
    return Draft7Validator({"$ref": f"#/definitions/file.{group}", "definitions": SCHEMA["definitions"]})


def files(folder: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted(folder.rglob("*.yaml")):
        yield "config" if file.parent == folder else file.relative_to(folder).parts[0], file


def whole() -> list[tuple[str, Any]]:
    """Configurations that stand for themselves, and are sound."""
    found = [(group, load(file.read_text())) for group, file in files(ROOT / "conf") if group in SPECS]
    found += [(group, load(text)) for group, texts in MORE.items() for text in texts]
    return [(group, one) for group, one in found if "defaults" not in one and not refused(group, one)]


def refused(group: str, value: Any) -> list[str]:
    """Types of what our own checks refuse."""
    given = {"name": "own", **value} if group in NAMED else value
    try:
        TypeAdapter(SPECS[group]).validate_python(given)
    except ValidationError as error:
        return [one["type"] for one in error.errors()]
    return []


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key, one in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(one, (*path, key))


def changed(value: Any, path: tuple[Any, ...], new: Any, key: str | None) -> Any:
    """A copy with another value at a place, or with one key more there."""
    value = copy.deepcopy(value)
    if not path and key is None:
        return new
    parent, inside = value, path if key is not None else path[:-1]
    for part in inside:
        parent = parent[part]
    parent[path[-1] if key is None else key] = new
    return value


def test_every_shipped_file_is_valid(tmp_path: Path) -> None:
    Draft7Validator.check_schema(SCHEMA)
    seen = set()
    for folder in (ROOT / "conf", make_project(tmp_path, "bakery") / "conf"):
        for group, file in files(folder):
            value = load(file.read_text())
            if value is not None:
                errors = [f"{list(one.absolute_path)}: {one.message}" for one in validator(group).iter_errors(value)]
                assert not errors, (file, errors)
                seen.add(group)
    assert seen >= {*SPECS, "config", "catalog", "env", "experiment"}
    assert len(whole()) >= 25


WHOLE = whole()
WRONG = [[], {}, "no number 1h2", "", -3, 0.5, True, None, ["a"], {"a": 1}, "2024-13-45x", "7x", 10**9]
CROSS = {"value_error", "assertion_error"}
"""What looks at several keys, at the words of an expression, or at a name elsewhere: beyond what a schema says. Where
it is one side of a union, errors of the other side say nothing."""


@examples(fast=150, whole=4000)
@given(data=st.data())
def test_what_our_checks_refuse_for_keys_and_types_the_schema_refuses_and_nothing_else(data: st.DataObject) -> None:
    group, value = data.draw(st.sampled_from(WHOLE))
    path = data.draw(st.sampled_from(list(places(value))[1:]))
    at = value
    for part in path:
        at = at[part]
    new = data.draw(st.sampled_from(WRONG))
    key = "no_such_key" if isinstance(at, dict) and data.draw(st.booleans()) else None
    mutated = changed(value, path, new, key)
    ours, theirs = refused(group, mutated), list(validator(group).iter_errors(mutated))
    if key is not None and new is None:
        return  # a null under another aggregate's key is passed over, as bundles of earlier versions have it
    if (path[-1], new) == ("reader", "") or (group == "features" and set(ours) == {"missing"}):
        return  # an empty name is none; windows may come from the view's defaults
    if ours and CROSS.isdisjoint(ours):
        assert theirs, f"{group} {path} {key} {new!r}: we refuse {ours}"
    elif not ours:
        assert not theirs, f"{group} {path} {key} {new!r}: {theirs[0].message}"


@pytest.mark.parametrize(
    ("group", "text"),
    [
        ("model", "{components: {t: {kind: xgboost, inputs: ['*'], params: {max_dept: 3}}}, score: t}"),
        ("model", "{components: {t: {kind: xgbost, inputs: ['*']}}, score: t}"),
        ("problem", "{tables: {t: {source: a.csv, decmal: ','}}}"),
        ("problem", "{tables: {t: {source: a.parquet, decimal: ','}}}"),
        ("problem", "{split: {by: random, validation: 20%, test: 20%, group: [a]}}"),
        ("features", "{v: {key: k, source: {table: t}, features: {a: {agg: sum, expression: x, windows: 7d}}}}"),
        ("features", "{v: {source: request, features: {a: {dtype: int, agregate: sum}}}}"),
        ("monitoring", "{gate: {alpha: 2}}"),
        ("experiment", "{evaluation: {compare: {resample: 50}}}"),
        ("config", "{defaults: [_self_], sede: 3}"),
    ],
)
def test_typical_slips_are_refused(group: str, text: str) -> None:
    assert list(validator(group).iter_errors(load(text)))


def test_keys_carry_their_documentation() -> None:
    split = SCHEMA["definitions"]["features.training.splits.random.RandomSplit"]["properties"]
    assert split["group"]["description"].startswith("Column whose rows of one value are on one side")
    lacking = [
        f"{name}.{key}"
        for name, one in SCHEMA["definitions"].items()
        if name.startswith(("spec.", "features.")) and not name.endswith("-part")
        for key, schema in one.get("properties", {}).items()
        if "description" not in schema
    ]
    assert set(lacking) <= {f"spec.monitoring.GateSpec.psi_{one}" for one in ("floor", "margin")}


def test_every_function_that_looks_before_a_type_is_known_to_the_schema() -> None:
    """A new one would be refused by editors although it is sound: name it in ``ALSO`` or ``FIELDS``."""
    own = {("FeatureViewSpec", "_one_key_as_list"), ("FeatureViewSpec", "_share_windows"), ("EntitySplit", "_flat")}
    own |= {("RandomEffectSpec", "_as_list"), ("XGBoostParams", "_accept_aliases"), ("WindowFeature", "_fill_in")}
    own |= {("Spec", "_no_truth_values_as_numbers"), ("Expression", "_inputs_named")}
    found = set()
    for model in _models(BaseModel):
        if not model.__module__.startswith("proml_kedro."):
            continue
        decorators = model.__pydantic_decorators__
        for kind in (decorators.model_validators, decorators.field_validators):
            for name, one in kind.items():
                if one.info.mode == "before":
                    owner = next(base for base in model.__mro__ if name in vars(base))
                    found.add((owner.__name__, name))
        for field in model.model_fields.values():
            notes = [*field.metadata, *getattr(field.annotation, "__metadata__", ())]
            names = {one.func.__name__ for one in notes if isinstance(one, BeforeValidator)}
            assert names <= set(ALSO), (model, names)
    assert found <= own, found - own


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for one in model.__subclasses__():
        yield one
        yield from _models(one)


def test_a_project_has_the_schemas_that_its_files_name(tmp_path: Path) -> None:
    home = make_project(tmp_path, "bakery")
    for group, file in files(home / "conf"):
        first = file.read_text().splitlines()[0]
        assert first == named_by(group), file
        named = file.parent / first.partition("$schema=")[2].strip()
        reference = json.loads(named.read_text())["$ref"]
        target, _, place = reference.partition("#/definitions/")
        assert place in json.loads((named.parent / target).read_text())["definitions"]
    assert {one.stem for one in (home / "schema").iterdir()} == {"config", "proml.schema", *groups()}


def test_it_is_what_the_documentation_ships(tmp_path: Path) -> None:
    assert (ROOT / "docs" / "reference" / "proml.schema.json").read_text() == as_text(SCHEMA), "make docs writes it"
    write_schemas(tmp_path)
    assert (tmp_path / "proml.schema.json").read_text() == as_text(SCHEMA)
    assert inspect.getdoc(make_schema)
