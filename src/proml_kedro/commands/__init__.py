"""Groups of commands that `kedro` and `proml_kedro` offer beside `run`."""

__all__ = [
    "compare",
    "config_schema",
    "config_show",
    "data_check",
    "drift_check",
    "features",
    "init",
    "model_describe",
    "model_effects",
    "model_registry",
    "model_update",
    "new",
    "predict",
    "run",
    "runs",
    "serve",
    "store",
    "workspace",
]
