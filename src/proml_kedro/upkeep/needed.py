"""Who needs which stored result: links, and so live bundles; Feast's registry; configuration files; processes."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from proml_kedro.errors import Mistake, UserError
from proml_kedro.locks import NoLocksError
from proml_kedro.result_folder import is_in_use
from proml_kedro.results import NAMES
from proml_kedro.upkeep.inventory import Stored
from proml_kedro.workflow import Run

_OWN = ("store", "feature_store", "features", "runs")
"""Folders below the data folder in which no link of people is looked for."""

IN_USE = "a running process"
REGISTRY = "Feast's registry"


@dataclass(frozen=True)
class Needs:
    """Who needs results.

    Attributes:
        users: Place of a result → who needs it by itself; whoever has none there may need it for another.
        needed: Places of all results that are needed: by somebody, or since one that is needed was made from them.
    """

    users: Mapping[str, tuple[str, ...]]
    needed: frozenset[str]


def find_needs(stock: Mapping[str, Stored], run: Run, files: Iterable[Path]) -> Needs:
    """Find out who needs which results.

    Args:
        stock: What is in the store.
        run: Whose store it is, and where links lie.
        files: Configuration files, which may name results.

    Raises:
        UserError: Files cannot be locked here, so that nobody can tell what running processes use.
    """
    users: dict[str, list[str]] = defaultdict(list)
    for user, place in (*_linked(stock, run), *_named(stock, run, files), *_in_use(stock)):
        if user not in users[place]:
            users[place].append(user)
    made_of = {place: one.made_of for place, one in stock.items()}
    named = {place: tuple(names) for place, names in users.items() if place in stock}
    return Needs(named, frozenset(_closure(named, made_of)))


def _closure(roots: Iterable[str], made_of: Mapping[str, Iterable[str]]) -> set[str]:
    """Return some places and all that they were made from."""
    reached: set[str] = set()
    waiting = list(roots)
    while waiting:
        place = waiting.pop()
        if place not in reached:
            reached.add(place)
            waiting += made_of.get(place, ())
    return reached


def _linked(stock: Mapping[str, Stored], run: Run) -> Iterator[tuple[str, str]]:
    """Yield each link with the place that it leads to, or into."""
    root = (run.store.data_dir / "store").resolve()
    for link in dict.fromkeys([*_links(run.store.data_dir), *_moved_links(run)]):
        with suppress(OSError, ValueError, RuntimeError):  # a link to itself
            parts = link.resolve().relative_to(root).parts
            for length in range(1, len(parts) + 1):
                if (place := "/".join(parts[:length])) in stock:
                    yield str(link), place


def _links(data_dir: Path) -> Iterator[Path]:
    """Find every link below the data folder that is not the store's own."""
    for parent, folders, files in os.walk(data_dir):
        if Path(parent) == data_dir:
            folders[:] = [one for one in folders if one not in _OWN or Path(parent, one).is_symlink()]
        yield from (one for name in (*folders, *files) if (one := Path(parent, name)).is_symlink())


def _moved_links(run: Run) -> Iterator[Path]:
    """Find the links that the catalog keeps elsewhere."""
    for name in NAMES:
        yield from run.places.find(name).values()


def _named(stock: Mapping[str, Stored], run: Run, files: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """Yield who names a result by its fingerprint: the registry holds paths, and so may configuration files."""
    registry = run.store.data_dir / "feature_store" / "registry.db"
    texts = {str(file): _read(file) for file in files}
    texts |= {REGISTRY: _read(registry), "the configuration": run.spec.model_dump_json().encode()}
    for user, content in texts.items():
        yield from ((user, place) for place, one in stock.items() if one.fingerprint.encode() in content)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _in_use(stock: Mapping[str, Stored]) -> Iterator[tuple[str, str]]:
    for place, one in stock.items():
        try:
            if is_in_use(one.folder):
                yield IN_USE, place
        except NoLocksError as error:
            message = f"{error}, so what running processes use cannot be told"
            raise UserError(Mistake("data_dir", message)) from error
