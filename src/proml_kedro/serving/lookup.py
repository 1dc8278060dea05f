"""Features looked up by key in the online store, for requests that do not bring them along."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from proml_kedro.bundle import Manifest
from proml_kedro.errors import UserError
from proml_kedro.features.online.lookup import Found, OnlineFeatures
from proml_kedro.features.online.open import SQLITE, kind_of, open_store
from proml_kedro.models.component import Columns
from proml_kedro.serving.request_log import RequestLog
from proml_kedro.serving.schema import MAX_PROBLEMS, Row, count_problems
from proml_kedro.spec.training_set import TIMESTAMP

logger = logging.getLogger(__name__)

STORE_VARIABLE = "PROML_FEATURE_STORE"


class StoreUnavailableError(Exception):
    """No online store can be read; ``str()`` of the error says what to do."""


class MomentUnknownError(Exception):
    """The store has values from after moments that a request names, and no longer those that held then.

    Attributes:
        rows: Numbers of the request's rows.
    """

    def __init__(self, rows: Sequence[int]) -> None:
        super().__init__("the online store keeps the newest values only, which are from after this moment")
        self.rows = list(rows)

    def content(self) -> dict[str, Any]:
        """Return the body of the answer."""
        problems = [{"row": row, "field": TIMESTAMP, "problem": str(self)} for row in self.rows[:MAX_PROBLEMS]]
        return {"error": f"{count_problems(len(self.rows))}; nothing was scored", "problems": problems}


class OnlineLookup:
    """Lookup of the model's features by keys, as of given moments.

    The store is the one that the run was configured with. The environment variable ``PROML_FEATURE_STORE`` may name
    another one by its URL, or a data folder. A store in a data folder is otherwise looked for in the folders above
    the bundle. It is opened with the first row that needs it.

    Args:
        manifest: The bundle's manifest.
        beside: The bundle's folder.
        log: File to log what is looked up; None for no log.

    Attributes:
        on_loss: Told how many rows could not be logged.
        is_elsewhere: Whether another reader looks features up, as :meth:`put_elsewhere` says.
    """

    def __init__(self, manifest: Manifest, beside: Path, log: str | None = None) -> None:
        self._manifest = manifest
        self._project = str(manifest.config["problem"]["name"])
        self._beside = beside
        self._columns = {one.name: one.dtype for one in manifest.rows.inputs if not one.request}
        self._reader: Any = None
        self.is_elsewhere = False
        self._log = RequestLog(Path(log), manifest.tag) if log else None
        self.on_loss: Callable[[int], None] = lambda rows: None

    @property
    def is_needed(self) -> bool:
        """Whether the model reads features that requests do not contain."""
        return bool(self._columns)

    def put_elsewhere(self, reader: Any) -> None:
        """Let another reader look features up, and open no store here."""
        self._reader, self.is_elsewhere = reader, True

    def check(self) -> None:
        """Look whether the store can be read, with a key that nobody has.

        Raises:
            StoreUnavailableError: There is no store, or it cannot be read.
        """
        nobody = dict.fromkeys(self._manifest.rows.entities)
        self._find(self.open(), [nobody], [datetime.now(UTC)])

    def read(self, rows: Sequence[Row]) -> Columns:
        """Look features up; see :meth:`find`.

        Raises:
            StoreUnavailableError: There is no store, or it cannot be read.
            MomentUnknownError: The store does not know what held at a moment that a row names.
        """
        return self.find(rows).columns

    def find(self, rows: Sequence[Row]) -> Found:
        """Look features up, and tell what could not be answered.

        Args:
            rows: n rows with the entities' keys, and optionally ``timestamp``, aware; now when it is missing.

        Returns:
            An array of shape (n,) for each feature that requests do not contain, and counts for each row.

        Raises:
            StoreUnavailableError: There is no store, or it cannot be read.
            MomentUnknownError: The store does not know what held at a moment that a row names.
        """
        if not self._columns:
            nothing = np.zeros(len(rows), np.int64)
            return Found({}, nothing, nothing, nothing)
        now = datetime.now(UTC)
        keys = [{name: row[name] for name in self._manifest.rows.entities} for row in rows]
        moments = [row.get(TIMESTAMP) or now for row in rows]
        found = self._find(self.open(), keys, moments)
        if past := [number for number, row in enumerate(rows) if row.get(TIMESTAMP) and found.later[number]]:
            raise MomentUnknownError(past)
        if self._log and not self._log.write(keys, moments, found.columns):
            self.on_loss(len(rows))
        return found

    def look_up(self, keys: Sequence[Mapping[str, Any]], moments: Sequence[datetime]) -> Found:
        """Look features up for somebody else, who has to look at ``later``; nothing is logged.

        Raises:
            StoreUnavailableError: There is no store, or it cannot be read.
        """
        return self._find(self.open(), keys, moments)

    def _find(self, reader: Any, keys: Sequence[Mapping[str, Any]], moments: Sequence[datetime]) -> Found:
        try:
            found: Found = reader.find(keys, moments)
        except (LookupError, UserError, OSError, ValueError, sqlite3.Error) as error:
            raise self._unavailable("read", error) from error
        return found

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
