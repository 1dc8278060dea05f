"""The scoring service of the bundle that lies beside this file; how it is served stands in serving.yaml."""

from pathlib import Path

from proml_kedro.serving.service import make_service, read_spec

HERE = Path(__file__).parent

service = make_service(HERE / "bundle", read_spec(HERE / "serving.yaml"))
