"""An online store for Feast with one row for each entity, in which no older row ever replaces a newer one.

Feast's own SQLite store keeps a row for each *feature*, and takes whatever was written last, also when it is older.

In ``feature_store.yaml``::

    online_store:
      type: proml_kedro.features.feast.online_store.RowOnlineStore
      path: data/online.db          # or redis://127.0.0.1:6379/0
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.online_store import OnlineStore as FeastOnlineStore
from feast.protos.feast.types import Value_pb2
from feast.repo_config import FeastConfigBaseModel

from proml_kedro.features.online.open import open_store
from proml_kedro.features.online.store import Layout, NewRow, OnlineStore, to_microseconds, to_moment

if TYPE_CHECKING:
    from feast.feature_view import FeatureView
    from feast.repo_config import RepoConfig

    FeastRow = tuple[Any, dict[str, Any], datetime, datetime | None]
    FeastValues = tuple[datetime | None, dict[str, Any] | None]

_SCALARS = ("int32_val", "int64_val", "float_val", "double_val", "bool_val", "string_val", "unix_timestamp_val")
_LISTS = {
    "int32_list_val": "Int32List",
    "int64_list_val": "Int64List",
    "float_list_val": "FloatList",
    "double_list_val": "DoubleList",
    "bool_list_val": "BoolList",
    "string_list_val": "StringList",
}


class RowOnlineStoreConfig(FeastConfigBaseModel):
    """Settings under ``online_store``.

    Attributes:
        path: The database file, a relative one from the repository's folder; or the URL of another kind of store.
    """

    type: Literal["proml_kedro.features.feast.online_store.RowOnlineStore"] = (
        "proml_kedro.features.feast.online_store.RowOnlineStore"
    )
    path: str = "data/online.db"


class RowOnlineStore(FeastOnlineStore):
    """Feast's interface to :class:`~proml_kedro.features.online.store.OnlineStore`."""

    def __init__(self) -> None:
        super().__init__()
        self._stores: dict[tuple[str, str], OnlineStore] = {}

    def online_write_batch(
        self, config: RepoConfig, table: FeatureView, data: Sequence[FeastRow], progress: Callable[[int], Any] | None
    ) -> None:
        """Write rows, but none over a newer one; see Feast's base class."""
        online, version = self._of(config), config.entity_key_serialization_version
        online.add_view(table.name, key_types(table))  # the store may have been removed since the view was registered
        by_layout: dict[Layout, list[NewRow]] = {}
        kinds = {one.name: f"{one.dtype.to_value_type().name.lower()}_val" for one in table.features}
        for key, values, moment, created in data:
            layout = tuple((name, kinds.get(name, "")) for name in values)
            by_layout.setdefault(layout, []).append(
                (
                    serialize_entity_key(key, entity_key_serialization_version=version),
                    to_microseconds(moment),
                    to_microseconds(created) if created else 0,
                    [_plain(value, kind) for value, (_, kind) in zip(values.values(), layout, strict=True)],
                )
            )
        for layout, part in by_layout.items():
            online.write(table.name, layout, part)
        if progress:
            progress(len(data))

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: Sequence[Any],
        requested_features: list[str] | None = None,
    ) -> list[FeastValues]:
        """Return the moment and the values of each entity, or a pair of None; see Feast's base class."""
        version = config.entity_key_serialization_version
        keys = [serialize_entity_key(key, entity_key_serialization_version=version) for key in entity_keys]
        wanted = None if requested_features is None else set(requested_features)
        found: dict[bytes, FeastValues] = {}
        for key, (moment, layout, values) in self._of(config).read(table.name, keys).items():
            named = {
                name: _value(value, kind)
                for (name, kind), value in zip(layout, values, strict=True)
                if wanted is None or name in wanted
            }
            found[key] = to_moment(moment), named
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
        """Add the views that are declared, and drop those that are not any more."""
        online = self._of(config)
        for view in tables_to_keep:
            online.add_view(view.name, key_types(view))
        for view in tables_to_delete:
            online.drop_view(view.name)

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Any]) -> None:
        """Drop the views."""
        self.update(config, tables, [], entities, [], partial=False)

    def _of(self, config: RepoConfig) -> OnlineStore:
        place = (_place(config), config.project)
        if place not in self._stores:
            self._stores[place] = open_store(*place)
        return self._stores[place]


def _place(config: RepoConfig) -> str:
    path = config.online_store.path
    if "://" in path or Path(path).is_absolute() or not config.repo_path:
        return str(path)
    return str(Path(config.repo_path) / path)


def key_types(view: FeatureView) -> dict[str, str]:
    """Return the entity columns of a view, each ``int`` or ``str``."""
    return {one.name: "int" if one.dtype.to_value_type().name == "INT64" else "str" for one in view.entity_columns}


def _plain(value: Any, kind: str) -> Any:
    """Return a value of Feast as JSON has it, or as its bytes where JSON lacks it or it is not of its declared kind."""
    field = value.WhichOneof("val")
    if field is None:
        return None
    if field == kind and kind in _SCALARS:
        return getattr(value, kind)
    if field == kind and kind in _LISTS:
        return list(getattr(value, kind).val)
    return {"message": base64.b64encode(value.SerializeToString()).decode()}


def _value(plain: Any, kind: str) -> Any:
    """Return the value that :func:`_plain` was given."""
    if plain is None:
        return Value_pb2.Value()
    if isinstance(plain, dict):
        return Value_pb2.Value.FromString(base64.b64decode(plain["message"]))
    if kind in _LISTS:
        return Value_pb2.Value(**{kind: getattr(Value_pb2, _LISTS[kind])(val=plain)})
    return Value_pb2.Value(**{kind: plain})
