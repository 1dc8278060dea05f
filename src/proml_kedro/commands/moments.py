"""Moments on the command line."""

from __future__ import annotations

from datetime import UTC, datetime

from proml_kedro.errors import Mistake, UserError


def moment_of(text: str | None, option: str) -> datetime | None:
    """Read a moment of the command line; without a zone it is UTC.

    Raises:
        UserError: It is none.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        message = f"'{text}' is no moment; write 2013-09-01, or 2013-09-01T12:00"
        raise UserError(Mistake("", message, f"option {option}")) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
