"""Where configuration lies: a folder, an archive of one, or the one that is shipped."""

from __future__ import annotations

import atexit
import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path

from proml_kedro.errors import Mistake, UserError

_PACKAGE = Path(__file__).parents[1]


def shipped_conf() -> Path:
    """The groups that come with proml_kedro: inside an installed package, or at the top of a checkout."""
    installed = _PACKAGE / "conf"
    return installed if installed.is_dir() else _PACKAGE.parents[1] / "conf"


def open_conf(source: str | Path) -> Path:
    """The folder that holds ``config.yaml``.

    Args:
        source: That folder, or an archive (``.tar.gz``, ``.tar``, ``.zip``) of it, which is unpacked into a folder that
            goes with the process.

    Raises:
        UserError: It is neither, or holds no ``config.yaml``.
    """
    path = Path(source).resolve()
    if path.is_file():
        path = _unpack(path)
    if not path.is_dir():
        raise UserError(Mistake("", "no such folder of configuration", str(source)))
    if not (path / "config.yaml").is_file():
        raise UserError(
            Mistake("", f"no config.yaml in it; begin with a copy of {shipped_conf() / 'config.yaml'}", str(source))
        )
    return path


def _unpack(archive: Path) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="conf-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                zipped.extractall(folder)  # keeps every member inside of the folder
        else:
            with tarfile.open(archive) as tarred:
                tarred.extractall(folder, filter="data")  # the same, and no links or devices
    except (tarfile.TarError, zipfile.BadZipFile) as error:
        raise UserError(Mistake("", f"cannot be unpacked: {error}", str(archive))) from error
    found = sorted(folder.rglob("config.yaml"), key=lambda file: len(file.parts))
    return found[0].parent if found else folder
