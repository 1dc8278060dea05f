"""Where results lie, of every problem and model, as the composed catalog says."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

from proml_kedro.results import NAMES, Places
from proml_kedro.results.places import MODEL, PROBLEM

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from proml_kedro.spec.run import RunSpec


def result_places(config: DictConfig, run: RunSpec, base: Path) -> Places:
    """Read the places of the catalog, with the names of problem and model left open.

    Args:
        config: The composed values, interpolations not yet resolved.
        run: What they were checked to be.
        base: The folder that relative places begin at.
    """
    open_names = deepcopy(config)
    open_names.problem.name, open_names.model.name = PROBLEM, MODEL
    catalog = open_names.get("catalog") or {}
    patterns = {name: str(one) for name in NAMES if (one := (catalog.get(name) or {}).get("filepath"))}
    return Places(run.data_dir, run.problem.name, run.model.name, patterns, base)
