"""Rows of a monitor's table as cells of now and of before: of its dimensions, and of other columns of the table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from proml_kedro.engine.duckdb import literal, quote
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import Session
from proml_kedro.health.diagnosis.diagnose import Sides
from proml_kedro.health.diagnosis.sample import Ints, Sample
from proml_kedro.spec.anomalies import MonitorSpec

MOST_VALUES = 50
"""Values of a column that are told apart; rarer ones are one."""
MOST_CELLS = 200_000
MOST_OTHERS = 8
"""Other columns of a table that are looked at."""

NONE, RARER = "(no value)", "(rarer values)"
_TABLE = "explained"
_KINDS = re.compile(r"^(VARCHAR|BOOLEAN|ENUM.*|U?(TINY|SMALL|BIG)?INT(EGER)?)$")


@dataclass(frozen=True)
class Asked:
    """Rows that are to be read.

    Attributes:
        now: Numbers of the current periods.
        before: Numbers of earlier ones.
        only: Column and value that rows must have; None for all rows.
    """

    now: Sequence[int]
    before: Sequence[int]
    only: tuple[str, str] | None

    @property
    def where(self) -> str:
        """The condition for a row to be read."""
        periods = ", ".join(str(one) for one in (*self.now, *self.before))
        only = f" AND {quote(f'by {self.only[0]}')} = {literal(self.only[1])}" if self.only else ""
        return f"value IS NOT NULL AND period IN ({periods}){only}"


def read_sides(session: Session, names: Sequence[str], asked: Asked) -> tuple[Sides, list[str]]:
    """Read cells of columns, from the table that :func:`keep_rows` made.

    Args:
        session: That has the table.
        names: The columns.
        asked: Which rows.

    Returns:
        The cells, and what was left out.
    """
    notices = []
    (rows,) = session.row(f"SELECT count(*) FROM {_TABLE} WHERE {asked.where}")
    part = max(1, -(-rows // (5 * MOST_CELLS)))
    sampled = f" AND hash(rowid) % {part} = 0" if part > 1 else ""
    if sampled:
        notices.append(f"one of {part} rows was read")
    texts = [quote(f"by {name}") for name in names]
    found = session.arrow(
        f"SELECT {', '.join(['period', *texts])}, count(value) AS n, sum(value) AS s, sum(value * value) AS q "
        f"FROM {_TABLE} WHERE {asked.where}{sampled} GROUP BY {', '.join(['period', *texts])} ORDER BY ALL"
    )
    period = found["period"].to_numpy().astype(np.int64)
    weights = [found[name].to_numpy().astype(float) * part for name in ("n", "s", "q")]
    codes, values = [], []
    for name in names:
        code, texts_of, rarer = _coded(found[f"by {name}"].to_pylist(), weights[0])
        codes.append(code)
        values.append(texts_of)
        notices += [f"{name}: {rarer:,} rarer values are taken for one"] if rarer else []
    shape = np.array(codes, np.int64).reshape(len(names), len(period))
    whole = Sample(shape, [len(one) for one in values], period, *weights)
    is_now = np.isin(period, list(asked.now))
    number = len(asked.now), len(asked.before)
    return Sides(names, values, whole.of(is_now), whole.of(~is_now), number), notices


def _coded(texts: Sequence[str | None], rows: np.ndarray) -> tuple[Ints, list[str], int]:
    """Number values by how many rows they have; returns the numbers, the values, and how many are taken for one."""
    totals: dict[str, float] = {}
    for text, count in zip(texts, rows.tolist(), strict=True):
        name = NONE if text is None else text
        totals[name] = totals.get(name, 0.0) + count
    frequent = sorted(totals, key=lambda one: (-totals[one], one))
    rarer = len(frequent) - MOST_VALUES
    kept = frequent[:MOST_VALUES]
    place = {name: number for number, name in enumerate(kept)}
    code = np.array([place.get(NONE if text is None else text, MOST_VALUES) for text in texts], np.int64)
    return code, [*kept, RARER] if rarer > 0 else kept, max(rarer, 0)


def other_columns(rows: Relation, spec: MonitorSpec, leave: Sequence[str]) -> list[str]:
    """Return columns that are no dimensions and have few values, and that the figure is not computed from.

    Args:
        rows: The table.
        spec: The figure.
        leave: Further columns to leave out.
    """
    words = {one.lower() for one in re.findall(r"\w+", f"{spec.expression or ''} {spec.where or ''}")}
    out = {one.lower() for one in (*spec.dimensions, spec.moment, *leave)} | words
    able = [name for name, type_ in rows.schema.items() if _KINDS.match(type_) and name.lower() not in out]
    if not able:
        return []
    counted = ", ".join(f"approx_count_distinct({quote(name)})" for name in able)
    counts = dict(zip(able, rows.engine.row(f"SELECT {counted} FROM {rows}"), strict=True))
    few = [name for name in able if 2 <= counts[name] <= MOST_VALUES]
    return sorted(few, key=lambda name: (counts[name], name))[:MOST_OTHERS]
