"""The steps of a run as Kedro pipelines: thin, static, one module each."""
