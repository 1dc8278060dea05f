"""What is not what was written: in stored results, in online stores, in Feast's registry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from proml_kedro.artifacts import ArtifactStore
from proml_kedro.errors import UserError, masked
from proml_kedro.result_folder import (
    disown,
    find_damage,
    is_disowned,
    listed_folders,
    record_file,
    remove_unless_used,
)
from proml_kedro.results import UnreadableError
from proml_kedro.workflow import Run
from proml_kedro.workflow.filled import Filled, note_folder
from proml_kedro.workflow.steps.register import feature_store_lock, is_registry_altered, remove_registry

SQLITE = "sqlite"
"""The store that lies in the data folder."""

if TYPE_CHECKING:
    from collections.abc import Callable

    from proml_kedro.features.online.store import OnlineStore


@dataclass(frozen=True)
class Damage:
    """Thing that is not what was written.

    Attributes:
        what: What it is, in words, with its place.
        advice: What makes it anew.
        remove: Sees that nobody believes it any more, so that the next run makes it anew.
        folder: The result's; None of what is no result.
    """

    what: str
    advice: str
    remove: Callable[[], object]
    folder: Path | None = None


def find_all_damage(run: Run) -> Iterator[Damage]:
    """Read every stored result, the registry and the online stores of all problems, and yield what is damaged.

    Args:
        run: Whose data folder it is.

    Raises:
        UserError: An online store cannot be reached; all others were read before.
    """
    yield from _of_results(run.store)
    if is_registry_altered(run):
        what = f"{run.store.data_dir / 'feature_store' / 'registry.db'} is not what a run has written"
        yield Damage(what, "the next run of each problem registers its features anew", partial(remove_registry, run))
    unreached: UserError | None = None
    for problem, setting in online_stores_known(run):
        try:
            yield from _of_online_store(run, problem, setting)
        except UserError as error:
            unreached = unreached or error
    if unreached is not None:
        raise unreached


def online_stores_known(run: Run) -> list[tuple[str, str]]:
    """List problem and setting of every online store that a run has filled last, and of those in the data folder.

    A server that was filled before another setting was chosen is not known any more.
    """
    known: dict[tuple[str, str], None] = {}
    for folder in sorted(one for one in (run.store.data_dir / "feature_store").glob("*") if one.is_dir()):
        if (folder / Filled.FILE).exists():
            known[folder.name, _setting(folder) or run.spec.online_store] = None
        if (folder / "online.db").exists():
            known[folder.name, SQLITE] = None
    return list(known)


def _setting(note: Path) -> str | None:
    try:
        return Filled.read(note).store
    except UnreadableError:
        return None


def _of_results(store: ArtifactStore) -> Iterator[Damage]:
    for folder in listed_folders(store.data_dir / "store"):
        if is_disowned(folder):
            continue
        damaged = find_damage(folder)
        if damaged is None and record_file(folder).exists() and store.record(folder) is None:
            damaged = record_file(folder).name
        if damaged is not None:
            what = f"'{damaged}' of {folder} is not what was written"
            yield Damage(what, "the next run makes the result anew", partial(_disown, folder), folder)


def _disown(folder: Path) -> None:
    disown(folder)
    record_file(folder).unlink(missing_ok=True)


def _of_online_store(run: Run, problem: str, setting: str) -> Iterator[Damage]:
    from proml_kedro.features.online.open import open_store, store_place

    note = note_folder(run.store.data_dir, problem)
    refill = "`kedro run --pipelines=features,materialize` fills it anew"
    online = open_store(store_place(setting, problem, run.store.data_dir), problem)
    try:
        filled = Filled.read(note) if (note / Filled.FILE).exists() else None
    except UnreadableError:
        remove = partial((note / Filled.FILE).unlink, missing_ok=True)
        yield Damage(f"{note / Filled.FILE} cannot be read", refill, remove)
        return
    if filled is not None and filled.store == setting:
        lost = filled.lost(online, list(filled.held))
    else:  # filled under another setting since: what it should hold it says itself
        lost = [view for view in online.watermarks() if not online.is_as_written(view)]
    if lost:
        names = ", ".join(f"'{one}'" for one in lost)
        what = f"the online store of '{problem}' in {masked(setting)} does not hold what was written of {names}"
        yield Damage(what, refill, partial(_forget, run, note, online, lost))


def _forget(run: Run, note: Path, online: OnlineStore, views: Sequence[str]) -> None:
    """Remove views of which not all is as it was written."""
    with feature_store_lock(run):
        (note / Filled.FILE).unlink(missing_ok=True)
        if online.exists() and not online.discard_damaged():
            for view in views:
                online.drop_view(view)


def repair(found: Sequence[Damage], needed: frozenset[Path]) -> None:
    """See that nobody believes what is damaged, and remove damaged results that nothing leads to.

    Args:
        found: What is damaged.
        needed: Folders of results that somebody needs: these stay where they are until they are made anew.
    """
    for one in found:
        one.remove()
        if one.folder is not None and one.folder not in needed:
            remove_unless_used(one.folder)
