"""What `kedro features get` is told on the command line: the keys of an entity, and a moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from proml_kedro.errors import Mistake, UserError


def parse_moment(text: str | None, where: str = "option --at") -> datetime:
    """Read a moment. Without a time zone it is UTC; None means now.

    Args:
        text: The moment.
        where: How the user named it, for messages.

    Raises:
        UserError: The text is not a moment.
    """
    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        message = f"cannot read '{text}'; write it like 2013-12-31T20:00Z"
        raise UserError(Mistake("", message, where)) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def split_words(words: Sequence[str], keys: Sequence[str] = ()) -> tuple[dict[str, str], list[str]]:
    """Tell keys of an entity from overrides of the configuration.

    Args:
        words: KEY=VALUE, as written; an override has a dot, @ or / in its key, starts with + or ~, or names a setting
            or group of ``conf``.
        keys: KEY=VALUE of keys that would be taken for overrides.

    Raises:
        UserError: A word is not of the form KEY=VALUE.
    """
    from proml_kedro.spec import RunSpec

    settings = {*RunSpec.model_fields, "env", "experiment", "catalog"}
    entity: dict[str, str] = {}
    overrides, mistakes = [], []
    for word in (*words, *keys):
        name, equals, value = word.partition("=")
        if word not in keys and (name in settings or set(name) & set("./@+~")):
            overrides.append(word)
        elif not equals:
            mistakes.append(Mistake("", f"'{word}' is no KEY=VALUE; a key is written origin=JFK"))
        else:
            entity[name] = value
    if mistakes:
        raise UserError(*mistakes)
    return entity, overrides
