"""The project's settings, as Kedro reads them."""

from proml_kedro.config import HydraConfigLoader
from proml_kedro.hooks import ProjectHooks

CONFIG_LOADER_CLASS = HydraConfigLoader
CONFIG_LOADER_ARGS = {"default_run_env": "local"}
HOOKS = (ProjectHooks(),)
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry",)
