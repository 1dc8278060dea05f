"""A configuration that was resolved before: ``proml.yaml`` of a bundle, to repeat the run that made it."""

from __future__ import annotations

from pathlib import Path

from proml_kedro.config.composition import Composition, add_defaults, compose
from proml_kedro.config.folders import Folders
from proml_kedro.config.provenance import Layer, Origins
from proml_kedro.config.yaml_size import check_size
from proml_kedro.errors import Mistake, UserError

KEY = "config"
"""Where in ``proml.yaml`` the configuration stands; any other file is one from its top."""


def read_resolved(file: Path, folders: Folders) -> Composition:
    """Read a resolved configuration; the catalog is not taken from it, since it belongs to the machine that runs.

    Args:
        file: ``proml.yaml`` of a bundle, or what ``kedro config show --resolved`` has printed.
        folders: Where the catalog is composed from.

    Raises:
        UserError: The file is not YAML, or the project's own configuration cannot be composed.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import MarkedYAMLError, YAMLError

    if endless := list(check_size(file, str(file))):
        raise UserError(*endless)
    try:
        content = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError, OSError) as error:
        mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
        raise UserError(Mistake("", "not valid YAML", f"{file}:{mark.line + 1 if mark else 1}")) from error
    inside = isinstance(content, dict) and isinstance(content.get(KEY), dict)
    values = content[KEY] if isinstance(content, dict) and inside else content
    if not isinstance(values, dict):
        raise UserError(Mistake("", "must hold keys and values, written KEY: VALUE", f"{file}:1"))
    config = OmegaConf.create(values)
    config["catalog"] = compose(folders, []).config.get("catalog")
    add_defaults(config)
    layer = Layer((), file, str(file), root=(KEY,) if inside else ())
    return Composition(config, Origins([layer], [], main=f"{file}:1"), [])
