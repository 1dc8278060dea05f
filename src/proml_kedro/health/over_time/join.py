"""Predictions beside their labels: a label counts from the moment that it became known, never before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from proml_kedro.engine.duckdb import microseconds, moment_literal, quote
from proml_kedro.engine.relation import Relation
from proml_kedro.errors import Mistake, UserError
from proml_kedro.health.over_time.labels import AS_OF, KNOWN_AT, REQUEST, ROW, Labels
from proml_kedro.health.over_time.log import Log, column_sql

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Judged:
    """Scored rows, n of them, with their labels as far as these count.

    Attributes:
        period: Position of the period, shape (n,).
        score: Shape (n,), or (n, classes).
        label: NaN for none, shape (n,).
        mature: Whether the label counts as settled, shape (n,).
        cluster: The cluster of each row, any number, shape (n,).
        group: The request of each row, or the key within which an order is judged, any number, shape (n,).
        values: Columns of slices by name, ``pyarrow.Array`` of n values.
        notices: What did not count, and why.
    """

    period: Array
    score: Array
    label: Array
    mature: Array
    cluster: Array
    group: Array
    values: Mapping[str, Any]
    notices: tuple[str, ...]


@dataclass(frozen=True)
class Join:
    """How predictions find their labels.

    Attributes:
        at: The moment of the report: what became known later does not count.
        matures_after: After which a label counts as settled; None for as soon as it is known.
        cluster_by: What makes rows a cluster.
        group_by: The key within which an order is judged; None for the request.
        slices: Columns by which rows are told apart.
    """

    at: datetime
    matures_after: timedelta | None
    cluster_by: str
    group_by: str | None
    slices: tuple[str, ...]

    def run(self, log: Log, labels: Labels | None, key: str) -> Judged:
        """Join.

        Raises:
            UserError: Labels name requests that have several rows, and not which of them.
        """
        scored = log.scored
        if labels is None:
            return self._read(scored.select("*, CAST(NULL AS DOUBLE) AS value"), ())
        if labels.by_request and ROW not in labels.ids:
            self._refuse_several(scored, labels, key)
        joined = self._joined(scored, labels)
        return self._read(joined, tuple(self._notices(scored, labels)))

    def _joined(self, scored: Relation, labels: Labels) -> Relation:
        """Give each row the newest label that counts for it; one whose name several requests bear has none."""
        on = " AND ".join(f"logged.{_logged(name)} = told.{quote(name)}" for name in labels.ids)
        counts = f"told.{KNOWN_AT} <= {self._until('logged.received_at')}"
        mine = "row_id, request_id, row, received_at, as_of"
        numbered = f"(SELECT *, row_number() OVER (ORDER BY received_at, request_id, row) AS row_id FROM {scored})"
        plain = "*"
        if labels.by_request:
            is_one = "count(*) OVER (PARTITION BY request_id, row) = 1"
            plain = f"* REPLACE (CASE WHEN {is_one} THEN request_id END AS request_id)"
        keys = [_logged(name) for name in labels.ids if name not in (REQUEST, ROW, AS_OF)]
        found = (
            f"SELECT row_id, arg_max(told.value, told.{KNOWN_AT}) AS value "
            f"FROM (SELECT {', '.join([mine, *keys])} FROM (SELECT {plain} FROM numbered)) AS logged "
            f"JOIN {labels.rows} AS told ON {on} AND {counts} GROUP BY row_id"
        )
        sql = (
            f"(WITH numbered AS MATERIALIZED {numbered}, found AS ({found}) "
            "SELECT numbered.*, found.value FROM numbered LEFT JOIN found USING (row_id))"
        )
        return Relation(sql, scored.engine)

    def _until(self, received: str) -> str:
        """Until when a label has to be known to count, in SQL."""
        at = moment_literal(self.at)
        if self.matures_after is None:
            return at
        return f"least({at}, {received} + {_interval(self.matures_after)})"

    def _refuse_several(self, scored: Relation, labels: Labels, key: str) -> None:
        several = f"SELECT request_id FROM {scored} GROUP BY request_id HAVING count(DISTINCT row) > 1"
        (count,) = scored.engine.row(f"SELECT count(*) FROM ({several}) SEMI JOIN {labels.rows} USING (request_id)")
        if count:
            message = f"labels name requests alone, and {count:,} of these have several rows; add their column '{ROW}'"
            raise UserError(Mistake("", f"{message}, numbered from 0 as in the log", key))

    def _notices(self, scored: Relation, labels: Labels) -> Iterator[str]:
        listed = ", ".join(map(quote, labels.ids))
        logged = ", ".join(f"{_logged(name)} AS {quote(name)}" for name in labels.ids)
        engine, at = scored.engine, moment_literal(self.at)
        (strange,) = engine.row(
            f"SELECT count(*) FROM (SELECT DISTINCT {listed} FROM {labels.rows} WHERE {KNOWN_AT} <= {at}) "
            f"ANTI JOIN (SELECT {logged} FROM {scored}) USING ({listed})"
        )
        if strange:
            yield f"{strange:,} labels are of no scored prediction of the model in the log"
        if labels.empty:
            yield f"{labels.empty:,} rows of the labels have no label, and say nothing"
        (future,) = engine.row(f"SELECT count(*) FROM {labels.rows} WHERE {KNOWN_AT} > {at}")
        if future:
            yield f"{future:,} labels become known after {self.at.isoformat()} and do not count"
        if labels.by_request:
            (twice,) = engine.row(
                f"SELECT count(*) FROM (SELECT 1 FROM {scored} GROUP BY request_id, row HAVING count(*) > 1)"
            )
            if twice:
                yield f"{twice:,} rows have a request_id that several requests bear, and no label; join labels by keys"
        on = " AND ".join(f"logged.{_logged(name)} = told.{quote(name)}" for name in labels.ids)
        late = f"told.{KNOWN_AT} > logged.received_at + {_interval(self.matures_after or timedelta())}"
        before = f"told.{KNOWN_AT} < logged.received_at"
        too_early, too_late = engine.row(
            f"SELECT count(*) FILTER ({before}), count(*) FILTER ({late} AND told.{KNOWN_AT} <= {at}) "
            f"FROM {scored} AS logged JOIN {labels.rows} AS told ON {on}"
        )
        if too_early:
            yield f"{too_early:,} labels were known before their prediction was asked for: are moments in UTC?"
        if too_late and self.matures_after is not None:
            yield f"{too_late:,} labels became known later than matures_after and do not count"

    def _read(self, joined: Relation, notices: tuple[str, ...]) -> Judged:
        mature = "true"
        if self.matures_after is not None:
            mature = f"received_at + {_interval(self.matures_after)} <= {moment_literal(self.at)}"
        group = column_sql(joined, self.group_by) if self.group_by else None
        slices = {f"slice {number}": column_sql(joined, name) for number, name in enumerate(self.slices)}
        selected = [
            "period",
            "score",
            f"CASE WHEN {mature} THEN value END AS value",
            f"{mature} AS mature",
            f"{self._cluster(joined)} AS cluster",
            f"hash({group or 'request_id'}) AS alternatives",
            *(f"{sql} AS {quote(name)}" for name, sql in slices.items()),
        ]
        table: Any = joined.engine.arrow(
            f"SELECT {', '.join(selected)} FROM {joined} ORDER BY received_at, request_id, row"
        )
        score = table["score"].combine_chunks()
        return Judged(
            table["period"].to_numpy(),
            _scores(score),
            table["value"].to_numpy().astype(np.float64),
            table["mature"].to_numpy(zero_copy_only=False) if table.num_rows else np.zeros(0, bool),
            table["cluster"].to_numpy(),
            table["alternatives"].to_numpy(),
            {name: table[f"slice {number}"].combine_chunks() for number, name in enumerate(self.slices)},
            notices,
        )

    def _cluster(self, rows: Relation) -> str:
        hour = "epoch_us(received_at) // 3600000000"
        known = {
            "row": "row_number() OVER ()",
            "request": "hash(request_id)",
            "hour": hour,
            "day": f"({hour}) // 24",
        }
        return known.get(self.cluster_by) or f"hash({column_sql(rows, self.cluster_by)})"


def _logged(name: str) -> str:
    return quote(name if name in (REQUEST, ROW, AS_OF) else f"keys.{name}")


def _interval(length: timedelta) -> str:
    return f"to_microseconds({microseconds(length)})"


def _scores(column: Any) -> Array:
    import pyarrow as pa

    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        flat = column.flatten().to_numpy(zero_copy_only=False).astype(np.float64)
        return np.asarray(flat.reshape(len(column), -1) if len(column) else flat.reshape(0, 1))
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)
