"""The results in a store, as they lie on the disk, and how large they are."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from proml_kedro.artifacts import ArtifactStore
from proml_kedro.result_folder import is_disowned, made_at, raise_unless_gone
from proml_kedro.results.run_record import read_records

UNFINISHED = ".unfinished"
"""End of the name of a folder with checkpoints, of a result that was not completed."""

_FINGERPRINT = re.compile(rf"[0-9a-f]{{16}}(?:{re.escape(UNFINISHED)})?")


@dataclass(frozen=True)
class Stored:
    """Result in the store, or what is left of one.

    Attributes:
        place: Where it lies below the store, with slashes.
        folder: The folder.
        size: Bytes of its files.
        used_last: When it was made or, as far as records of runs tell, made use of last: seconds since 1970.
        is_whole: Whether it is a result; not where it was found damaged, or was never completed.
        made_of: Places of the results that it was made from.
    """

    place: str
    folder: Path
    size: int
    used_last: float
    is_whole: bool
    made_of: tuple[str, ...] = ()

    @property
    def sort(self) -> str:
        """Name of the result, as the catalog has it; ``unfinished`` for checkpoints."""
        return "unfinished" if self.place.endswith(UNFINISHED) else self.folder.parent.name

    @property
    def fingerprint(self) -> str:
        """Digest of what it was made from."""
        return self.folder.name.removesuffix(UNFINISHED)


def take_stock(store: ArtifactStore) -> dict[str, Stored]:
    """List what is in a store, by place."""
    root = store.data_dir / "store"
    used = _used_by_runs(store.data_dir)
    found = {}
    for folder in _folders(root):
        place = folder.relative_to(root).as_posix()
        made, record = made_at(folder), store.record(folder)
        found[place] = Stored(
            place=place,
            folder=folder,
            size=size_of(folder),
            used_last=max(_changed(folder) if made is None else made, used.get(place, 0.0)),
            is_whole=made is not None and not is_disowned(folder),
            made_of=(*record.of.values(), *record.uses) if record else (),
        )
    return dict(sorted(found.items()))


def _folders(root: Path) -> Iterator[Path]:
    """Find the folders of results. Nothing inside of one is looked at."""
    for parent, folders, _ in os.walk(root, onerror=raise_unless_gone):
        results = [one for one in folders if _FINGERPRINT.fullmatch(one)]
        folders[:] = [one for one in folders if one not in results and not one.startswith(".")]
        yield from (one for name in results if not (one := Path(parent, name)).is_symlink())


def _used_by_runs(data_dir: Path) -> dict[str, float]:
    """Return when a run has made use of a result last, by place."""
    used: dict[str, float] = {}
    for _, record in read_records(data_dir, lambda line: None):
        with suppress(ValueError):
            moment = datetime.fromisoformat(record.ended or record.started).timestamp()
            for place in record.results.values():
                used[place] = max(moment, used.get(place, 0.0))
    return used


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder, or of a file; what others remove meanwhile counts nothing."""
    if not folder.is_dir():
        return _size(folder)
    walk = os.walk(folder, onerror=raise_unless_gone)
    return sum(_size(Path(parent, name)) for parent, _, names in walk for name in names)


def _size(file: Path) -> int:
    try:
        return file.lstat().st_size
    except OSError:
        return 0


def _changed(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0
