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
from proml_kedro.features.online.open import SQLITE, kind_of, open_store
from proml_kedro.models.component import Columns
from proml_kedro.serving.request_log import RequestLog
from proml_kedro.serving.schema import Row
from proml_kedro.spec.training_set import TIMESTAMP

logger = logging.getLogger(__name__)

STORE_VARIABLE = "PROML_FEATURE_STORE"


class StoreUnavailableError(Exception):
    """No online store can be read; ``str()`` of the error says what to do."""


class OnlineLookup:
    """Lookup of the model's features by keys, as of given moments.

    The store is the one that the run was configured with. The environment variable ``PROML_FEATURE_STORE`` may name
    another one by its URL, or a data folder. A store in a data folder is otherwise looked for in the folders above
    the bundle. It is opened with the first row that needs it.

    Args:
        manifest: The bundle's manifest.
        beside: The bundle's folder.
        log: File to log what is looked up; None for no log.
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
        """Whether the model reads features that requests do not contain."""
        return bool(self._columns)

    def read(self, rows: Sequence[Row]) -> Columns:
        """Look features up.

        Args:
            rows: n rows with the entities' keys, and optionally ``timestamp``, aware; now when it is missing.

        Returns:
            An array of shape (n,) for each feature that requests do not contain.

        Raises:
            StoreUnavailableError: There is no store, or it cannot be read.
        """
        if not self._columns:
            return {}
        now = datetime.now(UTC)
        keys = [{name: row[name] for name in self._manifest.rows.entities} for row in rows]
        moments = [row.get(TIMESTAMP) or now for row in rows]
        reader = self.open()
        try:
            columns: Columns = reader.read(keys, moments)
        except (LookupError, UserError, OSError, sqlite3.Error) as error:
            raise self._unavailable("read", error) from error
        if self._log:
            self._log.write(keys, moments, columns)
        return columns

    def open(self) -> Any:
        """Return the reader of the online store, opened once.

        Raises:
            StoreUnavailableError: There is no store.
        """
        if self._reader is None:
            try:
                self._reader = self._open(self._place())
            except StoreUnavailableError:
                raise
            except Exception as error:
                raise self._unavailable("opened", error) from error
        return self._reader

    def _unavailable(self, what: str, error: Exception) -> StoreUnavailableError:
        # What it says concerns this machine: it is for the log, not for whoever sent the request.
        logger.warning("the online feature store cannot be %s: %s: %s", what, type(error).__name__, error)
        return StoreUnavailableError(f"the online feature store cannot be {what}; the server's log says why")

    def _open(self, place: str) -> Any:
        from proml_kedro.features.online.lookup import OnlineFeatures

        online = open_store(place, self._project)
        online.exists()
        return OnlineFeatures(online, self._manifest.features, self._columns)

    def _place(self) -> str:
        """Return where the store is: a place in a data folder, or one that is configured or named in full."""
        named = os.environ.get(STORE_VARIABLE)
        configured = str(self._manifest.config.get("online_store", SQLITE))
        if named and "://" in named:
            configured, named = named, None
        kind = kind_of(configured)
        if named and not kind.in_data_dir:  # a folder is named: with the store that every data folder has
            configured, kind = SQLITE, kind_of(SQLITE)
        if not kind.in_data_dir:
            return kind.place(configured, self._project, self._beside)
        for folder in [Path(named)] if named else self._beside.resolve().parents:
            place = kind.place(configured, self._project, folder)
            if kind.is_at(place, self._project):
                return place
        where = f"{STORE_VARIABLE} names no folder with one" if named else f"set {STORE_VARIABLE} to a data folder"
        raise StoreUnavailableError(
            f"no online feature store: {where}; it is filled by `kedro run --pipelines=materialize`. "
            "POST /predict with all features needs none."
        )
