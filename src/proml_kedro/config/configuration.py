"""A composition without mistakes: what the loader serves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proml_kedro.errors import Mistake, UserError

if TYPE_CHECKING:
    from proml_kedro.config.composition import Composition
    from proml_kedro.spec.run import RunSpec


@dataclass(frozen=True)
class Configuration:
    """A composition without mistakes.

    Attributes:
        composition: The values as written, with their origins.
        values: The plain values, interpolations resolved.
        run: The checked configuration.
    """

    composition: Composition
    values: dict[str, Any]
    run: RunSpec


def check_composition(composition: Composition, base_path: Path, mistakes: Sequence[Mistake] = ()) -> Configuration:
    """Resolve and validate a composition; every mistake is found at once and located.

    Args:
        composition: What to check.
        base_path: The folder that holds ``conf``.
        mistakes: Those found before.

    Raises:
        UserError: The composition has mistakes.
    """
    from proml_kedro.config.interpolation import resolve
    from proml_kedro.config.validation import import_extensions, refuse_targets, validate

    values, unresolved, consequences = resolve(composition.config)
    found = [*unresolved, *refuse_targets(values), *import_extensions(values.get("extensions"), base_path)]
    run, invalid = validate({name: value for name, value in values.items() if name != "catalog"})
    known = {mistake.key for mistake in (*found, *consequences)}
    found += [mistake for mistake in invalid if mistake.key not in known]
    found = [*mistakes, *composition.mistakes, *_not_in(composition.doubtful, found)]
    error = UserError(*(found or consequences))
    error.locate(composition.origins.where)
    if run is None or error.mistakes:
        raise error
    return Configuration(composition, values, run)


def _not_in(groups: frozenset[str], mistakes: list[Mistake]) -> list[Mistake]:
    return [mistake for mistake in mistakes if mistake.key.partition(".")[0] not in groups]
