"""The registry of a problem's models: numbered versions, which of them is live, and what was live before.

``<data_dir>/release`` holds for each problem a log, whose lines say everything; a folder for each version, with its
bundle and the evaluation that it was judged by; and ``<problem>.json``, which says what is live to whoever serves.
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from proml_kedro.atomic import cannot_write, disk_full, lock_beside, remove_abandoned, temporary_beside, write_whole
from proml_kedro.bundle import Bundle
from proml_kedro.bundle.integrity import verify
from proml_kedro.errors import Mistake, UserError, unknown
from proml_kedro.locks import take
from proml_kedro.release.log import Action, Event, Log
from proml_kedro.results.live import live_file

Stage = Literal["champion", "challenger", "archived"]


@dataclass(frozen=True)
class Version:
    """A registered model.

    Attributes:
        number: From 1.
        stage: ``champion`` is live; ``challenger`` has not been yet; ``archived`` was, or never will be.
        registered: The line that says where it comes from.
        folder: Holds ``bundle`` and, where it is known, ``evaluation``.
    """

    number: int
    stage: Stage
    registered: Event
    folder: Path

    @property
    def bundle(self) -> Path:
        """Folder of its bundle."""
        return self.folder / "bundle"


@dataclass(frozen=True)
class Registered:
    """What a log comes to.

    Attributes:
        versions: By number.
        live: Versions that were live one after the other and were neither rolled back nor retired; the last one is.
        log: The log.
    """

    versions: dict[int, Version]
    live: Sequence[int]
    log: Log

    @property
    def champion(self) -> Version | None:
        """Return the version that is live; None as long as none was promoted."""
        return self.versions[self.live[-1]] if self.live else None

    @property
    def before(self) -> Version:
        """Return the version that was live before the one that is.

        Raises:
            UserError: There is none.
        """
        if len(self.live) < 2:
            only = "no version is live" if not self.live else f"version {self.live[0]} is the first that is live"
            raise UserError(Mistake("", f"there is nothing to go back to: {only}"))
        return self.versions[self.live[-2]]

    def version(self, number: int) -> Version:
        """Return a version.

        Raises:
            UserError: There is none of this number.
        """
        if number not in self.versions:
            known = [str(one) for one in self.versions]
            raise UserError(Mistake("", unknown("version", str(number), known), "argument VERSION"))
        return self.versions[number]


@dataclass(frozen=True)
class Registry:
    """The registry of a problem. Whatever changes it is done by one process at a time.

    Attributes:
        data_dir: The data folder.
        problem: Name of the problem.
    """

    data_dir: Path
    problem: str

    @property
    def pointer(self) -> Path:
        """File that says what is live."""
        return live_file(self.data_dir, self.problem)

    @property
    def log(self) -> Path:
        """File of the log."""
        return self.pointer.with_suffix(".log")

    def read(self) -> Registered:
        """Read what is registered.

        Raises:
            UserError: The log was altered, or does not hold what was made live.
        """
        log = Log.read(self.log)
        self._check_pointer(log)
        stages: dict[int, Stage] = {}
        live: list[int] = []
        origin: dict[int, Event] = {}
        for event in log.events:
            if event.action == "register":
                origin[event.version] = event
                stages[event.version] = "challenger"
            elif event.action == "retire":
                stages[event.version] = "archived"
                live = [one for one in live if one != event.version]
            else:
                stages.update(dict.fromkeys(live[-1:], "archived"))
                live = [*live, event.version] if event.action == "promote" else live[:-1]
                stages[event.version] = "champion"
        folder = self.pointer.with_suffix("")
        versions = {number: Version(number, stages[number], origin[number], folder / str(number)) for number in origin}
        return Registered(versions, live, log)

    def register(self, bundle: Path, evaluation: Path | None, why: str) -> Version:
        """Copy a bundle, with the evaluation that it was judged by, as a new version; the same one only once.

        Args:
            bundle: Its folder; it is proved by its golden rows.
            evaluation: Folder of the evaluation; None where it is not known.
            why: What is to be remembered of it.

        Raises:
            UserError: It is not sound, or of another problem.
        """
        loaded = Bundle.load(bundle)
        if (name := loaded.manifest.problem.name) != self.problem:
            message = f"is of problem '{name}'; write problem={name} behind it"
            raise UserError(Mistake("", message, str(bundle)))
        with self._alone() as now:
            for one in now.versions.values():
                if one.registered.digest == loaded.digest:
                    if not _is_sound(one):
                        shutil.rmtree(one.folder, ignore_errors=True)
                        _copy(loaded, evaluation, one.folder)
                    return one
            folders = self.pointer.with_suffix("")
            there = [int(one.name) for one in folders.glob("[0-9]*") if one.name.isdecimal()]
            number = max([*now.versions, *there], default=0) + 1  # a folder without a line is not ours to remove
            _copy(loaded, evaluation, folders / str(number))
            self._note(now.log, "register", number, loaded.digest, why)
        return self.read().version(number)

    def promote(
        self, version: Version, why: str, forced: Sequence[str], seen: Registered, check: Callable[[], object]
    ) -> None:
        """Make a version live.

        Args:
            version: Which.
            why: For the log.
            forced: What spoke against it and is passed over.
            seen: What was registered when it was judged.
            check: Is called when nobody else can change anything any more; what it raises prevents the change.

        Raises:
            UserError: Somebody else has changed what is live since, or it is live already.
        """
        with self._alone() as now:
            _refuse_if_changed(seen, now)
            if now.version(version.number).stage != version.stage:
                message = f"version {version.number} is {now.version(version.number).stage} meanwhile; look at it first"
                raise UserError(Mistake("", message))
            check()
            before = now.champion
            head = self._note(now.log, "promote", version.number, version.registered.digest, why, forced)
            self._point(version, before, head)

    def rollback(self, why: str, forced: Sequence[str], seen: Registered, check: Callable[[], object]) -> Version:
        """Make the version live again that was before this one.

        Args:
            why: For the log.
            forced: What speaks against it and is passed over.
            seen: What was registered when it was looked at.
            check: As of :meth:`promote`.

        Raises:
            UserError: There is none, or somebody else has changed what is live since.
        """
        with self._alone() as now:
            _refuse_if_changed(seen, now)
            version = now.before
            check()
            *older, back, _ = now.live
            head = self._note(now.log, "rollback", back, version.registered.digest, why, forced)
            self._point(version, now.versions[older[-1]] if older else None, head)
        return version

    def retire(self, version: Version, why: str) -> None:
        """Archive a version: nobody promotes it by mistake.

        Raises:
            UserError: It is live.
        """
        with self._alone() as now:
            if now.champion and now.champion.number == version.number:
                message = f"version {version.number} is live; promote another one, or roll back, before"
                raise UserError(Mistake("", message))
            self._note(now.log, "retire", version.number, version.registered.digest, why)

    def is_said(self, now: Registered) -> bool:
        """Tell whether the file for those who serve says what the log comes to."""
        if now.champion is None:
            return True
        said = _said(self.pointer)
        wanted = _relative(now.champion, self.data_dir), now.champion.registered.digest
        return (said.get("champion"), said.get("digest")) == wanted

    def finish(self) -> None:
        """Finish what a process that was killed, or found the disk full, has left."""
        with self._alone():
            pass

    @contextmanager
    def _alone(self) -> Iterator[Registered]:
        """Keep everybody else from changing it, finish what a killed process has left, and read what is registered."""
        with cannot_write(self.pointer):
            self.pointer.parent.mkdir(parents=True, exist_ok=True)
            lock = take(lock_beside(self.pointer), lambda: None)
        if lock is None:
            message = (
                f"{self.pointer.parent} is on a file system without locks, so two could change what is live at once"
            )
            raise UserError(Mistake("data_dir", message))
        try:
            now = self.read()
            self._finish(now)
            yield now
        finally:
            lock.release()

    def _finish(self, now: Registered) -> None:
        """Write the file that says what is live, where a process was killed after its line in the log."""
        if now.champion and not self.is_said(now):
            self._point(now.champion, now.versions[now.live[-2]] if len(now.live) > 1 else None, now.log.head)

    def _check_pointer(self, log: Log) -> None:
        """Refuse a log whose last lines were taken away: what is live names the line that made it so."""
        said = _said(self.pointer)
        known = {one.before for one in log.events} | {log.head}
        if "entry" in said and said["entry"] not in known:
            message = f"was made by a line that {self.log.name} does not have; restore the log from a copy"
            raise UserError(Mistake("", message, str(self.pointer)))

    def _note(self, log: Log, action: Action, version: int, digest: str, why: str, forced: Sequence[str] = ()) -> str:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        event = Event(action, version, digest, at, by_whom(), why, tuple(forced), log.head)
        with disk_full(self.log), cannot_write(self.log):
            return log.append(self.log, event)

    def _point(self, version: Version, before: Version | None, head: str) -> None:
        content = {
            "champion": _relative(version, self.data_dir),
            "previous": _relative(before, self.data_dir) if before else None,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "by": by_whom(),
            "version": version.number,
            "digest": version.registered.digest,
            "entry": head,
        }
        with disk_full(self.pointer), cannot_write(self.pointer):
            write_whole(self.pointer, json.dumps(content, indent=1) + "\n")


def _is_sound(version: Version) -> bool:
    try:
        verify(version.bundle)
    except UserError:
        return False
    return True


def _copy(bundle: Bundle, evaluation: Path | None, folder: Path) -> None:
    """Copy what a version is made of; whole, or not at all."""
    folder.parent.mkdir(exist_ok=True)
    remove_abandoned(folder.parent)
    temporary = temporary_beside(folder)
    try:
        with disk_full(folder), cannot_write(folder):
            shutil.copytree(bundle.path, temporary / "bundle")
            if evaluation is not None:
                shutil.copytree(evaluation.resolve(), temporary / "evaluation")
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def by_whom() -> str:
    """Name who is at work: the user and the machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # of a container, whose user has no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _relative(version: Version, data_dir: Path) -> str:
    return version.bundle.relative_to(data_dir).as_posix()


def _said(pointer: Path) -> dict[str, object]:
    try:
        said = json.loads(pointer.read_bytes())
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _refuse_if_changed(seen: Registered, now: Registered) -> None:
    was, changed = seen.champion, now.champion
    if seen.live != now.live and changed is not None:
        last = next(one for one in reversed(now.log.events) if one.action in ("promote", "rollback"))
        instead = f"version {was.number}" if was else "none"
        message = f"{last.by} has made version {changed.number} live meanwhile, where {instead} was; look at it first"
        raise UserError(Mistake("", message))
