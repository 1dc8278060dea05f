"""An online store for Feast in SQLite: one row for each entity, and no older row ever replaces a newer one.

Feast's own SQLite store keeps a row for each *feature*, and takes whatever was written last, also when it is older.

In ``feature_store.yaml``::

    online_store:
      type: proml_kedro.features.row_store.RowOnlineStore
      path: data/online.db
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.online_store import OnlineStore
from feast.protos.feast.types.Value_pb2 import RepeatedValue
from feast.repo_config import FeastConfigBaseModel

from proml_kedro.features.ledger import BUSY_SECONDS, EPOCH, Ledger, to_microseconds
from proml_kedro.features.sql import quote

if TYPE_CHECKING:
    from feast.feature_view import FeatureView
    from feast.repo_config import RepoConfig

    Row = tuple[Any, dict[str, Any], datetime, datetime | None]
    Answer = tuple[datetime | None, dict[str, Any] | None]

_KEYS_PER_QUERY = 30_000
"""SQLite takes 32,766 parameters."""


class RowOnlineStoreConfig(FeastConfigBaseModel):
    """Settings under ``online_store``.

    Attributes:
        path: The database file; a relative one from the repository's folder.
    """

    type: Literal["proml_kedro.features.row_store.RowOnlineStore"] = "proml_kedro.features.row_store.RowOnlineStore"
    path: str = "data/online.db"


class RowOnlineStore(OnlineStore):
    """Values of an entity in one row, as one Protobuf message; the list of their names is stored once."""

    def __init__(self) -> None:
        super().__init__()
        self._local = threading.local()  # a connection for each thread: one must not read within another's write
        self._names: dict[int, tuple[str, ...]] = {}

    def online_write_batch(
        self, config: RepoConfig, table: FeatureView, data: Sequence[Row], progress: Callable[[int], Any] | None
    ) -> None:
        """Write rows, but none that is older than what is there; see Feast's base class.

        Of two rows with the same event timestamp, the one that was created later counts; of two that are equal in
        this too, the one that is written later.
        """
        connection = self._connection(config)
        name, version = _table(config, table), config.entity_key_serialization_version
        _make_tables(connection, [name])  # the file may have been removed since the view was registered
        with connection:
            ids = {names: _names_id(connection, names) for names in {tuple(values) for _, values, _, _ in data}}
            rows = [
                (
                    serialize_entity_key(key, entity_key_serialization_version=version),
                    to_microseconds(moment),
                    to_microseconds(created) if created else 0,
                    ids[tuple(values)],
                    RepeatedValue(val=values.values()).SerializeToString(),
                )
                for key, values, moment, created in data
            ]
            connection.executemany(
                f"INSERT INTO {name} VALUES (?, ?, ?, ?, ?) ON CONFLICT (entity) DO UPDATE SET moment = "
                "excluded.moment, created = excluded.created, names = excluded.names, content = excluded.content "
                "WHERE (excluded.moment, excluded.created) >= (moment, created)",
                rows,
            )
        if progress:
            progress(len(rows))

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: Sequence[Any],
        requested_features: list[str] | None = None,
    ) -> list[Answer]:
        """The moment and the values of each entity, or a pair of None; see Feast's base class."""
        connection = self._connection(config)
        version = config.entity_key_serialization_version
        keys = [serialize_entity_key(key, entity_key_serialization_version=version) for key in entity_keys]
        found: dict[bytes, Answer] = {}
        different = list(dict.fromkeys(keys))
        for start in range(0, len(different), _KEYS_PER_QUERY):
            part = different[start : start + _KEYS_PER_QUERY]
            query = f"SELECT * FROM {_table(config, table)} WHERE entity IN ({', '.join('?' * len(part))})"
            for key, moment, _, names, content in connection.execute(query, part):
                values = RepeatedValue.FromString(content).val
                by_name = dict(zip(self._names_of(connection, names), values, strict=True))
                found[key] = EPOCH + timedelta(microseconds=moment), by_name
        return [found.get(key, (None, None)) for key in keys]

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Any],
        entities_to_keep: Sequence[Any],
        partial: bool,
    ) -> None:
        """Make a table for each view, and remove those of views that are gone."""
        path = _path(config)
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = self._connection(config)
        _make_tables(connection, [_table(config, view) for view in tables_to_keep])
        with connection:
            for view in tables_to_delete:
                connection.execute(f"DROP TABLE IF EXISTS {_table(config, view)}")
        ledger = Ledger(path, config.project)
        for view in tables_to_delete:
            ledger.remove(view.name)

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Any]) -> None:
        """Remove the views' tables."""
        self.update(config, tables, [], entities, [], partial=False)

    def _connection(self, config: RepoConfig) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(_path(config), timeout=BUSY_SECONDS, check_same_thread=False)
            connection.execute("PRAGMA synchronous = normal")
            self._local.connection = connection
        return connection

    def _names_of(self, connection: sqlite3.Connection, number: int) -> tuple[str, ...]:
        if number not in self._names:
            text = connection.execute("SELECT names FROM names WHERE id = ?", [number]).fetchone()[0]
            self._names[number] = tuple(json.loads(text))
        return self._names[number]


def _make_tables(connection: sqlite3.Connection, names: Sequence[str]) -> None:
    """Make the tables that are not there."""
    connection.execute("PRAGMA journal_mode = wal")  # a service reads while a run writes
    with connection:
        connection.execute("CREATE TABLE IF NOT EXISTS names (id INTEGER PRIMARY KEY, names TEXT UNIQUE NOT NULL)")
        for name in names:
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS {name} (entity BLOB PRIMARY KEY, moment INTEGER NOT NULL, "
                "created INTEGER NOT NULL, names INTEGER NOT NULL, content BLOB NOT NULL) WITHOUT ROWID"
            )


def _names_id(connection: sqlite3.Connection, names: tuple[str, ...]) -> int:
    text = json.dumps(names)
    connection.execute("INSERT OR IGNORE INTO names (names) VALUES (?)", [text])
    return int(connection.execute("SELECT id FROM names WHERE names = ?", [text]).fetchone()[0])


def _path(config: RepoConfig) -> Path:
    path = Path(config.online_store.path)
    return path if path.is_absolute() or not config.repo_path else Path(config.repo_path) / path


def _table(config: RepoConfig, view: FeatureView) -> str:
    return quote(f"{config.project}.{view.name}")
