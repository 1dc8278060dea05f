"""Errors that a user can act on: one line a mistake, exit code 2, no traceback."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import IO, Any

import click

_WORD = re.compile(r"[^\s'\"]+")
"""What a URL is searched in: text without blanks and quotes."""

_LONGEST = 2000
"""Characters of one mistake that are shown."""

_MOST = 100
"""Mistakes that are shown at once."""

_LONGEST_WORD, _MOST_NAMES = 100, 20_000
"""Beyond these nothing like a word is searched for among the known ones: it takes time in proportion to both."""

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
        text = masked(": ".join(part for part in (self.where, self.key, self.message) if part))
        return _on_one_line(shortened(text, _LONGEST))


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
        lines = [str(one) for one in _by_line(self.mistakes)[:_MOST]]
        left = len(self.mistakes) - len(lines)
        return "\n".join([*lines, f"and {left:,} more mistakes"] if left else lines)

    def format_message(self) -> str:
        """Return the text that Click shows."""
        return str(self)

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback."""
        return str(self).split("\n")

    def show(self, file: IO[Any] | None = None) -> None:
        """Print one line a mistake to standard error, without Click's "Error:" in front."""
        click.echo(self.format_message(), file=file, err=file is None)


class RetriableError(UserError):
    """An error that can pass by itself: a server that is not reached, a file that another process holds."""

    exit_code = 75  # EX_TEMPFAIL, as schedulers know it


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text."""
    return next(iter(str(error).strip().splitlines()), "")


def _by_line(mistakes: Sequence[Mistake]) -> list[Mistake]:
    """Sort the mistakes of each file by line, within the places that they have among the others."""
    places = [_place(one) for one in mistakes]
    of_file: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for position, (file, line) in enumerate(places):
        of_file[file].append((line, position))
    ordered = {file: iter(sorted(found)) for file, found in of_file.items()}
    return [mistakes[next(ordered[file])[1]] for file, _ in places]


def _place(mistake: Mistake) -> tuple[str, int]:
    """Read file and line of a mistake; an empty file and 0 when it has none."""
    match = _LINE.fullmatch(mistake.where or "")
    return (match[1], int(match[2])) if match else ("", 0)


_HIDDEN: dict[str, str] = {}
"""What no message may show, and what it shows in its place."""

_SHORTEST = 6

_NAMES = "PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIAL|(?:API|ACCESS|SIGNING|ENCRYPTION)_?KEY|PRIVATE"
NAMED_SECRET = rf"(?:\w*(?:{_NAMES})\w*|(?:\w*_)?PASS(?:_\w*)?(?!\w)|\w+_PWD(?!\w))"
"""Pattern of names that say that a value is a secret, in letters of either case."""

_SECRET_SETTING = re.compile(
    r"\w*(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIAL|(?:API|ACCESS|SECRET|PRIVATE)_?KEY)"
    r"(?:_?\d+)?['\"]?\s*[=:]",
    re.IGNORECASE,
)
"""A setting that is a secret by its name: ``api_key`` and ``DB_PASSWORD``, neither ``tokens`` nor ``token_dim``."""


def hide(value: str, instead: str) -> None:
    """Let no message show a value from now on.

    Values that are short, numbers or paths are no secrets: hiding them would make messages unreadable.

    Args:
        value: The value.
        instead: What is shown in its place.
    """
    is_plain = value.startswith(("/", ".", "~")) or value.replace(".", "").isdigit()
    if len(value) >= _SHORTEST and not is_plain:
        _HIDDEN[value] = instead


def masked(text: str) -> str:
    """Replace the passwords of the URLs in a text, and what :func:`hide` was told, and keep the rest.

    >>> masked("online_store=redis://me:hunter2@host:6379/0")
    'online_store=redis://me:…@host:6379/0'
    """
    for value, instead in _HIDDEN.items():
        text = text.replace(value, instead)
    return _without_passwords(text)


def has_url_password(text: str) -> bool:
    """Tell whether a text has a URL with a password in it.

    >>> has_url_password("redis://me:hunter2@host"), has_url_password("redis://me@host")
    (True, False)
    """
    return _without_passwords(text) != text


def _without_passwords(text: str) -> str:
    if "://" not in text or "@" not in text:
        return text
    return _WORD.sub(lambda word: "://".join(_without_password(part) for part in word[0].split("://")), text)


def masked_setting(text: str) -> str:
    """Replace what :func:`masked` does and, of a setting whose name says that it is a secret, all that follows.

    >>> masked_setting("serving.api_key=abc")
    'serving.api_key=…'
    >>> masked_setting("model.tokens=12"), masked_setting("features.token_count.dtype=int")
    ('model.tokens=12', 'features.token_count.dtype=int')
    """
    found = _SECRET_SETTING.search(text)
    return masked(f"{text[: found.end()]}…" if found else text)


def _without_password(part: str) -> str:
    """Replace the password in what stands behind the ``://`` of a URL; one with a slash in it too."""
    before, at, host = part.rpartition("@")
    user, colon, _ = before.partition(":")
    return f"{user}:…@{host}" if at and colon and "/" not in user else part


def _on_one_line(text: str) -> str:
    """Write line breaks, and characters that would steer a terminal, as Python does."""
    return text if text.isprintable() else "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def shortened(text: str, longest: int = 80) -> str:
    """Return a text of at most ``longest`` characters, by leaving out its middle.

    >>> shortened("abcdefghij", 7)
    'abcd…ij'
    """
    if len(text) <= longest:
        return text
    end = longest * 3 // 10
    return f"{text[: longest - end - 1]}…{text[len(text) - end :]}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint to append to a message: the nearest other known name, or all of them when they are few.

    >>> did_you_mean("learnin_rate", ["learning_rate", "max_depth"])
    " Did you mean 'learning_rate'?"
    >>> did_you_mean("zzz", ["b", "a"])
    ' Known: a, b.'
    """
    names = sorted(set(known) - {word})
    if len(word) > _LONGEST_WORD or len(names) > _MOST_NAMES:
        return ""
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f" Did you mean '{close[0]}'?"
    return f" Known: {', '.join(names)}." if 0 < len(names) <= 15 else ""


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Return the message for a name that is not known, with a suggestion.

    >>> unknown("table", "flight", ["flights", "weather"])
    "no table 'flight'. Did you mean 'flights'?"
    """
    return f"no {what} '{shortened(name)}'.{did_you_mean(name, known)}"
