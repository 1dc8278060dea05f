"""What commands of the tests import, and read of imports: once, in the process that they are forked from.

TensorFlow and Numba are not here: they start threads when they are loaded, which do not survive a fork; nor is DuckDB,
which complains at the end of a fork of what was loaded before it.
"""

from __future__ import annotations

import gc
import importlib
import inspect
import pkgutil
import tempfile
import warnings
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser

import proml_kedro
from proml_kedro import extensions, source_code
from proml_kedro.imports import ImportIndex
from proml_kedro.plots import figure

_LIBRARIES = (
    "proml_kedro.features.feast",  # before Feast itself, which then costs a quarter
    "evidently.presets",
    "feast.infra.compute_engines.local.compute",
    "feast.infra.passthrough_provider",
    "feast.infra.registry.registry",
    "feast.repo_operations",
    "fsspec.implementations.local",
    "kedro.framework.cli",
    "kedro.framework.session",
    "kedro.validation",
    "kedro_telemetry.plugin",
    "kedro_viz.integrations.kedro.hooks",
    "kedro_viz.launchers.cli.lazy_default_group",
    "kedro_viz.launchers.cli.main",
    "matplotlib.backends.backend_agg",
    "matplotlib.pyplot",
    "pathspec",
    "plotly.io",
    "proml_kedro.cli",
    "proml_kedro.datasets",
    "proml_kedro.hooks",
    "proml_kedro.models.linear.component",
    "proml_kedro.models.xgboost.component",
    "proml_kedro.pipelines",
    "proml_kedro.serving.scorer",
    "proml_kedro.summary",
    "sklearn.metrics",
    "xgboost",
)
_PACKAGES = ("bundle", "commands", "config", "engine", "evaluation", "features", "health", "release", "results",
             "spec", "workflow")  # fmt: skip

with warnings.catch_warnings():  # some libraries show all warnings from their import on
    for name in _LIBRARIES:
        importlib.import_module(name)
    for name in _PACKAGES:
        package = importlib.import_module(f"proml_kedro.{name}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
source_code.SourceTree(Path(proml_kedro.__file__).parents[1], "proml_kedro", ImportIndex(None)).closure(["proml_kedro"])
extensions._installed.cache_clear()  # a command may have packages of its own on its path
for one in vars(extensions).values():
    if isinstance(one, extensions.Registry):
        vars(one).pop("_entry_points", None)
# What libraries keep of their first use: the places of all modules (Dynaconf asks for each caller's, which takes a
# third of a command that computes nothing), fonts, and the grammar of overrides.
inspect.stack()
OverridesParser.create().parse_overrides(["model=linear", "~evaluation.baseline", "data_dir=/a/b", "a.b={c: [1.5, d]}"])
with tempfile.TemporaryDirectory() as folder, figure(Path(folder) / "drawn.png") as axes:
    axes.plot([0, 1], label="1")
    axes.set(title="Title", xlabel="x")
    axes.legend()
gc.freeze()  # what is loaded is shared with the forks, as long as no collector touches it
