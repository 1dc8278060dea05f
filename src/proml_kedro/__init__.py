"""Declarative machine learning: a problem, its features and its model in YAML, then `kedro run`."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proml_kedro.notebook import open_project

__all__ = ["open_project"]

__version__ = "0.2.0"

# Nothing calls home. Each tool reads its own switch, and reads it when it is imported.
os.environ["KEDRO_DISABLE_TELEMETRY"] = "1"
os.environ["DO_NOT_TRACK"] = "1"
os.environ["BENTOML_DO_NOT_TRACK"] = "True"  # BentoML takes only this spelling


def __getattr__(name: str) -> Any:  # on demand: `kedro --version` needs no project
    if name == "open_project":
        from proml_kedro.notebook import open_project

        return open_project
    raise AttributeError(f"module 'proml_kedro' has no attribute '{name}'")


def load_ipython_extension(shell: Any) -> None:
    """Answer ``%load_ext proml_kedro``: the magic ``%proml``, and errors in one line."""
    import_module("proml_kedro.commands.magic").load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Answer ``%unload_ext proml_kedro``."""
    import_module("proml_kedro.commands.magic").unload(shell)
