"""What a step needs besides the results that it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Self

from proml_kedro.artifacts import ArtifactStore
from proml_kedro.atomic import remove_abandoned
from proml_kedro.engine.spark.place import check_engine
from proml_kedro.errors import Mistake, UserError
from proml_kedro.hardware import check_device, limit_environment
from proml_kedro.results import NAMES, Places
from proml_kedro.spec import RunSpec
from proml_kedro.spec.credentials import Credentials, no_credentials
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.feature_ref import FeatureRef
from proml_kedro.spec.inputs import input_types
from proml_kedro.workflow.recipes import columns_read


@dataclass(frozen=True)
class Run:
    """A checked configuration, and where its results are made.

    Attributes:
        spec: The configuration.
        store: Where results are made and found.
        base_path: The folder that holds ``conf``; relative paths in YAML begin there.
        places: Where the newest result of each name lies, as the catalog says.
        credentials: Gives credentials by their names.
    """

    spec: RunSpec
    store: ArtifactStore
    base_path: Path
    places: Places
    credentials: Credentials = field(default=no_credentials, compare=False)

    @classmethod
    def of(cls, spec: RunSpec, base_path: Path) -> Self:
        """Make the run of a configuration whose data folder lies below ``base_path``, as a project's does.

        Results lie where they do when no catalog moves them.
        """
        places = Places(spec.data_dir, spec.problem.name, spec.model.name, base=base_path)
        return cls(spec, ArtifactStore(base_path / spec.data_dir, spec.reuse), base_path, places)

    @property
    def input_types(self) -> dict[str, Dtype]:
        """Type of each feature and entity that a component may read."""
        return input_types(self.spec.problem, self.spec.features)

    @property
    def columns(self) -> Mapping[str, Dtype]:
        """Features of the training set that model and baseline share, with their types."""
        return columns_read(self.spec, self.spec.model, self.spec.evaluation.baseline)

    @property
    def stored_views(self) -> list[str]:
        """Views that are put into the online store: those that are read, or all when only the request is read."""
        views = self.spec.features.views
        read = {FeatureRef.parse(name).view for name in self.columns}
        if all(views[name].is_request for name in read):
            read = set(views)
        return [name for name, view in views.items() if view.is_stored and name in read]

    @property
    def service_name(self) -> str:
        """Name of the model's feature service in Feast's registry."""
        return f"{self.spec.problem.name}_{self.spec.model.name}"

    def prepare(self, writes: bool = True) -> None:
        """Check that the run can begin, and hold libraries to the hardware's threads, here and in child processes.

        Args:
            writes: Whether results are made; a pipeline of a user's own may make none.

        Raises:
            UserError: A device or the engine is missing, the engine does not compute what is declared, or nothing can
                be written to the data folder.
        """
        check_device(self.spec.hardware)
        check_engine(self.spec.hardware)
        if self.spec.hardware.engine is not None:
            self._check_carried()
        for key, model in (("model", self.spec.model), ("evaluation.baseline", self.spec.evaluation.baseline)):
            for name, one in model.components.items() if model else ():
                if one.hardware is not None:
                    check_device(one.hardware_of(self.spec.hardware), f"{key}.components.{name}.hardware")
        limit_environment(self.spec.hardware)
        if writes:
            self._prepare_store()

    def _check_carried(self) -> None:
        """Refuse aggregates that an engine does not compute, before anything is read."""
        from proml_kedro.features.views.portable.carried import refusals

        mistakes = [Mistake(key, why) for key, why in refusals(self.spec.features)]
        if mistakes:
            raise UserError(*mistakes)

    def _prepare_store(self) -> None:
        """Check that results can be written, and remove what killed runs have left."""
        data_dir = self.store.data_dir
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=data_dir):
                pass
        except OSError as error:
            raise UserError.at("data_dir", f"cannot write to {data_dir}: {error.strerror}") from error
        self.store.remove_abandoned()
        for folder in {self.places.at(name).parent for name in NAMES}:
            remove_abandoned(folder, below=False)  # links
