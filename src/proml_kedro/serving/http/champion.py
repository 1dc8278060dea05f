"""Which bundle of a problem is live: the one that ``<data_dir>/release/<problem>.json`` names, else the newest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from proml_kedro.errors import Mistake, UserError
from proml_kedro.results.live import live_bundle
from proml_kedro.results.names import MANIFEST


@dataclass(frozen=True)
class Champion:
    """The live bundle of a problem, looked up anew each time.

    Attributes:
        file: ``{"champion": PATH, "previous": PATH, "at": MOMENT, "by": NAME}``, replaced as a whole; it need not be
            there. Relative paths begin at the data folder. None where the newest is wanted whichever is live.
        newest: Link to the newest bundle, which is live where the file is not there.
    """

    file: Path | None
    newest: Path

    def __call__(self) -> Path:
        """Return the folder of the live bundle.

        Raises:
            UserError: The file is broken, or there is no such bundle.
        """
        if self.file is None or not self.file.exists():
            return _bundle(self.newest, "the newest bundle")
        return _bundle(live_bundle(self.file), str(self.file))

    def state(self) -> tuple[int, int] | None:
        """Return what changes whenever the file is replaced; None while it is not there."""
        if self.file is None:
            return None
        try:
            found = self.file.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns


def _bundle(folder: Path, where: str) -> Path:
    if not (folder / MANIFEST).is_file():
        raise UserError(Mistake("", f"there is no bundle at {folder}", where))
    return folder
