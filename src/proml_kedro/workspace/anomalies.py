"""Anomalies on the page: what was found, and what people say of it, which is all that the page can change."""

from __future__ import annotations

import getpass
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from proml_kedro.errors import UserError
from proml_kedro.health.anomalies.boards import answers_of, read_boards
from proml_kedro.health.anomalies.store import ANSWERS, Answer, Said
from proml_kedro.results.anomalies import Board
from proml_kedro.workspace.snapshot import Snapshot

_LONGEST = 500


class RefusedError(ValueError):
    """An answer that cannot be kept; ``str()`` of it says why."""


def data_of(snapshot: Snapshot) -> Path:
    """Return the data folder."""
    return snapshot.places.base / snapshot.places.data_dir


def anomalies(snapshot: Snapshot) -> dict[str, Any]:
    """Tell of every problem what was unusual, with the answers that count."""
    boards, unreadable = read_boards(data_of(snapshot))
    return {"boards": [_board(snapshot, one) for one in boards], "unreadable": unreadable}


def _board(snapshot: Snapshot, board: Board) -> dict[str, Any]:
    said = {one.id: one for one in answers_of(data_of(snapshot), board.problem).answered()}
    content = board.as_dict()
    for one in content["found"]["anomalies"]:
        known = said.get(one["id"])
        one["answer"] = None if known is None else {"answer": known.answer, "who": known.who, "note": known.note}
    return content


def keep_answer(snapshot: Snapshot, body: bytes) -> Mapping[str, str]:
    """Keep what somebody said of an anomaly on this machine, and return it.

    Args:
        snapshot: What the page shows.
        body: JSON with ``problem``, ``id``, ``answer`` and perhaps ``note``.

    Raises:
        RefusedError: It is no such JSON, or names no anomaly that is known.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusedError("it is not JSON") from error
    names = ("problem", "id", "answer", "note")
    if not isinstance(content, dict) or not all(isinstance(content.get(one, ""), str) for one in names):
        raise RefusedError(f"write texts for {', '.join(names)}")
    problem, id_, answer, note = (content.get(one, "") for one in names)
    if answer not in ANSWERS:
        raise RefusedError(f"answer must be one of {', '.join(ANSWERS)}")
    if len(note) > _LONGEST:
        raise RefusedError(f"a note has at most {_LONGEST} characters")
    who = getpass.getuser()
    try:
        answers_of(data_of(snapshot), problem).add([Said(id_, cast(Answer, answer), who, note)], "answer")
    except UserError as error:
        raise RefusedError(str(error)) from error
    return {"answer": answer, "who": who, "note": note}
