"""Groups of commands that `kedro` and `proml_kedro` offer beside `run`."""

__all__ = [
    "anomalies",
    "anomaly_labels",
    "compare",
    "config_schema",
    "config_show",
    "data_check",
    "drift_check",
    "features",
    "health_report",
    "init",
    "model_describe",
    "model_effects",
    "model_registry",
    "new",
    "predict",
    "run",
    "runs",
    "serve",
    "store",
    "workspace",
]
