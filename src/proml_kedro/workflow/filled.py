"""What a problem's online store was last filled with, and what it has lost of that since."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from proml_kedro.results.json_file import JsonFile

if TYPE_CHECKING:
    from proml_kedro.features.online.store import OnlineStore


@dataclass(frozen=True)
class Filled(JsonFile):
    """``materialized.json``: what the online store of a problem was last filled from, and what it held then.

    Attributes:
        made_from: Digest of what it was filled from.
        held: As :func:`held_by` returns it.
        store: The store, as ``online_store:`` names it.
    """

    FILE = "materialized.json"

    made_from: str
    held: Mapping[str, tuple[str, str]]
    store: str

    def lost(self, online: OnlineStore, views: Collection[str]) -> list[str]:
        """List those of some views that the store should hold and does not, all and unchanged; every row is read."""
        now = held_by(online)
        noted = [one for one in views if one in self.held]
        return [one for one in noted if now.get(one) != self.held[one] or not online.is_as_written(one)]


def held_by(online: OnlineStore) -> dict[str, tuple[str, str]]:
    """Return moment and digest of the history of each view that is complete in an online store."""
    return {name: (one.until.isoformat(), one.history) for name, one in online.watermarks().items()}


def note_folder(data_dir: Path, problem: str) -> Path:
    """Return the folder with the note of a problem: one for all its models, which share the store."""
    return data_dir / "feature_store" / problem
