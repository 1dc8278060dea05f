"""Errors that a user can act on: one line a mistake, exit code 2, no traceback."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import IO, Any

import click

_PASSWORD = re.compile(r"(\w+://[^\s:/@]*):[^\s/@]+@")
"""The password in a URL: an override may hold one, and no message may show it."""

_LINE = re.compile(r"(.+):(\d+)")
"""A file and a line of it, as the place of a mistake."""


@dataclass(frozen=True)
class Mistake:
    """A mistake in what a user wrote.

    Attributes:
        key: Dotted path in the composed configuration, for example ``problem.label.expression``; empty when
            the mistake belongs to no key.
        message: What is wrong and what to write instead, on one line.
        where: ``conf/problem/flights.yaml:7`` or ``override 'model=x'``; None until somebody who knows the
            files fills it in with :meth:`UserError.locate`.
    """

    key: str
    message: str
    where: str | None = None

    def __str__(self) -> str:
        return masked(": ".join(part for part in (self.where, self.key, self.message) if part))


class UserError(click.ClickException):
    """An error that holds all mistakes found at once. Click prints them and exits with code 2, in every command."""

    exit_code = 2

    def __init__(self, *mistakes: Mistake) -> None:
        self.mistakes = list(mistakes)
        super().__init__(str(self))

    @classmethod
    def at(cls, key: str, message: str) -> UserError:
        """Make the error of a single mistake under ``key``."""
        return cls(Mistake(key, message))

    def locate(self, where: Callable[[str], str | None]) -> None:
        """Fill in the file and line of each mistake that has a key and no place yet."""
        self.mistakes = [
            replace(mistake, where=where(mistake.key)) if mistake.key and mistake.where is None else mistake
            for mistake in self.mistakes
        ]

    def __str__(self) -> str:
        return "\n".join(map(str, _by_line(self.mistakes)))

    def format_message(self) -> str:
        """Return the text that Click shows."""
        return str(self)

    def show(self, file: IO[Any] | None = None) -> None:
        """Print one line a mistake to standard error, without Click's "Error:" in front."""
        click.echo(self.format_message(), file=file, err=file is None)


def _by_line(mistakes: Sequence[Mistake]) -> list[Mistake]:
    """Sort the mistakes of each file by line, within the places that they have among the others."""
    ordered: dict[str, Iterator[Mistake]] = {
        file: iter(sorted((one for one in mistakes if _place(one)[0] == file), key=lambda one: _place(one)[1]))
        for file in {_place(one)[0] for one in mistakes}
    }
    return [next(ordered[_place(one)[0]]) for one in mistakes]


def _place(mistake: Mistake) -> tuple[str, int]:
    """Read file and line of a mistake; an empty file and 0 when it has none."""
    match = _LINE.fullmatch(mistake.where or "")
    return (match[1], int(match[2])) if match else ("", 0)


def masked(text: str) -> str:
    """Replace the passwords of the URLs in a text, and keep the rest.

    >>> masked("online_store=redis://me:hunter2@host:6379/0")
    'online_store=redis://me:…@host:6379/0'
    """
    return _PASSWORD.sub(r"\1:…@", text)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint to append to a message: the nearest other known name, or all of them when they are few.

    >>> did_you_mean("learnin_rate", ["learning_rate", "max_depth"])
    " Did you mean 'learning_rate'?"
    >>> did_you_mean("zzz", ["b", "a"])
    ' Known: a, b.'
    """
    names = sorted(set(known) - {word})
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f" Did you mean '{close[0]}'?"
    return f" Known: {', '.join(names)}." if 0 < len(names) <= 15 else ""


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Return the message for a name that is not known, with a suggestion.

    >>> unknown("table", "flight", ["flights", "weather"])
    "no table 'flight'. Did you mean 'flights'?"
    """
    return f"no {what} '{name}'.{did_you_mean(name, known)}"
