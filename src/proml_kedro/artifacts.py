"""Results on disk, addressed by what they were made from.

A result is a folder ``<data>/store/<name>/<fingerprint>``, written under a temporary name and renamed when it is
complete; a file beside it lists what is in it. So a killed run leaves nothing that a later one could mistake for a
result, a result of which something was deleted is made again, and what was finished is found.

The fingerprint covers data and code too, so it cannot be told from the configuration alone. A second file beside a
result says what it was made from, and a link ``for-<digest of the configuration>`` leads to the newest one of a
configuration: a run that starts from results of earlier ones finds by it those that it would have made itself.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter

from proml_kedro.atomic import (
    cannot_write,
    disk_full,
    lock_beside,
    point,
    remove_abandoned,
    rename_unless_there,
    temporary_beside,
    write_whole,
)
from proml_kedro.locks import take

logger = logging.getLogger(__name__)

T = TypeVar("T")

_PACKAGE = Path(__file__).parent


@dataclass(frozen=True)
class Artifact:
    """A finished result.

    Attributes:
        path: Its folder.
        fingerprint: Digest of everything it was made from.
    """

    path: Path
    fingerprint: str

    def file(self, name: str) -> Path:
        """Path of a file inside."""
        return self.path / name

    def json(self, name: str) -> Any:
        """Content of a JSON file inside."""
        return json.loads(self.file(name).read_text())


@dataclass(frozen=True)
class Recipe:
    """What a result is made from, as far as the configuration tells; data and code come on top.

    Attributes:
        name: Where such results go below the store, with slashes.
        configuration: The parts of the configuration that it depends on itself.
        of: The recipes of the results that it is made from, by the names of these among its inputs.
        called: What users call a part of ``configuration``, where that is not its name here.
    """

    name: str
    configuration: Mapping[str, Any]
    of: Mapping[str, Recipe] = field(default_factory=dict)
    called: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Equal for results that the configuration cannot tell apart."""
        of = {name: one.digest for name, one in self.of.items()}
        return fingerprint({"name": self.name, "configuration": self.configuration, "of": of})


@dataclass(frozen=True)
class Record:
    """What a result was made from.

    Attributes:
        recipe: Digest of its recipe.
        configuration: Of its recipe, as JSON has it.
        of: The results it was made from: their folders below the store, by the names of the recipe.
    """

    recipe: str
    configuration: Mapping[str, Any]
    of: Mapping[str, str]


_LISTING, _RECORD = TypeAdapter(dict[str, int]), TypeAdapter(Record)


