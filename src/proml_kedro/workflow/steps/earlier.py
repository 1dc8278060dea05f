"""The earlier bundle that a model starts from, or of which components are kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from proml_kedro.errors import Mistake, UserError
from proml_kedro.spec.problem import ProblemSpec
from proml_kedro.spec.split import SplitSpec

if TYPE_CHECKING:
    from proml_kedro.bundle import Bundle


def open_earlier(folder: Path, key: str, split: SplitSpec) -> Bundle:
    """Open the bundle of an earlier model.

    Args:
        folder: The bundle.
        key: Where the configuration names it.
        split: How the examples of this run are divided.

    Raises:
        UserError: It is not what was written, or may have learned from rows that this run tests by.
    """
    from proml_kedro.bundle import Bundle, IntegrityError

    try:
        bundle = Bundle.load(folder)
    except IntegrityError as error:
        raise UserError(*(Mistake(key, f"'{folder}': {one.message}") for one in error.mistakes)) from error
    reason = _why_not(bundle, split)
    if reason:
        raise UserError.at(key, f"'{folder}' {reason}, so it may have learned from rows that this run tests by")
    return bundle


def _why_not(bundle: Bundle, split: SplitSpec) -> str:
    """Say why the test period of a run may not be new to a bundle; nothing where it is."""
    try:
        theirs = ProblemSpec.model_validate(bundle.manifest.config["problem"]).split
    except (ValidationError, UserError):  # of a version before, or of an extension that is gone
        return "says in no way that is known now how its examples were divided"
    if theirs == split:
        return ""
    mine, other = (getattr(one, "boundaries", None) for one in (split, theirs))
    if mine is None or other is None:
        return "was made with another split"
    if other[1] > mine[1]:
        until, begins = (f"{one:%Y-%m-%d %H:%M}" for one in (other[1], mine[1]))
        return f"has learned from what came before {until}, and the test period begins at {begins}"
    return ""
