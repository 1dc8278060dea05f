"""The log of predictions as rows to be judged: of one model, each once, in periods."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from proml_kedro.engine.duckdb import literal, moment_literal, quote
from proml_kedro.engine.relation import Relation
from proml_kedro.errors import Mistake, UserError
from proml_kedro.health.buckets import Periods

COLUMNS = ("request_id", "row", "received_at", "as_of", "bundle", "status", "score")
"""Columns that every log of predictions has."""

MOST_PERIODS = 1000


@dataclass(frozen=True)
class Log:
    """Rows of a model in a log.

    Attributes:
        rows: All columns of the log, and ``period``: its position from 0.
        periods: Those that it spans.
        copies: Rows that stand in it more than once, and were counted once.
        others: Rows of other models.
        later: Rows after the moment of the report.
    """

    rows: Relation
    periods: Periods
    copies: int
    others: int
    later: int

    @property
    def scored(self) -> Relation:
        """The rows that were answered with a score."""
        return self.rows.select("*", "status = 200 AND score IS NOT NULL")


def read_log(rows: Relation, tag: str, at: datetime, every: timedelta, key: str) -> Log:
    """Take the rows of a model out of a log of predictions.

    Args:
        rows: The log.
        tag: ``name:version`` of the model.
        at: Until when rows count.
        every: Length of the periods.
        key: Where the log is named, for messages.

    Raises:
        UserError: It is no log of predictions, has no row of the model, or spans too many periods.
    """
    missing = [name for name in COLUMNS if rows.type_of(name) is None]
    if missing:
        message = f"it is no log of predictions, which `kedro serve` writes: there is no column '{missing[0]}'"
        raise UserError(Mistake("", message, key))
    mine, past = f"bundle = {literal(tag)}", f"received_at <= {moment_literal(at)}"
    total, of_model, known, first, last = rows.engine.row(
        f"SELECT count(*), count(*) FILTER ({mine}), count(*) FILTER ({mine} AND {past}), "
        f"min(received_at) FILTER ({mine} AND {past}), max(received_at) FILTER ({mine} AND {past}) FROM {rows}"
    )
    if not known:
        others = rows.engine.rows(f"SELECT bundle, count(*) FROM {rows} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 3")
        found = ", but of " + ", ".join(str(name) for name, _ in others) if others else ""
        message = f"no row is later than {at.isoformat()}" if of_model else f"it has no rows of {tag}{found}"
        message = f"all of its {of_model:,} rows are later than {at.isoformat()}" if of_model else message
        raise UserError(Mistake("", message, key))
    number = Periods.number_sql("received_at", every)
    ends = (
        rows.engine.row(f"SELECT {number} FROM (SELECT {_at(first)} AS received_at)")[0],
        rows.engine.row(f"SELECT {number} FROM (SELECT {_at(last)} AS received_at)")[0],
    )
    periods = Periods(every, ends[0], ends[1] - ends[0] + 1)
    if periods.count > MOST_PERIODS:
        message = f"it spans {periods.count:,} periods, and {MOST_PERIODS:,} are the most; take longer ones by --every"
        raise UserError(Mistake("", message, key))
    once = (
        f"(SELECT *, {number} - {periods.first} AS period FROM {rows} WHERE {mine} AND {past} "
        "QUALIFY row_number() OVER (PARTITION BY request_id, row, received_at ORDER BY status) = 1)"
    )
    kept = Relation(once, rows.engine)
    (count,) = rows.engine.row(f"SELECT count(*) FROM {kept}")
    return Log(kept, periods, known - count, total - of_model, of_model - known)


def _at(moment: datetime) -> str:
    return moment_literal(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def column_sql(rows: Relation, name: str) -> str | None:
    """Return a key or a feature of a log in SQL, by its own name; None where the log has none of it."""
    for prefix in ("keys.", "features."):
        if rows.type_of(f"{prefix}{name}") is not None:
            return quote(f"{prefix}{name}")
    return None
