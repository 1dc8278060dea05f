"""Whether results may be kept where ``data_dir`` says: never among the files of the project itself."""

from __future__ import annotations

import os
from pathlib import Path

from proml_kedro.errors import Mistake

_KEY = "data_dir"
_LONGEST, _LONGEST_NAME = 350, 200
"""Bytes: SQLite opens no file whose path has more than 504, a name has 255, and ours come behind."""
_PACKAGE = Path(__file__).resolve().parents[1]


def check_data_dir(data_dir: str, base_path: Path, conf: Path) -> list[Mistake]:
    """Find out why a folder cannot hold results; no folder is made, and none needs to be there.

    Args:
        data_dir: The folder as it is written.
        base_path: The folder that holds ``conf``.
        conf: The configuration.
    """
    message = unusable_place(data_dir) or _misplaced(data_dir, base_path, conf)
    return [Mistake(_KEY, message)] if message else []


def unusable_place(data_dir: str) -> str | None:
    """Say why a text is no place of a folder on this machine; None when it is."""
    if not data_dir.strip():
        return "is empty; name a folder for results, such as data"
    if "://" in data_dir:
        return "is not on this machine; name a folder, such as data"
    if data_dir.startswith("~"):
        return "~ is not replaced here; write the folder in full, or ${oc.env:HOME}/…"
    if not data_dir.isprintable():
        return "has characters in it that no folder's name should have"
    return None


def _misplaced(data_dir: str, base_path: Path, conf: Path) -> str | None:
    from kedro.utils import find_kedro_project

    root = find_kedro_project(Path.cwd()) or Path.cwd()
    try:
        folder = (root / data_dir).resolve()
        file = next((one for one in (folder, *folder.parents) if one.is_file()), None)
    except (OSError, RuntimeError) as error:
        return f"cannot be a folder: {getattr(error, 'strerror', None) or 'it leads back to itself'}"
    if len(os.fsencode(folder)) > _LONGEST or any(len(os.fsencode(one)) > _LONGEST_NAME for one in folder.parts):
        return f"the path is too long: {_LONGEST} bytes are the most, and {_LONGEST_NAME} of each folder's name"
    if file is not None:
        return f"{file} is a file; name a folder for results, such as data"
    code = next((one for one in (base_path.resolve(), root, _PACKAGE) if one.is_relative_to(folder)), None)
    if code is not None:
        return f"{folder} holds more than results: {code} is in it; name a folder of its own, such as data"
    inside = next((one for one in (conf.resolve(), _PACKAGE) if folder.is_relative_to(one)), None)
    return f"{folder} lies in {inside}; name a folder of its own, such as data" if inside else None
