"""Groups of commands that `kedro` and `proml_kedro` offer beside `run`."""

__all__ = ["features", "model_describe", "model_effects", "workspace"]
