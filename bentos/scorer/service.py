"""The service of the bundle that lies beside this file; serving.yaml says how it is served."""

from pathlib import Path

from proml_kedro.serving.whole import exit_unless_whole

HERE = Path(__file__).resolve().parent

exit_unless_whole(HERE.parent)  # before any other code of this folder runs

from proml_kedro.serving.service import make_service  # noqa: E402

service = make_service(HERE)
