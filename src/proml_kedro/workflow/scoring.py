"""What scoring reads of the results of runs: tables and feature tables that fit a bundle."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from proml_kedro.artifacts import Artifact, ArtifactStore
from proml_kedro.bundle import Manifest
from proml_kedro.errors import Mistake, UserError
from proml_kedro.results.names import table_file
from proml_kedro.spec import RunSpec
from proml_kedro.workflow.recipes import feature_tables, tables


@dataclass(frozen=True)
class StoredResults:
    """Results that were made by the configuration of a bundle, the newest of them.

    Attributes:
        bundle: Folder of the bundle.
        data_dir: The data folder; the one around the bundle when it is None.
    """

    bundle: Path
    data_dir: Path | None = None

    def table(self, name: str) -> Path:
        """Return the Parquet file of a table of the problem, as a run has read it.

        Raises:
            UserError: There is none.
        """
        found = self._store.find(tables(self._spec))
        if found is None:
            raise self._missing(f"table '{name}', read as the bundle reads it, is not there")
        return table_file(found.path, name)

    def feature_tables(self) -> Path:
        """Return the folder of the newest feature tables of the features that the bundle reads.

        Raises:
            UserError: There is none.
        """
        found: Artifact | None = self._store.find(feature_tables(self._spec))
        if found is None:
            raise self._missing("feature tables of the features that the bundle looks up are not there")
        return found.path

    @cached_property
    def _spec(self) -> RunSpec:
        manifest = Manifest.read(self.bundle.resolve())
        manifest.import_extensions()
        return RunSpec.model_validate(manifest.config)

    @cached_property
    def _store(self) -> ArtifactStore:
        return ArtifactStore(self._place())

    def _place(self) -> Path:
        if self.data_dir is not None:
            return self.data_dir
        around = next((one for one in self.bundle.resolve().parents if (one / "store").is_dir()), None)
        if around is None:
            message = f"there is no data folder around '{self.bundle}'; name it: --data-dir data"
            raise UserError(Mistake("", message, "option --data-dir"))
        return around

    def _missing(self, what: str) -> UserError:
        command = f"kedro run --pipelines=features --config {self.bundle / 'run.yml'}"
        return UserError(Mistake("", f"{what} in {self._place()}; `{command}` makes them"))