class ArtifactStore:
    """Where results are made: the folder ``store`` below the data folder.

    Args:
        data_dir: The data folder; made on first use.
        reuse: Whether a result that is already there is taken over.
    """

    def __init__(self, data_dir: Path, reuse: bool = True) -> None:
        self.data_dir = data_dir
        self.reuse = reuse

    def build(
        self, what: Recipe | str, inputs: Mapping[str, Any], write: Callable[[Path], None], code: tuple[str, ...] = ()
    ) -> Artifact:
        """The result made by a recipe from ``inputs``: found when there is one, otherwise written.

        Args:
            what: The recipe; or, for what no run starts from, only where it goes below the store, with slashes.
            inputs: What it depends on besides the recipe's configuration: artefacts, specs and plain values.
            write: Fills the empty folder it is given.
            code: Modules and packages below ``proml_kedro`` whose source it depends on.

        Raises:
            UserError: Nothing can be written there, or no space is left on the disk. Whatever ``write`` raises goes
                through; nothing stays behind.
        """
        recipe = _as_recipe(what)
        folder = self._folder(recipe, inputs, code)
        if self.reuse and _is_whole(folder):
            logger.info("%s: unchanged, taken over", recipe.name)
        else:
            logger.info("%s: computing", recipe.name)
            with _replacing(folder) as temporary:
                write(temporary)
        if recipe is what:
            self._note(recipe, folder, inputs)
        return Artifact(folder, folder.name)

    def build_resumably(
        self,
        what: Recipe | str,
        inputs: Mapping[str, Any],
        write: Callable[[Path, Path], None],
        code: tuple[str, ...] = (),
    ) -> Artifact:
        """As :meth:`build`, for long work that goes on where a killed process has left it.

        While another run or thread makes the same result, this one waits, and takes over what that one has made.

        Args:
            what: The recipe, or where it goes below the store.
            inputs: What it depends on besides.
            write: Fills the empty folder it is given. The second folder is for checkpoints: it is the same one every
                time the same result is tried, nobody else has it meanwhile, and it is removed once the result is
                complete. It may not exist yet.
            code: Modules and packages whose source it depends on.
        """
        recipe = _as_recipe(what)
        folder = self._folder(recipe, inputs, code)
        finished = self.reuse and _is_whole(folder)
        with _checkpoints(folder, recipe.name, wait=not finished) as checkpoints:
            if not self.reuse:
                shutil.rmtree(checkpoints, ignore_errors=True)
            artifact = self.build(what, inputs, lambda temporary: write(temporary, checkpoints), code)
            shutil.rmtree(checkpoints, ignore_errors=True)
        return artifact

    def find(self, recipe: Recipe, of: Mapping[str, Artifact] | None = None) -> Artifact | None:
        """The newest whole result of a recipe; None when there is none.

        Args:
            recipe: What it is to be made from.
            of: Results that it must have been made from, if it was made from their sort.
        """
        folder = self.data_dir / "store" / recipe.name
        newest = (folder / f"for-{recipe.digest}").resolve()
        others = sorted(folder.glob("*.made"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
        for candidate in dict.fromkeys([folder / newest.name, *(file.with_suffix("") for file in others)]):
            record = self.record(candidate)
            if record is not None and record.recipe == recipe.digest and _is_whole(candidate):
                made_of = self._made_of(record)
                if all(made_of.get(name, one).fingerprint == one.fingerprint for name, one in (of or {}).items()):
                    return Artifact(candidate, candidate.name)
        return None

    def record(self, folder: Path) -> Record | None:
        """What the result in a folder was made from; None when nothing says so."""
        return _read(_made(folder), _RECORD)

    def holds(self, artifact: Artifact) -> bool:
        """Whether a result is there with all its files."""
        return _is_whole(artifact.path)

    def made_of(self, artifact: Artifact) -> dict[str, Artifact]:
        """The results that a result was made from, by the names of its recipe."""
        record = self.record(artifact.path)
        return self._made_of(record) if record else {}

    def _made_of(self, record: Record) -> dict[str, Artifact]:
        folders = {name: self.data_dir / "store" / place for name, place in record.of.items()}
        return {name: Artifact(folder, folder.name) for name, folder in folders.items()}

    def _note(self, recipe: Recipe, folder: Path, inputs: Mapping[str, Any]) -> None:
        """Write down what a result was made from, and that it is the newest of its configuration."""
        known = self.record(folder)
        with cannot_write(folder):
            if known is None or known.recipe != recipe.digest:
                of = {name: f"{one.name}/{inputs[name].fingerprint}" for name, one in recipe.of.items()}
                record = Record(recipe.digest, as_json(recipe.configuration), of)
                write_whole(_made(folder), json.dumps(asdict(record)))
            point(folder.with_name(f"for-{recipe.digest}"), folder)

    def _folder(self, recipe: Recipe, inputs: Mapping[str, Any], code: tuple[str, ...]) -> Path:
        everything = {**recipe.configuration, **inputs}
        source = [code_fingerprint(module) for module in code]
        return (
            self.data_dir
            / "store"
            / recipe.name
            / fingerprint({"name": recipe.name, "inputs": everything, "code": source})
        )

    def remove_abandoned(self) -> None:
        """Remove what processes of this machine that are gone have left half-written."""
        remove_abandoned(self.data_dir / "store")


def _as_recipe(what: Recipe | str) -> Recipe:
    return what if isinstance(what, Recipe) else Recipe(what, {})


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of ``folder`` when it is complete."""
    temporary, old, listing = (temporary_beside(folder) for _ in range(3))
    with cannot_write(folder):
        temporary.mkdir(parents=True)
    try:
        with disk_full(folder):
            yield temporary
            listing.write_text(json.dumps(_sizes(temporary)))  # while a full disk can still keep nothing
            with suppress(FileNotFoundError):
                folder.rename(old)
            rename_unless_there(temporary, folder)
            listing.replace(_listing(folder))
    finally:
        listing.unlink(missing_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _checkpoints(folder: Path, name: str, wait: bool) -> Iterator[Path]:
    """The folder for checkpoints of a result, which nobody else has while the block runs.

    Args:
        folder: Of the result.
        name: What the log calls it.
        wait: Whether to wait for whoever has that folder; otherwise, as where files cannot be locked, it is one of
            this run's own, of which nothing stays.
    """
    shared, lock = folder.with_name(f"{folder.name}.unfinished"), None
    if wait or shared.exists():
        waiting = partial(logger.info, "%s: another run is computing it; waiting for that one", name)
        with cannot_write(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            lock = take(lock_beside(folder), waiting if wait else None)
    if wait and lock is None:
        logger.warning("%s: files cannot be locked here, so if it is stopped, the next run begins afresh", name)
    checkpoints = shared if lock else temporary_beside(folder)
    try:
        yield checkpoints
    finally:
        if lock:
            lock.release()
        else:
            shutil.rmtree(checkpoints, ignore_errors=True)


def _listing(folder: Path) -> Path:
    """The file beside a result that says what is in it; a result without one is not whole."""
    return folder.with_name(f"{folder.name}.files")


def _made(folder: Path) -> Path:
    """The file beside a result that says what it was made from."""
    return folder.with_name(f"{folder.name}.made")


def _sizes(folder: Path) -> dict[str, int]:
    """The size of each file in a folder, as far as it is there: another run may be replacing it."""
    sizes = {}
    for parent, _, names in os.walk(folder):
        for file in (Path(parent, name) for name in names):
            with suppress(FileNotFoundError):
                sizes[file.relative_to(folder).as_posix()] = file.stat().st_size
    return sizes


def _is_whole(folder: Path) -> bool:
    """Whether a result is there with every file that was written."""
    listing = _read(_listing(folder), _LISTING)
    if listing is None or not folder.is_dir():
        return False
    found = _sizes(folder)
    return all(found.get(name) == size for name, size in listing.items())


def _read(file: Path, kind: TypeAdapter[T]) -> T | None:
    """What a file beside a result says; None when it is not there, or damaged."""
    try:
        return kind.validate_python(json.loads(file.read_text()))
    except (OSError, ValueError):
        return None


class Stamp:
    """Remembers what a place that changes, such as a registry, was last made from.

    Args:
        file: Where that is written.
        place: What it is about; when that is gone, nothing is remembered.
    """

    def __init__(self, file: Path, place: Path) -> None:
        self._file = file
        self._place = place

    def matches(self, inputs: Mapping[str, Any]) -> bool:
        """Whether the place was last made from these inputs."""
        return self._place.exists() and self._file.is_file() and self._file.read_text() == fingerprint(inputs)

    def write(self, inputs: Mapping[str, Any]) -> None:
        """Say that the place is now made from these inputs."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(fingerprint(inputs))

    def remove(self) -> None:
        """Say that nothing is known, before the place is changed."""
        self._file.unlink(missing_ok=True)


def fingerprint(value: Any) -> str:
    """A digest of 16 hexadecimal digits; equal values give equal digests, in whatever order their keys are."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=_plain).encode()).hexdigest()[:16]


def as_json(value: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON makes of specs and plain values."""
    content: dict[str, Any] = json.loads(json.dumps(value, default=_plain))
    return content


def _plain(value: Any) -> Any:
    if isinstance(value, Artifact):
        return value.fingerprint
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, timedelta | Path):
        return str(value)
    raise TypeError(f"a result cannot depend on a {type(value).__name__}")


@cache
def code_fingerprint(module: str) -> str:
    """A digest of the source of a module or package below ``proml_kedro``, or the version of an installed package.

    Args:
        module: ``features``, ``models.columns``, or ``==xgboost`` for an installed package.
    """
    if module.startswith("=="):
        return version(module[2:])
    path = _PACKAGE.joinpath(*module.split("."))
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()
