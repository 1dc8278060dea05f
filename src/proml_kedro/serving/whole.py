"""Whether a Bento is what was built. Its own service asks before it imports anything else of this package."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from proml_kedro.bundle import IntegrityError
from proml_kedro.bundle.integrity import CHECKSUMS, verify

_MANIFEST = "bento.yaml"
_BYTECODE = ("__pycache__",)
_MADE_ANEW = "env/docker/Dockerfile"
"""Written again by ``bentoml containerize``, and read by nobody inside of the image."""


def prove_whole(folder: Path) -> None:
    """Prove that a Bento holds exactly the files that it was built with, code and settings included.

    Args:
        folder: The Bento.

    Raises:
        IntegrityError: It does not; each file is named.
    """
    unread = (_MADE_ANEW,) if os.environ.get("BENTOML_CONTAINERIZED") else ()
    verify(folder, what="Bento", unlisted=_BYTECODE, unread=unread)


def exit_unless_whole(folder: Path) -> None:
    """End the process, with a line for each wrong file and exit code 2, unless a Bento is what was built.

    While it is being built there is nothing to compare with yet: neither its manifest nor its checksums.

    Args:
        folder: The Bento.
    """
    if not (folder / _MANIFEST).exists() and not (folder / CHECKSUMS).exists():
        return
    try:
        prove_whole(folder)
    except IntegrityError as error:
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        sys.exit(error.exit_code)
