"""Small configurations, composed for real: one that all tests read, and own ones for tests that change files."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from proml_kedro.config import HydraConfigLoader, composition
from proml_kedro.config.folders import Folders
from proml_kedro.config.overrides import Override
from proml_kedro.errors import Mistake, UserError
from proml_kedro.results import NAMES

FILES = {
    "config.yaml": """
        defaults:
          - problem: shop
          - features: ${problem}
          - model: forest
          - evaluation: small
          - catalog: here
          - _self_
          - optional experiment: null
          - optional env: local

        config_version: 1
        seed: 7
        """,
    "problem/shop.yaml": """
        tables:
          visits: {source: visits.csv}
        examples:
          table: visits
          entities: [customer]
          timestamp: at
        label: {expression: bought}
        split:
          validation_from: 2024-02-01
          test_from: 2024-03-01
        """,
    "features/shop.yaml": """
        visit:
          source: request
          features:
            pages: {dtype: int}
            device: {dtype: str}
        customer:
          key: customer
          source: {table: visits, event_time: at}
          features:
            visits: {agg: count, windows: [7d]}
        """,
    "model/forest.yaml": """
        components:
          trees:
            kind: xgboost
            inputs: ["*"]
            params: {max_depth: 3}
        score: trees
        """,
    "evaluation/small.yaml": """
        defaults:
          - /model@baseline: logistic
        compare: {resamples: 20}
        """,
    "catalog/here.yaml": "".join(
        f'{name}: {{type: proml_kedro.datasets.{kind}Dataset, filepath: "{place}"}}\n'
        for name, kind, place in (
            ("store", "Store", "${data_dir}"),
            *((name, "Artifact", f"${{data_dir}}/${{problem.name}}/${{model.name}}/{name}") for name in NAMES),
        )
    ),
    "env/local.yaml": """
        # @package _global_
        # nothing yet
        """,
    "env/prod.yaml": """
        # @package _global_
        seed: 11
        """,
    "experiment/deep.yaml": """
        # @package _global_
        model: {components: {trees: {params: {max_depth: 9}}}}
        """,
}


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """Write YAML files below a folder."""
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).lstrip("\n"))
    return folder


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A sound configuration of the test's own; it changes what it needs."""
    return write(tmp_path / "project" / "conf", FILES)


@pytest.fixture(scope="session")
def shared_conf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same configuration for all tests that only read it: Hydra composes each choice of files in it once.

    Single values are changed, resolved and checked anew in every test. What composes is the real thing.
    """
    folder = write(tmp_path_factory.mktemp("shared") / "project" / "conf", FILES)
    run_hydra, known = composition._run_hydra, {}

    def once(folders: Folders, choices: list[Override], edits: Sequence[Override], mistakes: list[Mistake]) -> Any:
        if folders.own != folder:
            return run_hydra(folders, choices, edits, mistakes)
        key = tuple(map(composition._as_argument, choices))
        if key not in known:
            known[key] = run_hydra(folders, choices, edits, mistakes)
        return deepcopy(known[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(composition, "_run_hydra", once)
        yield folder


@pytest.fixture
def edit(conf: Path) -> Callable[..., None]:
    """Write files, by their path in the configuration."""
    return lambda **files: write(conf, {name.replace("__", "/") + ".yaml": text for name, text in files.items()})


@pytest.fixture
def load(request: pytest.FixtureRequest) -> Callable[..., HydraConfigLoader]:
    """A loader of that configuration with overrides and runtime parameters; of the test's own one where it asks."""
    own = {"conf", "edit"} & set(request.fixturenames)
    folder = request.getfixturevalue("conf" if own else "shared_conf")

    def load(*overrides: str, env: str | None = None, untrusted: bool = False, **params: Any) -> HydraConfigLoader:
        runtime = {**params, **({"overrides": list(overrides)} if overrides else {})}
        return HydraConfigLoader(
            folder, env, runtime, default_run_env="local", restrict_runtime_params_type_selection=untrusted
        )

    return load


@pytest.fixture
def lines(load: Callable[..., HydraConfigLoader]) -> Callable[..., list[str]]:
    """What the user reads of a configuration that is not sound."""

    def lines(*overrides: str, **options: Any) -> list[str]:
        with pytest.raises(UserError) as caught:
            load(*overrides, **options).loaded  # noqa: B018
        return str(caught.value).splitlines()

    return lines
