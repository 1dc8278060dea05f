"""An online store as a user would write it: a folder of JSON files, ``jsonfolder:///path``."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from proml_kedro.features.online.kind import OnlineStoreKind
from proml_kedro.features.online.store import NotStoredError, OnlineStore, Watermark

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class JSONFolderKind(OnlineStoreKind):
    """A folder: one file a view and one row file an entity."""

    form = "jsonfolder:///FOLDER"

    def check(self, setting: str) -> None:
        """See that a folder is named, by its whole path."""
        if not setting.startswith("jsonfolder:///") or len(setting) == len("jsonfolder:///"):
            raise ValueError(f"'{setting}' names no folder; write {self.form}")

    def open(self, place: str, project: str) -> OnlineStore:
        """Open the folder of a problem."""
        return JSONFolder(Path(urlsplit(place).path) / project)


class JSONFolder(OnlineStore):
    """Rows as files. Whoever writes holds the lock of the problem, and puts files in place by renaming them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def exists(self) -> bool:
        return self._folder.is_dir() and any(self._folder.glob("*/view.json"))

    def add_view(self, view: str, keys: dict[str, str]) -> None:  # type: ignore[override]
        with self._locked():
            state = self._state(view) or {"watermark": None}
            (self._folder / view).mkdir(exist_ok=True)
            self._put(view, {**state, "keys": dict(keys)})

    def key_types(self, view: str) -> dict[str, str]:
        return self._known(view)["keys"]

    def write(self, view: str, layout: Any, rows: Any) -> None:
        with self._locked():
            for key, moment, made, values in rows:
                file = self._file(view, key)
                if file.exists():
                    old = json.loads(file.read_text())
                    if (old["moment"], old["made"]) > (moment, made):
                        continue
                row = {"moment": moment, "made": made, "layout": layout, "values": values}
                self._replace(file, row)

    def read(self, view: str, keys: Any) -> dict[bytes, Any]:
        self._known(view)
        found = {}
        for key in dict.fromkeys(keys):
            try:
                row = json.loads(self._file(view, key).read_text())
            except FileNotFoundError:
                continue
            found[key] = row["moment"], tuple((name, kind) for name, kind in row["layout"]), row["values"]
        return found

    def drop_view(self, view: str) -> None:
        with self._locked():
            for file in self._rows(view):
                file.unlink()
            (self._folder / view / "view.json").unlink(missing_ok=True)

    def delete_until(self, view: str, until: datetime) -> int:
        limit = (until - EPOCH) // timedelta(microseconds=1)
        with self._locked():
            old = [file for file in self._rows(view) if json.loads(file.read_text())["moment"] <= limit]
            for file in old:
                file.unlink()
        return len(old)

    def watermarks(self) -> dict[str, Watermark]:
        found = {}
        for file in sorted(self._folder.glob("*/view.json")):
            mark = json.loads(file.read_text())["watermark"]
            if mark:
                found[file.parent.name] = Watermark(EPOCH + timedelta(microseconds=mark[0]), mark[1])
        return found

    def set_watermark(self, view: str, until: datetime, history: str) -> None:
        with self._locked():
            mark = [(until - EPOCH) // timedelta(microseconds=1), history]
            self._put(view, {**self._known(view), "watermark": mark})

    def clear_watermark(self, view: str) -> None:
        with self._locked():
            if state := self._state(view):
                self._put(view, {**state, "watermark": None})

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _state(self, view: str) -> Any:
        try:
            return json.loads((self._folder / view / "view.json").read_text())
        except FileNotFoundError:
            return None

    def _known(self, view: str) -> Any:
        state = self._state(view)
        if state is None:
            raise NotStoredError(view)
        return state

    def _put(self, view: str, state: Any) -> None:
        self._replace(self._folder / view / "view.json", state)

    def _rows(self, view: str) -> list[Path]:
        return [file for file in (self._folder / view).glob("*.json") if file.name != "view.json"]

    def _file(self, view: str, key: bytes) -> Path:
        return self._folder / view / f"{hashlib.sha256(key).hexdigest()}.json"

    @staticmethod
    def _replace(file: Path, content: Any) -> None:
        new = file.with_suffix(".new")
        new.write_text(json.dumps(content))
        new.replace(file)
