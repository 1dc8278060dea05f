"""Our server for a Bento: run by the Bento's service in the place of BentoML's, with one argument, its settings."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from proml_kedro.bundle.signature import verify_signature
from proml_kedro.errors import UserError
from proml_kedro.serving.http.address import refuse_without_token
from proml_kedro.serving.http.supervisor import Service, serve
from proml_kedro.serving.whole import prove_whole
from proml_kedro.spec import ServingSpec

_KEY_VARIABLE = "PROML_VERIFY_KEY"


@dataclass(frozen=True)
class Settings:
    """What the server of a Bento is told.

    Attributes:
        source: The Bento's ``src``.
        host: The address to listen at.
        port: The port; 0 for a free one.
        workers: Number of processes; as ``serving.yaml`` says when None.
    """

    source: str
    host: str
    port: int
    workers: int | None

    def line(self) -> str:
        """Return the settings as the server's argument."""
        return json.dumps(asdict(self))


def main(arguments: Sequence[str]) -> None:
    """Serve until told to end; what is wrong is said in one line, with exit code 2."""
    try:
        _serve(Settings(**json.loads(arguments[0])))
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


def _serve(settings: Settings) -> None:
    refuse_without_token(settings.host)
    source = Path(settings.source).resolve()
    if key := os.environ.get(_KEY_VARIABLE):  # not from the Bento, which must not say itself whom to trust
        verify_signature(source.parent, Path(key), f"the variable {_KEY_VARIABLE}")
    prove_whole(source.parent)
    serving = yaml.safe_load((source / "serving.yaml").read_text(encoding="utf-8"))
    workers = settings.workers or ServingSpec.model_validate(serving).workers
    service = Service(lambda: source / "bundle", settings.host, settings.port, workers, serving)
    serve(service, _say)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
