"""``<data_dir>/release/<problem>.json``: which bundle of a problem is live, for whoever serves or compares."""

from __future__ import annotations

import json
from pathlib import Path

from proml_kedro.errors import Mistake, UserError


def live_file(data_dir: Path, problem: str) -> Path:
    """Name the file that says which bundle of a problem is live; it need not be there."""
    return data_dir / "release" / f"{problem}.json"


def live_bundle(file: Path) -> Path:
    """Return the folder of the bundle that the file names; relative ones begin at the data folder.

    Raises:
        UserError: It is not ``{"champion": PATH, …}``.
    """
    try:
        return file.parents[1] / str(json.loads(file.read_bytes())["champion"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = 'is not what says which bundle is live: {"champion": PATH, …}'
        raise UserError(Mistake("", message, str(file))) from error
