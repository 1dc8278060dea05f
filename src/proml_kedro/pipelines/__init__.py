"""The steps of a run as Kedro pipelines: thin, static, one module each."""

__all__ = ["evaluate", "features", "materialize", "monitor", "package", "train"]
