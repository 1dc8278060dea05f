"""Which anomalies are told to whom, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from proml_kedro.health.alerts.deliver import NotDeliveredError, deliver
from proml_kedro.health.alerts.message import Message
from proml_kedro.health.alerts.sent import SentStore, Turn
from proml_kedro.results.anomalies import Anomaly, Board
from proml_kedro.spec.alerts import AlertsSpec
from proml_kedro.spec.credentials import Credentials

MOST_CAUSES = 5
"""Anomalies of a message of which the cause is looked for: those that are strongest."""
MOST_TOLD = 50


@dataclass(frozen=True)
class Outcome:
    """What became of a message.

    Attributes:
        receiver: Name of the receiver.
        told: Number of anomalies that it was to be told.
        problem: Why it was not delivered; empty where it was.
    """

    receiver: str
    told: int
    problem: str = ""


def alert(
    spec: AlertsSpec,
    board: Board,
    answered: set[str],
    now: datetime,
    places: tuple[Path, Path],
    credentials: Credentials,
    cause: Callable[[Anomaly], str],
) -> list[Outcome]:
    """Tell receivers of anomalies that they do not know of.

    An anomaly that somebody has answered is acknowledged, and not told. One that goes on is told again once it is
    quiet no more. What is not delivered is told the next time.

    Args:
        spec: Who is told, and how often.
        board: What was found.
        answered: Ids of anomalies with an answer.
        now: The moment.
        places: Folder of the project, and the SQLite file of what was told.
        credentials: Secrets by name.
        cause: Says in one line why an anomaly was so.

    Returns:
        What became of each message; nothing for receivers who know it all.
    """
    worth = [
        one
        for one in board.found.anomalies
        if one.id not in answered and one.strength >= spec.min_strength and one.end >= now - spec.since
    ]
    causes: dict[str, str] = {}
    outcomes = []
    with SentStore(places[1], board.problem).turn() as turn:
        for name, receiver in spec.receivers.items():
            news = _news(spec, name, worth, now, turn)
            if not news:
                continue
            _explain(news, causes, cause)
            message = Message(board.problem, news, causes, spec.link)
            try:
                deliver(receiver, message, places[0], credentials)
            except NotDeliveredError as error:
                outcomes.append(Outcome(name, len(news), str(error)))
                continue
            turn.add(name, news, now)
            outcomes.append(Outcome(name, len(news)))
    return outcomes


def _news(spec: AlertsSpec, receiver: str, worth: Sequence[Anomaly], now: datetime, turn: Turn) -> list[Anomaly]:
    """Return what a receiver does not know of, of figures that it has not been told of just now."""
    news = []
    for one in worth:
        last = turn.last(receiver, one)
        is_quiet = last is not None and now - last < spec.quiet
        if not is_quiet and not turn.has(receiver, one):
            news.append(one)
    return news[:MOST_TOLD]


def _explain(news: Sequence[Anomaly], causes: dict[str, str], cause: Callable[[Anomaly], str]) -> Mapping[str, str]:
    for one in sorted(news, key=lambda one: -one.strength)[:MOST_CAUSES]:
        if one.id not in causes:
            causes[one.id] = cause(one)
    return causes
