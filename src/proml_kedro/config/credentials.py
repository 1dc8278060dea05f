"""Credentials: read outside of the composition, so that nothing printed or stored holds a secret."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kedro.config import MissingConfigException

from proml_kedro.config.yaml_size import check_size
from proml_kedro.errors import Mistake, UserError, hide, unknown


def read_credentials(file: Path) -> dict[str, Any]:
    """Read ``credentials.yml`` of an environment.

    Raises:
        MissingConfigException: There is no such file.
        UserError: It is not YAML, or holds no keys and values. No message quotes its text.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    if not file.is_file():
        raise MissingConfigException(f"there is no file {file}")
    label = f"{file.parent.name}/{file.name}"
    if endless := list(check_size(file, label)):
        raise UserError(*endless)
    try:
        content = OmegaConf.to_container(OmegaConf.load(file), resolve=True)
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError, OSError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{label}:{mark.line + 1 if mark else 1}"
        # The error's own text may quote the file.
        raise UserError(Mistake("", "not valid YAML, or an interpolation that leads nowhere", where)) from None
    if not isinstance(content, dict):
        raise UserError(Mistake("", "must hold keys and values", f"{label}:1"))
    return {str(name): value for name, value in content.items()}


def credentials_named(name: str, file: Path) -> dict[str, Any]:
    """Return the values of a name in ``credentials.yml``. No message shows them from then on.

    Raises:
        UserError: There is no such file or name, or it holds no keys and values.
    """
    try:
        known = read_credentials(file)
    except MissingConfigException:
        known = {}
    place = f"{file.parent.name}/{file.name}"
    if name not in known:
        raise UserError(Mistake("", unknown("credentials", name, known), place))
    if not isinstance(known[name], dict):
        raise UserError(Mistake("", f"'{name}' must hold keys and values", place))
    for value in _values(known[name]):
        hide(value, "…")
    return {str(key): value for key, value in known[name].items()}


def _values(value: Any) -> Iterator[str]:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        yield from _values(child)
    if isinstance(value, str):
        yield value
