"""Where a problem's online rows are, and the store that keeps them there."""

from __future__ import annotations

from pathlib import Path

from proml_kedro.features.online.store import Rows

SQLITE = "sqlite"


def rows_at(place: str | Path, project: str) -> Rows:
    """The rows at a place: a SQLite file, or the URL of a Redis server.

    Args:
        place: The file or URL.
        project: The problem's name.
    """
    if str(place).startswith(("redis://", "rediss://")):
        from proml_kedro.features.online.redis import RedisRows

        return RedisRows(str(place), project)
    from proml_kedro.features.online.sqlite import SqliteRows

    return SqliteRows(Path(place), project)


def online_place(online_store: str, project: str, data_dir: Path) -> str:
    """Where a problem's online rows are, for :func:`rows_at`; ``online_store`` is as in ``conf``."""
    return str(online_file(project, data_dir)) if online_store == SQLITE else online_store


def online_file(project: str, data_dir: Path) -> Path:
    """The SQLite file of a problem."""
    return data_dir.resolve() / "feature_store" / project / "online.db"
