"""Rows that a model may have learned from: by when they are, and whether they stand in the table more than once."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from proml_kedro.bundle import Bundle
from proml_kedro.engine.duckdb import moment_literal
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import Session
from proml_kedro.errors import Mistake, UserError

UNTIL = "until"
"""Of an update in a bundle's lineage: moment of the latest row that was learned from."""


@dataclass(frozen=True)
class Learned:
    """Moments up to which a model has learned.

    Attributes:
        fitted: Rows before it were fitted; None where the split does not go by time.
        updated: Rows not after it were before an update; None where there was none, or nobody knows when its rows were.
    """

    fitted: datetime | None
    updated: datetime | None = None


@dataclass(frozen=True)
class RowFacts:
    """What is known of labelled rows beside their values.

    Attributes:
        rows: How many there are.
        repeated: Rows that equal an earlier one in every column of the table.
        before: Rows of a time that the model has learned from; None where nobody can tell.
        latest: Moment of the latest row; None where rows have none.
        learned: Up to when the model has learned.
    """

    rows: int
    repeated: int
    before: int | None
    latest: datetime | None
    learned: Learned

    def check(self, late_labels: bool) -> None:
        """Refuse rows that would count double.

        Args:
            late_labels: Whether the labels of rows before the end of training came too late for it.

        Raises:
            UserError: Some are of a time that the model has learned from.
        """
        if not self.before or late_labels:
            return
        ends = [("fitted to what came before", self.learned.fitted), ("updated up to", self.learned.updated)]
        how = " and ".join(f"{what} {moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC" for what, moment in ends if moment)
        message = (
            f"{self.before:,} of {self.rows:,} rows are of a time that the model has learned from ({how}), and would "
            "count double; leave them out, or say that their labels came later: --late-labels"
        )
        raise UserError(Mistake("", message))

    def told(self) -> Iterator[str]:
        """Say what a reader of the figures has to know."""
        if self.repeated:
            yield f"{self.repeated:,} of {self.rows:,} rows equal another one in every column, and count once more each"
        if self.before is None or self.learned.fitted is None:
            yield "nobody can tell whether the model was fitted to these rows: they, or its split, have no moments"


def learned_by(bundle: Bundle, components: Collection[str]) -> Learned:
    """Tell up to when components of a bundle have learned.

    Args:
        bundle: The bundle.
        components: Their names.
    """
    boundaries = getattr(bundle.manifest.problem.split, "boundaries", None)
    is_final = any(_saw_validation(bundle, name) for name in components)
    untils = [one.get(UNTIL) for one in bundle.manifest.lineage.get("updates", ())]
    latest = max((datetime.fromisoformat(one) for one in untils if one), default=None)
    return Learned(boundaries[is_final] if boundaries else None, latest)


def _saw_validation(bundle: Bundle, name: str) -> bool:
    refit = getattr(bundle.graph.components[name].spec, "refit", True)
    return bool(refit) and not bundle.graph.plan.is_learned_from(name)


def count_rows(session: Session, relation: Relation, where: str, moment: str | None, learned: Learned) -> RowFacts:
    """Count labelled rows, those of them that stand there twice, and those of a time that was learned from.

    Args:
        session: What reads the rows.
        relation: The rows.
        where: Condition for a row to be learned from.
        moment: SQL of a row's moment; None where there is none.
        learned: Up to when the model has learned.
    """
    ends = (("<", learned.fitted), ("<=", learned.updated))
    known = [f"{moment} {sign} {moment_literal(end)}" for sign, end in ends if end]
    before = f"count(*) FILTER ({' OR '.join(known)})" if moment and known else "NULL"
    latest = f"CAST(max({moment}) FILTER (isfinite({moment})) AS VARCHAR)" if moment else "NULL"
    distinct = f"(SELECT count(*) FROM (SELECT DISTINCT * FROM {relation} WHERE {where}))"
    found = session.row(f"SELECT count(*), {distinct}, {before}, {latest} FROM {relation} WHERE {where}")
    rows, different, earlier, last = found
    return RowFacts(rows, rows - different, earlier, datetime.fromisoformat(last) if last else None, learned)
