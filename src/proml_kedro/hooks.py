"""What happens around a run: limits before it, places of mistakes in it, a summary after it."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from tempfile import TemporaryFile
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from proml_kedro.artifacts import ArtifactStore
from proml_kedro.command_line import run_again
from proml_kedro.datasets import ArtifactDataset
from proml_kedro.errors import Mistake, UserError
from proml_kedro.hardware import check_device, limit_environment
from proml_kedro.results import DriftResult, Places
from proml_kedro.spec import RunSpec
from proml_kedro.workflow.recipes import recipes_of, run_spec
from proml_kedro.workflow.stored import explain_missing, find, pipelines_for

DRIFTED = 1
"""Exit code of `kedro run --pipelines=monitor` when current data has drifted."""


class ProjectHooks:
    """The project's hooks; Kedro calls them."""

    def __init__(self) -> None:
        self._where: Callable[[str], str | None] = lambda key: None
        self._places: Callable[[], Places] | None = None
        self._started: dict[str, float] = {}
        self._seconds: dict[str, float] = {}

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Remember who knows the configuration's files and lines."""
        self._where = getattr(context.config_loader, "where", self._where)
        self._places = lambda: context.config_loader.places(context.project_path)

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]) -> None:
        """Hold every library to the hardware's threads, and choose the results that the run starts from.

        Raises:
            UserError: A device is not there, nothing can be written to the data folder, or there are no results of
                this configuration that earlier pipelines make.
        """
        warnings.simplefilter("ignore", ResourceWarning)  # Feast leaves files open, and Kedro shows every warning
        run = _run_spec(catalog)
        hardware = run.hardware
        try:
            check_device(hardware)
        except UserError as error:
            error.locate(self._where)
            raise UserError(*error.mistakes) from error
        limit_environment(hardware)
        if "store" in pipeline.inputs():
            _prepare(catalog.load("store"))
        _choose_inputs(pipeline, catalog, run)

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Note the time."""
        self._started[node.name] = time.perf_counter()

    @hook_impl
    def after_node_run(self, node: Node) -> None:
        """Note how long it took."""
        self._seconds[node.name] = time.perf_counter() - self._started[node.name]

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """Say in which file, on which line, the user finds what is wrong."""
        if isinstance(error, UserError):
            error.locate(self._where)

    @hook_impl
    def after_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]
    ) -> None:
        """Print the summary. A run of the monitor alone is a gate: it ends with exit code 1 on drift."""
        from proml_kedro import summary

        results = {name: catalog.load(name) for name in pipeline.all_outputs() if not _is_missing(catalog.get(name))}
        run = _run_spec(catalog)
        places = self._places() if self._places else Places(run.data_dir, run.problem.name, run.model.name)
        summary.show(results, run, places, self._seconds)
        alone = list(run_params.get("pipeline_names") or []) == ["monitor"]
        if alone and DriftResult.read(results["drift"].path).verdict == "drift":
            sys.exit(DRIFTED)


def _run_spec(catalog: CatalogProtocol[Any, Any]) -> RunSpec:
    return run_spec(catalog.load("parameters"))


def _choose_inputs(pipeline: Pipeline, catalog: CatalogProtocol[Any, Any], run: RunSpec) -> None:
    """Let the run start from stored results of its own configuration, and from nothing else.

    The links of the catalog lead to them from now on, as if this run had made them. Only of values in the online
    store, which changes in place, there is but one state, that of the newest.

    Raises:
        UserError: There are none.
    """
    datasets = {name: catalog.get(name) for name in sorted(pipeline.inputs())}
    wanted = {name: one for name, one in datasets.items() if isinstance(one, ArtifactDataset)}
    if not wanted:
        return
    store, recipes = catalog.load("store"), recipes_of(run)
    found = find(store, recipes, wanted)
    order = [*recipes, *(name for name in wanted if name not in recipes)]
    missing = [
        name
        for name in order
        if name in wanted and name not in found and (name in recipes or _is_missing(wanted[name]))
    ]
    if missing:
        newest = {name: one for name in missing if (one := wanted[name].newest())}
        message = explain_missing(store, recipes, missing, newest)
        command = run_again(f"--pipelines={','.join(pipelines_for(missing))}")
        raise UserError(Mistake("", f"{message}; make it with `{command}`"))
    for name, artifact in found.items():
        wanted[name].save(artifact)


def _prepare(store: ArtifactStore) -> None:
    """See that results can be written, and clear away what killed runs have left.

    Raises:
        UserError: They cannot.
    """
    try:
        store.data_dir.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=store.data_dir):
            pass
    except OSError as error:
        raise UserError.at("data_dir", f"cannot write to {store.data_dir}: {error.strerror}") from error
    store.remove_abandoned()


def _is_missing(dataset: Any) -> bool:
    return isinstance(dataset, ArtifactDataset) and not dataset.exists()
