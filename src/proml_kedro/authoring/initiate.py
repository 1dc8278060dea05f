"""From files to the YAML of a problem: look, propose, write."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from proml_kedro.authoring.features import find_views
from proml_kedro.authoring.look import look_at
from proml_kedro.authoring.names import in_sql
from proml_kedro.authoring.propose import Proposal, propose
from proml_kedro.authoring.relate import Link
from proml_kedro.authoring.write import features_yaml, problem_yaml, said
from proml_kedro.engine.session import connect
from proml_kedro.errors import Mistake, UserError
from proml_kedro.spec.hardware import HardwareSpec


@dataclass(frozen=True)
class Proposed:
    """YAML of a problem, proposed.

    Attributes:
        table: The table that has the label.
        problem: Text of its file in ``conf/problem``.
        features: Text of its file in ``conf/features``.
        said: What a user should know, one line each.
        undecided: Whether something is left to decide.
    """

    table: str
    problem: str
    features: str
    said: tuple[str, ...]
    undecided: bool


def propose_problem(files: Sequence[Path], label: str, base: Path) -> Proposed:
    """Look at files and propose a problem.

    Args:
        files: CSV, Parquet, JSON lines, SQLite.
        label: ``COLUMN``, ``TABLE.COLUMN``, or either with ``=VALUE`` for what counts as true.
        base: The folder that holds, or will hold, ``conf``.

    Raises:
        UserError: Files that cannot be read, or no such label.
    """
    hardware = HardwareSpec()
    with tempfile.TemporaryDirectory(prefix="proml_kedro-init-") as folder, connect(hardware) as session:
        found = propose(look_at(files, session, Path(folder), base), label)
        if found.moment.column:
            for link in found.links:
                _give_key(found, link)
        views = find_views(found)
        if not views:
            raise UserError(*_no_features(found))
        undecided = any(table.draft.undecided for table in found.tables.values())
        lines = tuple(said(found, views))
        return Proposed(found.label.table, problem_yaml(found), features_yaml(views), lines, undecided)


def _no_features(found: Proposal) -> Iterator[Mistake]:
    table = found.examples
    reasons = found.left_out.get(table.name, {})
    shown = "; ".join(f"{name} {why}" for name, why in list(reasons.items())[:5])
    yield Mistake(
        "", f"{table.name} has no column beside the label that can be a feature{f': {shown}' if shown else ''}"
    )


def columns_of(files: Sequence[Path]) -> list[str]:
    """Return the columns of files, as ``TABLE.COLUMN``.

    Raises:
        UserError: Files that cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="proml_kedro-init-") as folder, connect(HardwareSpec()) as session:
        tables = look_at(files, session, Path(folder), Path.cwd())
        return [f"{name}.{column}" for name, table in tables.items() for column in table.columns]


def _give_key(found: Proposal, link: Link) -> None:
    """Derive the key of the examples in another table that has it under another name, or in another form."""
    draft = found.tables[link.table].draft
    if link.repair:
        draft.columns[link.column] = link.repair
        draft.reasons[f"columns.{link.column}"] = "leading zeros, as the examples have them"
    elif link.other.lower() != link.column.lower():
        draft.columns[link.column] = in_sql(link.other)
        draft.reasons[f"columns.{link.column}"] = f"the key of {found.label.table} under its own name"
