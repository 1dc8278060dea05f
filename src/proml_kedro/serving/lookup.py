"""Features looked up by key in the online store, for requests that do not bring them along."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from proml_kedro.bundle import Manifest
from proml_kedro.errors import UserError
from proml_kedro.features.online.open import SQLITE, online_file
from proml_kedro.models.component import Columns
from proml_kedro.serving.request_log import RequestLog
from proml_kedro.serving.schema import Row
from proml_kedro.spec.training_set import TIMESTAMP

logger = logging.getLogger(__name__)

STORE_VARIABLE = "PROML_FEATURE_STORE"


class StoreUnavailableError(Exception):
    """There is no online store to look features up in; ``str()`` of it says what to do."""


class OnlineLookup:
    """The model's features of given keys, as of given moments.

    The store is the folder ``feature_store`` in a data folder: the one that the environment variable
    ``PROML_FEATURE_STORE`` names, otherwise the nearest folder above the bundle that has the problem's store; or the
    Redis server that the run was configured with, or that the variable names. It is opened with the first row that
    needs it.

    Args:
        manifest: Of the bundle.
        beside: The bundle's folder.
        log: A file to log what is looked up in; none when None.
    """

    def __init__(self, manifest: Manifest, beside: Path, log: str | None = None) -> None:
        self._manifest = manifest
        self._project = str(manifest.config["problem"]["name"])
        self._beside = beside
        self._columns = {one.name: one.dtype for one in manifest.rows.inputs if not one.request}
        self._reader: Any = None
        self._log = RequestLog(Path(log), manifest.tag) if log else None

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
        moments = [row.get(TIMESTAMP) or now for row in rows]
        reader = self.open()
        try:
            columns: Columns = reader.read(keys, moments)
        except (LookupError, UserError, sqlite3.Error) as error:
            raise self._unavailable("read", error) from error
        if self._log:
            self._log.write(keys, moments, columns)
        return columns

    def open(self) -> Any:
        """The reader of the online store; opened once.

        Raises:
            StoreUnavailableError: There is no store.
        """
        if self._reader is None:
            place = self._place()
            try:
                self._reader = self._open(place)
            except Exception as error:
                raise self._unavailable("opened", error) from error
        return self._reader

    def _unavailable(self, what: str, error: Exception) -> StoreUnavailableError:
        # What it says concerns this machine: it is for the log, not for whoever sent the request.
        logger.warning("the online feature store cannot be %s: %s: %s", what, type(error).__name__, error)
        return StoreUnavailableError(f"the online feature store cannot be {what}; the server's log says why")

    def _open(self, place: str) -> Any:
        from proml_kedro.features.online.lookup import OnlineFeatures
        from proml_kedro.features.online.open import rows_at

        rows = rows_at(place, self._project)
        rows.is_there()
        return OnlineFeatures(rows, self._manifest.features, self._columns)

    def _place(self) -> str:
        """The store's file, or the URL of its server."""
        named = os.environ.get(STORE_VARIABLE)
        configured = str(self._manifest.config.get("online_store", SQLITE))
        if (named or configured).startswith(("redis://", "rediss://")):
            return named or configured
        for folder in [Path(named)] if named else self._beside.resolve().parents:
            if (file := online_file(self._project, folder)).is_file():
                return str(file)
        where = f"{STORE_VARIABLE} names no folder with one" if named else f"set {STORE_VARIABLE} to a data folder"
        raise StoreUnavailableError(
            f"no online feature store: {where}; it is filled by `kedro run --pipelines=package`. "
            "POST /predict with all features needs none."
        )
