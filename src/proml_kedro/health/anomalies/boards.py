"""Where anomalies of problems and answers about them lie in a data folder."""

from __future__ import annotations

import json
from pathlib import Path

from proml_kedro.atomic import write_whole
from proml_kedro.health.anomalies.store import AnswerStore
from proml_kedro.results.anomalies import Board
from proml_kedro.results.json_file import UnreadableError, first_line

_FOLDER, _ANSWERS = "anomalies.boards", "anomalies.sqlite"


def answers_of(data_dir: Path, problem: str) -> AnswerStore:
    """Return the answers about a problem's anomalies."""
    return AnswerStore(data_dir / _ANSWERS, problem)


def keep_board(data_dir: Path, board: Board) -> None:
    """Keep what is shown of a problem's anomalies, in place of what was kept before."""
    folder = data_dir / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / f"{board.problem}.json", json.dumps(board.as_dict()))


def board_files(data_dir: Path) -> list[Path]:
    """Return the files of all problems' anomalies, and that of the answers: what changes when anything of them does."""
    return [*sorted((data_dir / _FOLDER).glob("*.json")), data_dir / _ANSWERS]


def read_boards(data_dir: Path) -> tuple[list[Board], list[str]]:
    """Read the anomalies of all problems, and say of which they cannot be read."""
    boards, unreadable = [], []
    for file in sorted((data_dir / _FOLDER).glob("*.json")):
        try:
            boards.append(Board.of(json.loads(file.read_bytes())))
        except (OSError, ValueError, RecursionError) as error:
            unreadable.append(str(UnreadableError(file, first_line(error))))
    return boards, unreadable
