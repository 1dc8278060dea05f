"""Groups of commands that `kedro` and `proml_kedro` offer beside `run`."""

__all__ = [
    "config_show",
    "data_check",
    "features",
    "model_describe",
    "model_effects",
    "new",
    "predict",
    "run",
    "runs",
    "serve",
    "store",
    "workspace",
]
