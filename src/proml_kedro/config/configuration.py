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


def check_composition(
    composition: Composition, base_path: Path, conf: Path, mistakes: Sequence[Mistake] = ()
) -> Configuration:
    """Resolve and validate a composition; every mistake is found at once and located.

    Args:
        composition: What to check.
        base_path: The folder that holds ``conf``.
        conf: The folder with the configuration's files.
        mistakes: Those found before.

    Raises:
        UserError: The composition has mistakes.
    """
    from proml_kedro.config.data_folder import check_data_dir
    from proml_kedro.config.expansion import check_expansion
    from proml_kedro.config.secrets import refuse_secrets
    from proml_kedro.config.validation import import_extensions, refuse_targets, validate

    if endless := check_expansion(composition.config):
        raise _located(composition, [*mistakes, *composition.mistakes, *endless])
    values, unresolved, consequences = composition.resolved()
    found = [
        *unresolved,
        *refuse_secrets(composition.written()),
        *refuse_targets(values),
        *import_extensions(values.get("extensions"), base_path),
    ]
    run, invalid = validate(values)
    if isinstance(values.get("data_dir"), str) and (misplaced := check_data_dir(values["data_dir"], base_path, conf)):
        invalid = [*misplaced, *(one for one in invalid if not one.key.startswith("catalog."))]
    known = {mistake.key for mistake in (*found, *consequences)}
    found += [mistake for mistake in invalid if mistake.key not in known]
    found = [*mistakes, *composition.mistakes, *_not_in(composition.doubtful, found)]
    if run is None or found or consequences:
        raise _located(composition, found or consequences)
    return Configuration(composition, values, run)


def _located(composition: Composition, mistakes: Sequence[Mistake]) -> UserError:
    error = UserError(*mistakes)
    error.locate(composition.origins.where)
    return error


def _not_in(groups: frozenset[str], mistakes: list[Mistake]) -> list[Mistake]:
    return [mistake for mistake in mistakes if mistake.key.partition(".")[0] not in groups]
