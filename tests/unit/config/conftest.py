"""Small configurations in folders of their own, composed for real."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from proml_kedro.config import HydraConfigLoader
from proml_kedro.errors import UserError

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
    "catalog/here.yaml": """
        store: {type: proml_kedro.datasets.StoreDataset, filepath: "${data_dir}/${problem.name}/${model.name}"}
        """,
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
    """A sound configuration; tests change what they need."""
    return write(tmp_path / "project" / "conf", FILES)


@pytest.fixture
def edit(conf: Path) -> Callable[..., None]:
    """Write files, by their path in the configuration."""
    return lambda **files: write(conf, {name.replace("__", "/") + ".yaml": text for name, text in files.items()})


@pytest.fixture
def load(conf: Path) -> Callable[..., HydraConfigLoader]:
    """A loader of that configuration with overrides and runtime parameters."""

    def load(*overrides: str, env: str | None = None, untrusted: bool = False, **params: Any) -> HydraConfigLoader:
        runtime = {**params, **({"overrides": list(overrides)} if overrides else {})}
        return HydraConfigLoader(
            conf, env, runtime, default_run_env="local", restrict_runtime_params_type_selection=untrusted
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
