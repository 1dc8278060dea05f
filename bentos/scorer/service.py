"""The scoring service of the bundle that lies beside this file."""

from pathlib import Path

from proml_kedro.serving.service import make_service

service = make_service(Path(__file__).parent / "bundle")
