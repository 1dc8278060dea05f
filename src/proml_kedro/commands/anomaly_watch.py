"""The monitors of a project, opened for the commands that look at them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proml_kedro.health.anomalies.store import AnswerStore
    from proml_kedro.health.anomalies.watch import Watch
    from proml_kedro.project import Project
    from proml_kedro.results.anomalies import Board


def store_of(project: Project) -> AnswerStore:
    """Return the answers about a project's anomalies."""
    from proml_kedro.health.anomalies.boards import answers_of

    return answers_of(project.data_dir, project.spec.problem.name)


@contextmanager
def opened(project: Project, until: datetime) -> Iterator[Watch]:
    """Read the tables of a project's problem, and open its monitors."""
    from proml_kedro.health.anomalies.watch import feedback_of, watching

    spec = project.spec
    tables = project.run(results=("tables",))["tables"].path if spec.monitoring.anomalies.monitors else Path()
    files = {name: tables / f"{name}.parquet" for name in spec.problem.tables}
    anomalies, base = spec.monitoring.anomalies, project.data_dir.parent
    with watching(anomalies, files, base, spec.hardware, until, feedback_of(store_of(project))) as watch:
        yield watch


def find(project: Project, until: datetime) -> Board:
    """Find the anomalies of a project's figures, and keep them, so that they can be shown and answered."""
    from proml_kedro.health.anomalies.boards import keep_board
    from proml_kedro.results.anomalies import Board

    with opened(project, until) as watch:
        board = Board(project.spec.problem.name, until, *watch.look())
    store_of(project).remember(board.found.anomalies)
    keep_board(project.data_dir, board)
    return board
