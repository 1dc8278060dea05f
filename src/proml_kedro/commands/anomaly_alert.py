"""`kedro anomalies detect --alert`: receivers are told of anomalies, and the user of what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from proml_kedro.commands.anomaly_watch import opened, store_of
from proml_kedro.errors import UserError

if TYPE_CHECKING:
    from proml_kedro.project import Project
    from proml_kedro.results.anomalies import Anomaly, Board

UNDELIVERED = 4
"""Exit code when a message was not delivered, and nothing worse is to be said."""


def tell(project: Project, board: Board) -> bool:
    """Tell receivers of anomalies that they do not know of.

    Returns:
        Whether a message was not delivered; standard error says which, and why.

    Raises:
        UserError: There are no receivers.
    """
    from proml_kedro.health.alerts.alert import alert
    from proml_kedro.health.diagnosis.explain import Question, explain

    spec = project.spec.monitoring.anomalies.alerts
    if not spec.receivers:
        example = "receivers: {team: {kind: webhook, url: https://…}}"
        raise UserError.at("monitoring.anomalies.alerts", f"declares no receivers; write {example}")
    answered = {one.id for one in store_of(project).answered()}
    places = project.data_dir.parent, project.data_dir / "alerts.sqlite"
    with opened(project, board.until) as watch:

        def cause(one: Anomaly) -> str:
            try:
                return explain(watch, Question.of(one), board.found.anomalies).words
            except UserError as error:  # a message without a cause is better than none
                return f"the cause is not known: {error}"

        outcomes = alert(spec, board, answered, board.until, places, project.loader.credentials, cause)
    for one in outcomes:
        words = f"not told of {one.told}: {one.problem}" if one.problem else f"told of {one.told}"
        click.echo(f"{one.receiver}: {words}", err=True)
    return any(one.problem for one in outcomes)
