"""Features looked up by key in the online store, for requests that do not bring them along."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from proml_kedro.bundle import Manifest
from proml_kedro.models.component import Columns
from proml_kedro.serving.schema import Row
from proml_kedro.spec import HardwareSpec, ProblemSpec

logger = logging.getLogger(__name__)

STORE_VARIABLE = "PROML_FEATURE_STORE"


class StoreUnavailableError(Exception):
    """There is no online store to look features up in; ``str()`` of it says what to do."""


class OnlineLookup:
    """The model's features of given keys, as of given moments.

    The store is the folder ``feature_store`` in a data folder: the one that the environment variable
    ``PROML_FEATURE_STORE`` names, otherwise the nearest folder above the bundle that has the problem's store. It is
    opened with the first row that needs it, since that costs seconds.

    Args:
        manifest: Of the bundle.
        beside: The bundle's folder.
    """

    def __init__(self, manifest: Manifest, beside: Path) -> None:
        self._manifest = manifest
        self._beside = beside
        self._columns = {one.name: one.dtype for one in manifest.rows.inputs if not one.request}
        self._reader: Any = None

    @property
    def is_needed(self) -> bool:
        """Whether the model reads anything that a request does not bring along."""
        return bool(self._columns)

    def read(self, rows: Sequence[Row]) -> Columns:
        """Look features up.

        Args:
            rows: n rows with the entities' keys, and perhaps ``timestamp``, aware; now when it is not there.

        Returns:
            An array of shape (n,) for each feature that requests do not bring along.

        Raises:
            StoreUnavailableError: There is no store.
        """
        if not self._columns:
            return {}
        now = datetime.now(UTC)
        keys = [{name: row[name] for name in self._manifest.rows.entities} for row in rows]
        moments = [row.get("timestamp") or now for row in rows]
        columns: Columns = self.open().read(keys, moments)
        return columns

    def open(self) -> Any:
        """The reader of the online store; opened once.

        Raises:
            StoreUnavailableError: There is no store.
        """
        if self._reader is None:
            data_dir = self._data_dir()
            try:
                self._reader = self._open(data_dir)
            except Exception as error:
                # What it says concerns this machine: it is for the log, not for whoever sent the request.
                logger.warning("the online feature store cannot be opened: %s: %s", type(error).__name__, error)
                raise StoreUnavailableError(
                    "the online feature store cannot be opened; the server's log says why"
                ) from error
        return self._reader

    def _open(self, data_dir: Path) -> Any:
        from proml_kedro.features.online import OnlineFeatures
        from proml_kedro.features.repository import open_repository

        features = self._manifest.features
        problem = ProblemSpec.model_validate(self._manifest.config["problem"])
        store = open_repository(problem, features, data_dir, HardwareSpec(threads=1))
        return OnlineFeatures(store, features, self._columns)

    def _data_dir(self) -> Path:
        named = os.environ.get(STORE_VARIABLE)
        for folder in [Path(named)] if named else self._beside.resolve().parents:
            if _store_file(folder, self._manifest.config["problem"]).is_file():
                return folder
        where = f"{STORE_VARIABLE} names no folder with one" if named else f"set {STORE_VARIABLE} to a data folder"
        raise StoreUnavailableError(
            f"no online feature store: {where}; it is filled by `kedro run --pipelines=package`. "
            "POST /predict with all features needs none."
        )


def _store_file(data_dir: Path, problem: Mapping[str, Any]) -> Path:
    return data_dir / "feature_store" / str(problem["name"]) / "online.db"
