"""Features of rows in memory as of the moment of each row, by the join and with the values of training sets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proml_kedro.engine.duckdb import quote
from proml_kedro.engine.session import connect
from proml_kedro.features.training.point_in_time import AsofView, join_sql
from proml_kedro.features.training.values import values_sql
from proml_kedro.results.names import table_file
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.feature_ref import FeatureRef
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.training_set import CREATED_TIMESTAMP, EVENT_TIMESTAMP

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS, _PLACE = "__rows", "__place"


class FeaturesAsOf:
    """Reader of stored features by the keys and the moment of rows.

    Args:
        features: The problem's features.
        names: Those to read, ``view.feature`` → type.
        tables: Folder of the feature tables.
        hardware: The machine.
    """

    def __init__(
        self, features: FeaturesSpec, names: Mapping[str, Dtype], tables: Path, hardware: HardwareSpec
    ) -> None:
        self._features, self._names, self._hardware = features, names, hardware
        refs = [FeatureRef.parse(name) for name in names]
        self._views = {
            name: _asof_view(name, features, tables, [one for one in refs if one.view == name])
            for name in dict.fromkeys(one.view for one in refs)
        }

    @property
    def views(self) -> list[str]:
        """The views that are read."""
        return list(self._views)

    @property
    def keys(self) -> list[str]:
        """The keys that rows must have."""
        return list(dict.fromkeys(key for view in self._views.values() for key in view.keys))

    def read(self, rows: pa.Table) -> pa.Table:
        """Read the features of rows, in their order.

        Args:
            rows: n rows with :attr:`keys` and ``event_timestamp``, the moment as of which values are read.

        Returns:
            n rows with a column for each feature, and ``view.event_timestamp`` for each view: from when its values
            are, null where nothing is known.

        Raises:
            EngineError: A key is of another type than in the feature tables.
        """
        import pyarrow as pa

        asked = rows.append_column(_PLACE, pa.array(range(len(rows)), pa.int64()))
        moments = {_since(name): quote(_since(name)) for name in self._views}
        columns = values_sql(self._names, self._features, EVENT_TIMESTAMP) | moments
        selected = ", ".join(f"{sql} AS {quote(name)}" for name, sql in columns.items())
        join = join_sql(_ROWS, asked.column_names, EVENT_TIMESTAMP, list(self._views.values()))
        with connect(self._hardware) as session:
            session.register(_ROWS, asked)
            found = session.arrow(f"SELECT {selected}, {_PLACE} FROM ({join}\n) ORDER BY {_PLACE}")
        if found.num_rows != len(rows) or (len(rows) and found[_PLACE][-1].as_py() != len(rows) - 1):
            raise RuntimeError(f"the join lost or doubled rows: {len(rows)} asked for, {found.num_rows} joined")
        return found.drop_columns([_PLACE])


def _since(view: str) -> str:
    return f"{view}.{EVENT_TIMESTAMP}"


def known_since(found: Any, view: str) -> Any:
    """Return from when the values of a view are, of what :meth:`FeaturesAsOf.read` has given; null where none are."""
    return found[_since(view)]


def _asof_view(name: str, features: FeaturesSpec, tables: Path, refs: list[FeatureRef]) -> AsofView:
    view = features.views[name]
    if isinstance(view.source, str):
        raise ValueError(f"'{name}' has no feature table")
    return AsofView(
        path=str(table_file(tables.resolve(), name)),
        keys={key: key for key in view.key},
        features={**{one.column: one.feature for one in refs}, _since(name): EVENT_TIMESTAMP},
        timestamp=EVENT_TIMESTAMP,
        created=CREATED_TIMESTAMP,
        ttl=view.source.ttl or None,
    )
