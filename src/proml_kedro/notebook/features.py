"""The features of a project: to search, and to read of any keys as of any moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proml_kedro.errors import Mistake, UserError, unknown
from proml_kedro.notebook.frame import Frame
from proml_kedro.notebook.keys import as_keys, as_table
from proml_kedro.results.names import table_file
from proml_kedro.spec import FeaturesSpec
from proml_kedro.spec.feature_ref import FeatureRef
from proml_kedro.spec.training_set import EVENT_TIMESTAMP

if TYPE_CHECKING:
    import pyarrow as pa

    from proml_kedro.marketplace.index import Market
    from proml_kedro.project import Project

_SHOWN = ("name", "problem", "entity", "dtype", "window", "description", "owner", "models", "importance")


class Features:
    """Every feature that the project declares.

    Args:
        project: The project.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._opened: tuple[Market, list[str]] | None = None

    @property
    def _market(self) -> Market:
        """The index, as of the first search: it is kept, so that the next ones take a millisecond."""
        from proml_kedro.marketplace.build import open_market

        if self._opened is None:
            self._opened = open_market(self._project)
        return self._opened[0]

    def refresh(self) -> None:
        """Read the configuration and the results anew when the next search is made."""
        self._opened = None

    def search(self, words: str = "", limit: int = 20, **filters: str) -> Frame:
        """Find features by beginnings of words in their name, description, owner, key or tags.

        Args:
            words: All of them must be found.
            limit: How many to return at most.
            filters: Columns of an entry with the value that they must have: ``entity``, ``dtype``, ``owner``,
                ``feature_type``, ``problem``.

        Raises:
            UserError: No feature has such a value.
        """
        market = self._market
        for name, value in filters.items():
            if name not in _FILTERS:
                raise UserError(Mistake("", unknown("filter", name, _FILTERS)))
            known = {part for one in market.values(name) for part in (one, *one.split(","))} - {""}
            if value not in known:
                raise UserError(Mistake("", unknown(name, value, known)))
        found = market.search(words, filters, limit)
        rows = [{name: getattr(one, name) or None for name in _SHOWN} for one in found.entries]
        more = f", the first {len(rows)}" if found.total > len(rows) else ""
        notices = self._opened[1] if self._opened else []
        return Frame.of(rows, _SHOWN, "; ".join([f"{found.total:,} features{more}", *notices]))

    def frame(
        self,
        entities: Mapping[str, Sequence[Any]] | Any,
        as_of: str | datetime | Sequence[datetime] | None = None,
        features: Sequence[str] = ("*",),
    ) -> Frame:
        """Read features of keys as they were known at a moment, by the join and with the values of training sets.

        Args:
            entities: A row for each key: columns by name, or any frame that offers Arrow's stream. A column
                ``event_timestamp`` holds the moment of each row.
            as_of: The moment of all rows, or one of each; now when left out and no column has it. ISO 8601, UTC where
                no time zone is written.
            features: Patterns of ``view.feature``; those that come with a request are left out.

        Raises:
            UserError: A pattern matches nothing, a key is missing, or the moment cannot be read.
        """
        import pyarrow as pa

        from proml_kedro.features.training.as_of import FeaturesAsOf

        spec = self._project.spec
        stored = {
            name: dtype
            for name, dtype in spec.features.columns().items()
            if spec.features.views[FeatureRef.parse(name).view].is_stored
        }
        chosen = {n: dtype for n, dtype in stored.items() if any(fnmatchcase(n, one) for one in features)}
        lost = [one for one in features if not any(fnmatchcase(name, one) for name in stored)]
        if lost:
            raise UserError(*(Mistake("", unknown("stored feature", one, stored)) for one in lost))
        tables = self._project.run(results=("feature_tables",))["feature_tables"].path
        reader = FeaturesAsOf(spec.features, chosen, tables, spec.hardware)
        asked = as_table(entities)
        missing = [one for one in reader.keys if one not in asked.column_names]
        if missing:
            raise UserError(*(Mistake("", f"the rows have no key '{one}'") for one in missing))
        rows = asked.select([*reader.keys, *([EVENT_TIMESTAMP] if EVENT_TIMESTAMP in asked.column_names else [])])
        types = {key: _type_of(key, reader.views, spec.features, tables) for key in reader.keys}
        rows = as_keys(rows, types)
        if as_of is not None or EVENT_TIMESTAMP not in rows.column_names:
            rows = _at(rows, as_of)
        found = reader.read(rows).select(list(chosen))
        return Frame(pa.table([*rows.columns, *found.columns], [*rows.column_names, *found.column_names]))


def _type_of(key: str, views: Sequence[str], features: FeaturesSpec, tables: Path) -> pa.DataType:
    """The type of a key in the feature tables, which is one in all of them."""
    import pyarrow.parquet as pq

    view = next(one for one in views if key in features.views[one].key)
    return pq.read_schema(table_file(tables, view)).field(key).type


_FILTERS = ("entity", "dtype", "owner", "feature_type", "problem")


def _at(rows: pa.Table, as_of: str | datetime | Sequence[datetime] | None) -> pa.Table:
    """Set the moment of each row."""
    import pyarrow as pa

    if as_of is None or isinstance(as_of, str | datetime):
        moments = [_moment(as_of)] * rows.num_rows
    else:
        moments = [_moment(one) for one in as_of]
        if len(moments) != rows.num_rows:
            raise UserError(Mistake("", f"as_of has {len(moments):,} moments for {rows.num_rows:,} rows"))
    if EVENT_TIMESTAMP in rows.column_names:
        rows = rows.drop_columns([EVENT_TIMESTAMP])
    return rows.append_column(EVENT_TIMESTAMP, pa.array(moments, pa.timestamp("us", "UTC")))


def _moment(value: str | datetime | None) -> datetime:
    if value is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError as error:
        raise UserError(Mistake("", f"'{value}' is no moment of ISO 8601, such as 2013-12-31T20:00Z")) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
