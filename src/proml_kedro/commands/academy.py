"""`kedro academy`: the exercises of the courses, and whether an answer is right."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from proml_kedro.commands.base import Command
from proml_kedro.errors import Mistake, UserError, unknown

if TYPE_CHECKING:
    from proml_kedro.academy import Exercise
    from proml_kedro.notebook import OpenedProject

WRONG = 1
"""Exit code when an answer is not right yet."""

_CHECK = """Check the answer to an exercise: `kedro academy check 100.3 300`.

    In course 200 the project of the working directory is the answer, so that most of its exercises need no ANSWER. Says
    what is not right yet; exit code 0 when all is, and 1 when it is not.
    """


def make_group() -> click.Group:
    """Make the group `academy`."""
    group = click.Group("academy", help="Check what you have learned in docs/academy.")
    group.add_command(Command("list", callback=_list, help="List the exercises."))
    number = click.Argument(["number"])
    answer = click.Argument(["answer"], required=False)
    group.add_command(Command("check", callback=_check, params=[number, answer], help=_CHECK))
    return group


def _list() -> None:
    from proml_kedro.academy import EXERCISES

    for number, exercise in EXERCISES.items():
        click.echo(f"{number}  {exercise.title}")


def _check(number: str, answer: str | None) -> None:
    from proml_kedro.academy import EXERCISES

    if number not in EXERCISES:
        raise UserError(Mistake("", unknown("exercise", number, EXERCISES), "argument NUMBER"))
    exercise = EXERCISES[number]
    if exercise.needs_answer and answer is None:
        raise UserError(Mistake("", f"say your answer: kedro academy check {number} ANSWER", "argument ANSWER"))
    if not exercise.needs_answer and answer is not None:
        raise UserError(Mistake("", f"{number} takes no answer: your project is it", "argument ANSWER"))
    wrong = list(exercise.judge(answer or "", _project(exercise)))
    click.echo("\n".join(wrong) or f"{number} is right")
    if wrong:
        sys.exit(WRONG)


def _project(exercise: Exercise) -> OpenedProject | None:
    """The project of the working directory, for exercises that are of one."""
    from proml_kedro.academy.engineers import OfProject
    from proml_kedro.config.folders import MAIN

    if not isinstance(exercise, OfProject) or not (Path.cwd() / "conf" / MAIN).is_file():
        return None
    from proml_kedro.notebook import open_project

    return open_project(Path.cwd())
