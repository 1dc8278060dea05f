"""The kinds of online store that come with proml_kedro."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from proml_kedro.features.online.kind import OnlineStoreKind

if TYPE_CHECKING:
    from proml_kedro.features.online.store import OnlineStore


class SQLiteKind(OnlineStoreKind):
    """A file in the data folder. Its place is the file's path, without a scheme."""

    form = "sqlite"
    in_data_dir = True

    def check(self, setting: str) -> None:
        """See that nothing else is said: where the file is follows from ``data_dir``."""
        if setting != "sqlite":
            raise ValueError("'sqlite' takes no place: its file is in data_dir; write sqlite")

    def place(self, setting: str, project: str, data_dir: Path) -> str:
        """Return the file of a problem."""
        return str(data_dir.resolve() / "feature_store" / project / "online.db")

    def is_at(self, place: str, project: str) -> bool:
        """Return whether the file exists, whatever is in it."""
        return Path(place).is_file()

    def open(self, place: str, project: str) -> OnlineStore:
        """Open the file."""
        from proml_kedro.features.online.sqlite import SQLiteStore

        return SQLiteStore(Path(place), project)


class RedisKind(OnlineStoreKind):
    """A Redis server, with or without TLS."""

    form = "redis://HOST:PORT/0"
    password_variable = "PROML_REDIS_PASSWORD"  # noqa: S105 (the name of a variable)

    def check(self, setting: str) -> None:
        """See that a host is named."""
        if "://" not in setting or not urlsplit(setting).hostname:
            scheme = urlsplit(setting).scheme or setting
            raise ValueError(f"'{scheme}' is no online store without a host; write {self.form}")

    def open(self, place: str, project: str) -> OnlineStore:
        """Connect to the server with the first command."""
        from proml_kedro.features.online.redis import RedisStore

        return RedisStore(place, project)
