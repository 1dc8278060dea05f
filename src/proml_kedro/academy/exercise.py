"""An exercise: what is asked, and how an answer is judged."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proml_kedro.errors import Mistake, UserError, unknown

if TYPE_CHECKING:
    from proml_kedro.notebook import OpenedProject


@dataclass(frozen=True)
class Exercise(ABC):
    """One exercise of a course.

    Attributes:
        title: What it is about.
    """

    title: str

    needs_answer = True
    """Whether an answer is typed; if not, the project itself is."""

    @abstractmethod
    def judge(self, answer: str, project: OpenedProject | None) -> Iterator[str]:
        """Say what is not right yet, a line each; nothing when all is.

        Args:
            answer: What was typed.
            project: The project of the working directory; None where there is none.

        Raises:
            UserError: The answer cannot be read, or the project is not sound.
        """


@dataclass(frozen=True)
class Number(Exercise):
    """A number is asked for.

    Attributes:
        value: The right one.
        within: How far from it an answer may be.
        hint: What to think of when it is another one.
    """

    value: float
    within: float
    hint: str

    def judge(self, answer: str, project: OpenedProject | None) -> Iterator[str]:
        """Say the hint where the number is another one."""
        if not is_near(answer, self.value, self.within):
            yield self.hint


@dataclass(frozen=True)
class Choice(Exercise):
    """One of several answers is asked for, by its letter.

    Attributes:
        letter: The right one.
        hints: What to think of, by each other letter.
    """

    letter: str
    hints: Mapping[str, str]

    def judge(self, answer: str, project: OpenedProject | None) -> Iterator[str]:
        """Say the hint of another letter."""
        known = sorted([self.letter, *self.hints])
        chosen = answer.strip().lower().strip("()")
        if chosen not in known:
            raise UserError(Mistake("", unknown("answer", answer, known)))
        if chosen != self.letter:
            yield self.hints[chosen]


def is_near(answer: str, value: float, within: float) -> bool:
    """Tell whether an answer is a number near another one; of a share per cents are right too.

    >>> is_near("7%", 0.0697, 0.002), is_near("7", 0.0697, 0.002), is_near("95 %", 95.0, 0.5)
    (True, False, True)
    """
    number = as_number(answer)
    told = [number, number / 100] if answer.strip().endswith("%") else [number]
    return any(abs(one - value) <= within for one in told)


def as_number(answer: str) -> float:
    """Read a number; ``%`` and spaces are left out.

    Raises:
        UserError: It is none.
    """
    try:
        number = float(answer.strip().removesuffix("%"))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(Mistake("", f"'{answer}' is no number, such as 0.25"))
    return number
