"""A project: its configuration with overrides, its results, and runs of it; what commands and notebooks work on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from proml_kedro.artifacts import Artifact, ArtifactStore
from proml_kedro.command_line import typed
from proml_kedro.config import HydraConfigLoader
from proml_kedro.config.folders import MAIN, ConfSource, Folders
from proml_kedro.errors import Mistake, UserError, unknown
from proml_kedro.locks import Claims
from proml_kedro.spec import FeaturesSpec, ProblemSpec, RunSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from proml_kedro.results import Places
    from proml_kedro.workflow import Run
    from proml_kedro.workflow.recording import Recording


@dataclass(frozen=True)
class Declared:
    """A problem of the configuration with its features.

    Attributes:
        where: File and line of a dotted key.
        written: The feature views as they are written.
    """

    problem: ProblemSpec
    features: FeaturesSpec
    where: Callable[[str], str | None]
    written: Mapping[str, Any]


class Project:
    """A configuration with overrides, and the results that lie beside it.

    Args:
        conf_source: Folder or archive with the configuration.
        overrides: Changes, as they were written.
        env: Kedro environment.
        root: The folder in which a relative ``data_dir`` lies; that of the Kedro project around the working directory
            when left out.

    Attributes:
        base_path: The folder that holds ``conf``.
        folders: The folders with configuration files.
        claims: Results that this project has handed out, which nobody may remove as long as it is there.

    Raises:
        UserError: There is no configuration there.
    """

    def __init__(
        self, conf_source: str, overrides: Sequence[str] = (), env: str | None = None, root: Path | None = None
    ) -> None:
        self.conf_source = conf_source
        self.overrides = list(overrides)
        self._root = root or _kedro_project()
        self.env = env or os.getenv("KEDRO_ENV")
        self._conf = ConfSource(conf_source)
        self.base_path = self._conf.base_path
        self.folders = Folders.of(self._conf.folder)
        self.loader = HydraConfigLoader(conf_source, self.env, {"overrides": self.overrides})
        self.claims = Claims()

    @classmethod
    def at(cls, path: str | Path, *overrides: str, env: str | None = None) -> Self:
        """Open the project that a folder belongs to.

        Args:
            path: The project's folder, which holds ``conf``, or one below it.
            overrides: Changes in Hydra's grammar, as on the command line: ``model=logistic``, ``seed=3``.
            env: Kedro environment: a file of ``conf/env``.

        Raises:
            UserError: There is no project.
        """
        start = Path(path).resolve()
        for folder in (start, *start.parents):
            if (folder / "conf" / MAIN).is_file():
                return cls(str(folder / "conf"), overrides, env, folder)
        raise UserError(Mistake("", f"there is no conf/{MAIN} in {start} or above; name the project's folder"))

    @cached_property
    def spec(self) -> RunSpec:
        """The checked configuration.

        Raises:
            UserError: With everything that is wrong.
        """
        return self.loader.loaded.run

    @cached_property
    def data_dir(self) -> Path:
        """Where results are kept; Kedro takes a relative one from the project's folder."""
        return self._root / self.spec.data_dir

    @cached_property
    def places(self) -> Places:
        """Where the newest result of each name lies, as the catalog says."""
        return self.loader.places(self._root)

    def with_overrides(self, *overrides: str) -> Self:
        """Open the same project with further overrides."""
        return self.with_only(*self.overrides, *overrides)

    def with_only(self, *overrides: str) -> Self:
        """Open the same project with these overrides and no others."""
        project = type(self)(self.conf_source, overrides, self.env, self._root)
        project.claims = self.claims
        return project

    def as_written(self) -> Self:
        """Open the same project without overrides."""
        return type(self)(self.conf_source, [], self.env, self._root)

    def store(self) -> ArtifactStore:
        """Open the store of results, which looks anew at each result."""
        return ArtifactStore(self.data_dir, self.spec.reuse, self.claims)

    def as_run(self) -> Run:
        """Return what a step of a run is given."""
        from proml_kedro.workflow import Run

        return Run(self.spec, self.store(), self.base_path, self.places, self.loader.credentials)

    def run(self, *overrides: str, results: Sequence[str] = ("evaluation",)) -> dict[str, Artifact]:
        """Make results, and whatever they are made from, in this process and without Kedro.

        They equal those of `kedro run` with the same overrides, which takes them over, as this does with its results.

        Args:
            overrides: Further changes, for this run alone.
            results: Names of results, as in :data:`proml_kedro.workflow.plan.STEPS`.

        Returns:
            All that was made or taken over, by name.

        Raises:
            UserError: With everything that is wrong, each with file and line.
        """
        from proml_kedro.workflow import make
        from proml_kedro.workflow.plan import STEPS
        from proml_kedro.workflow.recording import Recording

        results = [results] if isinstance(results, str) else list(results)
        if mistakes := [Mistake("", unknown("result", name, STEPS)) for name in results if name not in STEPS]:
            raise UserError(*mistakes)
        if overrides:
            return self.with_overrides(*overrides).run(results=results)
        run = self.as_run()
        command = typed(f"open_project().run(results={list(results)})")
        recording = Recording.begin(run, command, self.overrides, alone=False)
        try:
            with self._watching(recording, results):
                made = make(run, *results, recording=recording)
        except BaseException as error:
            if isinstance(error, UserError):
                error.locate(self.loader.where)
            recording.fail(error)
            raise
        recording.complete()
        return made

    def _watching(self, recording: Recording, results: Sequence[str]) -> AbstractContextManager[None]:
        """Around a run that :meth:`run` makes; a notebook shows there how far it is."""
        return nullcontext()

    def files(self) -> Iterator[Path]:
        """List every configuration file."""
        for folder in (self.folders.own, *self.folders.others):
            yield from sorted(folder.rglob("*.yaml"))

    def problems(self) -> tuple[list[Declared], list[str]]:
        """Read every problem of the project, or the one that an override chooses; and what is wrong with the others.

        The configured problem is checked as strictly as for a run. What is wrong with another one must not keep
        anybody from finding a feature, so that one is left out.

        Raises:
            UserError: The configured problem is not sound.
        """
        own = Declared(self.spec.problem, self.spec.features, self.loader.where, self.loader.config["features"])
        declared, notices = [own], []
        if not any(one.startswith("problem=") for one in self.overrides):
            for name in Folders(self.folders.own).options("problem"):
                if name.rpartition("/")[2] != own.problem.name:
                    try:
                        declared.append(self._problem(name))
                    except UserError as error:
                        notices.append(f"problem '{name}' is left out: {str(error).splitlines()[0]}")
        return declared, notices

    def model_inputs(self) -> dict[str, list[str]]:
        """List what the components of each model in the configuration read: patterns of features, by model."""
        from proml_kedro.config.interpolation import resolve

        inputs = {}
        for name in self.folders.options("model"):
            try:
                values, _, _ = resolve(self._compose(f"model={name}").config, ["model"])
            except UserError:  # another problem's model need not fit this one
                continue
            components = (values.get("model") or {}).get("components") or {}
            inputs[name] = [one for component in components.values() for one in _inputs(component, components)]
        return inputs

    def _compose(self, *choices: str) -> Any:
        from proml_kedro.config.composition import compose
        from proml_kedro.config.overrides import parse

        env = [f"env={self.env}"] if self.env else []
        changes, mistakes = parse([*env, *self.overrides, *choices])
        composition = compose(self.folders, changes)
        if mistakes:
            raise UserError(*mistakes)
        return composition

    def _problem(self, name: str) -> Declared:
        from pydantic import ValidationError

        composition = self._compose(f"problem={name}")
        values, mistakes, _ = composition.resolved()
        if mistakes:
            raise UserError(*mistakes)
        try:
            problem = ProblemSpec.model_validate(values.get("problem"))
            features = FeaturesSpec.model_validate(values.get("features"))
        except ValidationError as error:
            first = error.errors()[0]
            raise UserError.at(".".join(map(str, first["loc"])), first["msg"]) from error
        return Declared(problem, features, composition.origins.where, values["features"])


def _inputs(component: Any, components: dict[str, Any]) -> Iterator[str]:
    """The patterns of a component that name features rather than outputs of other components."""
    inputs = component.get("inputs") if isinstance(component, dict) else None
    for pattern in inputs if isinstance(inputs, list) else ():
        if str(pattern).partition(".")[0] not in components:
            yield str(pattern)


def _kedro_project() -> Path:
    from kedro.utils import find_kedro_project

    return find_kedro_project(Path.cwd()) or Path.cwd()
