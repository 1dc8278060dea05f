"""Declarative machine learning: a problem, its features and its model in YAML, then `kedro run`."""

import os

__version__ = "0.2.0"

# Nothing calls home. Each tool reads its own switch, and reads it when it is imported.
os.environ["KEDRO_DISABLE_TELEMETRY"] = "1"
os.environ["DO_NOT_TRACK"] = "1"
os.environ["BENTOML_DO_NOT_TRACK"] = "True"  # BentoML takes only this spelling
