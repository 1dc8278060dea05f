"""Results on disk, addressed by what they were made from.

A result is a folder ``<data>/store/<name>/<fingerprint>``, written under a temporary name and renamed when it is
complete; a file beside it lists what is in it, with digests. So a killed run leaves nothing that a later one could
mistake for a result, a result of which something was deleted or altered is made again, and what was finished is found.

The fingerprint covers data and code too, so it cannot be told from the configuration alone. A second file beside a
result says what it was made from, and a link ``for-<digest of the configuration>`` leads to the newest one of a
configuration: a run that starts from results of earlier ones finds by it those that it would have made itself.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from proml_kedro.atomic import cannot_write, point, remove_abandoned, write_whole
from proml_kedro.digests import as_json, fingerprint
from proml_kedro.errors import Mistake, UserError
from proml_kedro.locks import Claims
from proml_kedro.result_folder import (
    checkpoints_for,
    claim,
    disown,
    find_damage,
    is_whole,
    read_checked,
    record_file,
    replacing,
)
from proml_kedro.source_code import code_fingerprint

logger = logging.getLogger(__name__)


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
    """Recipe of a result: what it is made from as far as the configuration tells. Data and code come on top.

    Attributes:
        name: Where such results go below the store, with slashes.
        configuration: The parts of the configuration that it depends on itself.
        of: The recipes of the results that it is made from, by the names of these among its inputs.
        called: What users call a part of ``configuration``, where that is not its name here.
        said: What the log calls it: whose result it is. Results of several problems or models may be one.
    """

    name: str
    configuration: Mapping[str, Any]
    of: Mapping[str, Recipe] = field(default_factory=dict)
    called: Mapping[str, str] = field(default_factory=dict)
    said: str = ""

    @property
    def title(self) -> str:
        """What the log calls it."""
        return self.said or self.name

    @property
    def digest(self) -> str:
        """Digest that is equal for results that the configuration cannot tell apart."""
        of = {name: one.digest for name, one in self.of.items()}
        return fingerprint({"name": self.name, "configuration": self.configuration, "of": of})


@dataclass(frozen=True)
class Record:
    """Record of what a result was made from.

    Attributes:
        recipe: Digest of its recipe.
        configuration: Of its recipe, as JSON has it.
        of: The results it was made from: their folders below the store, by the names of the recipe.
        parts: Of those of which only a part counts: the fingerprint of that.
        uses: Further results that it was made from, of which the recipe does not know: their folders below the store.
    """

    recipe: str
    configuration: Mapping[str, Any]
    of: Mapping[str, str]
    parts: Mapping[str, str] = field(default_factory=dict)
    uses: tuple[str, ...] = ()


_RECORD = TypeAdapter(Record)

_NESTED: ContextVar[list[Path] | None] = ContextVar("_NESTED", default=None)
"""The results that were made or taken over since the one around them was begun."""


@contextmanager
def _nested(made: list[Path]) -> Iterator[None]:
    """Note in a list what is made or taken over in the block."""
    token = _NESTED.set(made)
    try:
        yield
    finally:
        _NESTED.reset(token)


class ArtifactStore:
    """Store of results: the folder ``store`` below the data folder.

    Args:
        data_dir: The data folder; made on first use.
        reuse: Whether a result that is already there is taken over.
        claims: What is in use beyond the life of this object; results that it makes or takes over are, as long as it
            is there.
    """

    def __init__(self, data_dir: Path, reuse: bool = True, claims: Claims | None = None) -> None:
        self.data_dir = data_dir
        self.reuse = reuse
        self._claims = Claims() if claims is None else claims
        self._sound: set[Path] = set()
        self._again: dict[Path, Callable[[], Artifact]] = {}

    def build(
        self, what: Recipe | str, inputs: Mapping[str, Any], write: Callable[[Path], None], code: tuple[str, ...] = ()
    ) -> Artifact:
        """Make the result of a recipe from ``inputs``, or find it when it is there.

        Args:
            what: The recipe; or, for what no run starts from, only where it goes below the store, with slashes.
            inputs: What it depends on besides the recipe's configuration: artefacts, specs and plain values.
            write: Fills the empty folder it is given. What it makes or takes over itself by :meth:`build` is noted as
                used, so that it stays as long as this result is needed.
            code: Modules below ``proml_kedro`` that ``write`` calls, and libraries; see
                :func:`~proml_kedro.source_code.code_fingerprint`, which finds what these modules import.

        Raises:
            UserError: Nothing can be written there, or no space is left on the disk. Whatever ``write`` raises goes
                through; nothing stays behind.
        """
        recipe = _as_recipe(what)
        folder = self._folder(recipe, inputs, code)
        self._again[folder] = partial(self.build, what, inputs, write, code)
        if self.reuse and claim(folder, self._claims):
            logger.info("%s: unchanged, taken over", recipe.title)
        else:
            for one in inputs.values():
                if isinstance(one, Artifact):
                    self.verify(one)
            logger.info("%s: computing", recipe.title)
            made: list[Path] = []
            with replacing(folder, self._claims, keep=self.reuse) as temporary, _nested(made):
                write(temporary)
            self._sound.add(folder)
            inputs = {**inputs, **{str(one): Artifact(one, one.name) for one in made}}
        self._note(recipe, folder, inputs, leads=recipe is what)
        outer = _NESTED.get()
        if outer is not None:
            outer.append(folder)
        return Artifact(folder, folder.name)

    def build_resumably(
        self,
        what: Recipe | str,
        inputs: Mapping[str, Any],
        write: Callable[[Path, Path], None],
        code: tuple[str, ...] = (),
    ) -> Artifact:
        """Make a result as :meth:`build` does, and go on where a killed process has left it.

        While another run or thread makes the same result, this one waits, and takes over what that one has made.

        Args:
            what: The recipe, or where it goes below the store.
            inputs: What it depends on besides.
            write: Fills the empty folder it is given. The second folder is for checkpoints: it is the same one every
                time the same result is tried, nobody else has it meanwhile, and it is removed once the result is
                complete. It may not exist yet.
            code: As of :meth:`build`.
        """
        recipe = _as_recipe(what)
        folder = self._folder(recipe, inputs, code)
        finished = self.reuse and is_whole(folder)
        with checkpoints_for(folder, recipe.title, wait=not finished) as checkpoints:
            if not self.reuse:
                shutil.rmtree(checkpoints, ignore_errors=True)
            artifact = self.build(what, inputs, lambda temporary: write(temporary, checkpoints), code)
            shutil.rmtree(checkpoints, ignore_errors=True)
        self._again[folder] = partial(self.build_resumably, what, inputs, write, code)
        return artifact

    def verify(self, artifact: Artifact, file: str | None = None) -> None:
        """See that the files of a result are what was written, before the first of this run reads them.

        A result that is damaged is made again, and said. What this run has written is believed.

        Args:
            artifact: The result.
            file: The only one that will be read; None for all of them.

        Raises:
            UserError: It is damaged, and this run has not been told how to make it.
        """
        folder = artifact.path
        if self._is_sound(folder, file):
            return
        again = self._again.get(folder)
        if again is None:
            message = f"'{folder}' is not what was written; run the pipeline that makes it, which makes it anew"
            raise UserError(Mistake("", message))
        again()

    def _is_sound(self, folder: Path, file: str | None = None) -> bool:
        """Tell whether a result, or one file of it, is what was written. One that is not is none from now on.

        A whole result is read once.
        """
        claim(folder, self._claims)
        if folder in self._sound:
            return True
        damaged = find_damage(folder, file)
        if damaged is not None:
            logger.warning("'%s' of %s is not what was written; a run makes the result again", damaged, folder)
            disown(folder)
            return False
        if file is None:
            self._sound.add(folder)
        return True

    def find(self, recipe: Recipe, of: Mapping[str, Collection[str]] | None = None) -> Artifact | None:
        """Find the newest whole result of a recipe; None when there is none.

        Args:
            recipe: What it is to be made from.
            of: Fingerprints of the results that it may have been made from, if it was made from their sort.
        """
        for found in self.find_all(recipe):
            fits = all(
                one.fingerprint in (of or {}).get(name, ())
                for name, one in self.made_of(found).items()
                if name in (of or {})
            )
            if fits and self._is_sound(found.path):
                return found
        return None

    def find_all(self, recipe: Recipe) -> Iterator[Artifact]:
        """Find every result of a recipe that is there with all its files, the newest first."""
        folder = self.data_dir / "store" / recipe.name
        newest = (folder / f"for-{recipe.digest}").resolve()
        others = sorted(folder.glob("*.made"), key=_modified, reverse=True)
        for candidate in dict.fromkeys([folder / newest.name, *(file.with_suffix("") for file in others)]):
            record = self.record(candidate)
            if record is not None and record.recipe == recipe.digest and is_whole(candidate):
                yield Artifact(candidate, candidate.name)

    def record(self, folder: Path) -> Record | None:
        """Read what the result in a folder was made from; None when nothing says so."""
        return read_checked(record_file(folder), _RECORD)

    def holds(self, artifact: Artifact) -> bool:
        """Tell whether a result is there with all its files, as they were written."""
        return is_whole(artifact.path) and self._is_sound(artifact.path)

    def made_of(self, artifact: Artifact) -> dict[str, Artifact]:
        """Return the results that a result was made from, by the names of its recipe."""
        record = self.record(artifact.path)
        if record is None:
            return {}
        folders = {name: self.data_dir / "store" / place for name, place in record.of.items()}
        return {name: Artifact(folder, record.parts.get(name, folder.name)) for name, folder in folders.items()}

    def part(self, whole: Artifact, recipe: Recipe, code: tuple[str, ...]) -> Artifact:
        """Return a result as a part of it that was made by a recipe of its own, for results that read no more.

        Args:
            whole: A result; what it was made from is recorded.
            recipe: How the part alone would be made, from results of the same names.
            code: As of :meth:`build`.

        Returns:
            The result's folder, with the fingerprint that the part alone would have.
        """
        of = self.made_of(whole)
        if of.keys() != recipe.of.keys():
            return whole
        return Artifact(whole.path, self._folder(recipe, of, code).name)

    def _note(self, recipe: Recipe, folder: Path, inputs: Mapping[str, Any], leads: bool) -> None:
        """Write down what a result was made from and, where runs start from it, that it is the newest of its recipe."""
        known = self.record(folder)
        with cannot_write(folder):
            if known is None or known.recipe != recipe.digest:
                places = {name: self._place(one) for name, one in inputs.items() if isinstance(one, Artifact)}
                of = {name: places.pop(name) for name in recipe.of}
                parts = {name: one.fingerprint for name in of if (one := inputs[name]).fingerprint != one.path.name}
                if leads or places:
                    record = Record(recipe.digest, as_json(recipe.configuration), of, parts, tuple(places.values()))
                    write_whole(record_file(folder), json.dumps(asdict(record)))
            if leads:
                point(folder.with_name(f"for-{recipe.digest}"), folder)

    def _place(self, artifact: Artifact) -> str:
        """Return where a result lies below the store."""
        return os.path.relpath(artifact.path, self.data_dir / "store")

    def _folder(self, recipe: Recipe, inputs: Mapping[str, Any], code: tuple[str, ...]) -> Path:
        everything = {**recipe.configuration, **inputs}
        source = self.code_fingerprint(*code) if code else ""
        return (
            self.data_dir
            / "store"
            / recipe.name
            / fingerprint({"name": recipe.name, "inputs": everything, "code": source})
        )

    def code_fingerprint(self, *code: str) -> str:
        """Return :func:`~proml_kedro.source_code.code_fingerprint`, remembering imports in the store."""
        return code_fingerprint(*code, remember=self.data_dir / "store" / "imports.json")

    def remove_abandoned(self) -> None:
        """Remove what processes of this machine that are gone have left half-written in folders of our own."""
        for name in ("store", "feature_store", "features", "runs"):
            remove_abandoned(self.data_dir / name)
        remove_abandoned(self.data_dir, below=False)


def _modified(file: Path) -> int:
    """When a file was changed; of one that another run removes meanwhile, long ago."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


def _as_recipe(what: Recipe | str) -> Recipe:
    return what if isinstance(what, Recipe) else Recipe(what, {})
