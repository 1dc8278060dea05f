"""Shell completion of overrides: groups, their options, and keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.plugins.completion_plugin import DefaultCompletionPlugin
from kedro.framework.project import settings
from kedro.utils import find_kedro_project


def complete(incomplete: str, before: Sequence[str] = ()) -> list[str]:
    """The overrides that may follow ``before`` and begin with ``incomplete``."""
    *words, word = _glue([*before, incomplete])
    value_only = word != incomplete
    if words and not incomplete and "=" not in words[-1] and not words[-1].startswith("~"):
        word, value_only = f"{words.pop()}=", True  # bash hands over nothing for what follows a bare "="
    conf = (find_kedro_project(Path.cwd()) or Path.cwd()) / settings.CONF_SOURCE
    try:
        with initialize_config_dir(str(conf), version_base="1.3"):
            plugin = DefaultCompletionPlugin(GlobalHydra.instance().config_loader())
            found = [str(one) for one in plugin._query("config", " ".join([*words, word]))]
    except HydraException:  # a line that is still being written need not make sense
        return []
    shown = [one for one in found if not one.startswith(("hydra", "_"))]
    return [one.partition("=")[2] for one in shown] if value_only else shown


def _glue(words: Iterable[str]) -> list[str]:
    """Put together what bash takes apart: it breaks words at ``=``."""
    glued: list[str] = []
    for word in words:
        if glued and (word == "=" or glued[-1].endswith("=")):
            glued[-1] += word
        else:
            glued.append(word)
    return glued
