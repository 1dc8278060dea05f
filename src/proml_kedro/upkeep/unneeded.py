"""Freeing what nobody needs. While that goes on no link moves, and each result is looked at once more as it goes."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from proml_kedro.atomic import cannot_write, links_lock, lock_beside
from proml_kedro.errors import Mistake, UserError
from proml_kedro.locks import take
from proml_kedro.result_folder import remove_unless_used
from proml_kedro.upkeep.inventory import UNFINISHED, Stored, take_stock
from proml_kedro.upkeep.needed import Needs, find_needs
from proml_kedro.workflow import Run


def may_go(stock: Mapping[str, Stored], needs: Needs, older_than: float = 0.0) -> list[Stored]:
    """List what nobody needs.

    Args:
        stock: What is in the store.
        needs: Who needs what.
        older_than: Only what was not used for so many seconds.
    """
    now = time.time()
    return [one for place, one in stock.items() if place not in needs.needed and now - one.used_last >= older_than]


def free(run: Run, files: Iterable[Path], older_than: float = 0.0) -> list[Stored]:
    """Remove what nobody needs, and what killed runs have left; return what has gone.

    Args:
        run: Whose store it is, and where links lie.
        files: Configuration files, which may name results.
        older_than: Only what was not used for so many seconds.

    Raises:
        UserError: Files cannot be locked here, or cannot be removed.
    """
    with links_lock(run.store.data_dir) as alone:
        if not alone:
            message = f"files cannot be locked in {run.store.data_dir}, so what is in use cannot be told"
            raise UserError(Mistake("data_dir", f"{message}: nothing is freed"))
        stock = take_stock(run.store)
        gone = [one for one in may_go(stock, find_needs(stock, run, files), older_than) if _remove(one)]
        _unlink_dangling(run.store.data_dir / "store")
    run.store.remove_abandoned()
    return gone


def _remove(stored: Stored) -> bool:
    if not stored.place.endswith(UNFINISHED):
        return remove_unless_used(stored.folder)
    with cannot_write(stored.folder):
        lock = take(lock_beside(stored.folder.with_name(stored.fingerprint)))
    if lock is None:  # a run goes on with it just now
        return False
    try:
        shutil.rmtree(stored.folder, ignore_errors=True)
    finally:
        lock.release()
    return True


def _unlink_dangling(store: Path) -> None:
    """Remove the links to the newest results of configurations that lead nowhere any more."""
    for parent, folders, files in os.walk(store):  # passes over what other runs take away meanwhile
        for name in (*folders, *files):
            link = Path(parent, name)
            if name.startswith("for-") and link.is_symlink() and not link.exists():
                with cannot_write(link):
                    link.unlink(missing_ok=True)
