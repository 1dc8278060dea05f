"""Where the newest result of each name lies, as the catalog says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from glob import escape, iglob
from pathlib import Path

from proml_kedro.results.names import NAMES, PER_MODEL

PROBLEM, MODEL = "<problem>", "<model>"
"""What stands in a pattern for the names of a problem and a model."""

_OTHERS = ("store", "feature_store", "features", "release", "runs")
"""Folders below the data folder that belong to no problem."""


def default_pattern(name: str, data_dir: str) -> str:
    """Return where a result lies when nobody has moved it, with :data:`PROBLEM` and :data:`MODEL` for names."""
    return f"{data_dir}/{PROBLEM}/{MODEL}/{name}" if name in PER_MODEL else f"{data_dir}/{PROBLEM}/{name}"


@dataclass(frozen=True)
class Places:
    """Where the newest result of each name lies: links, of every problem and model.

    A place that names no problem, or no model, is that of the configured one; results of others are where they lie
    when nobody has moved them.

    Attributes:
        data_dir: The data folder, as it is written.
        problem: Name of the configured problem.
        model: Name of the configured model.
        patterns: Place of each result that was moved, as it is written, with :data:`PROBLEM` and :data:`MODEL` where
            a name belongs.
        base: The folder that relative places begin at.
    """

    data_dir: str
    problem: str
    model: str
    patterns: Mapping[str, str] = field(default_factory=dict)
    base: Path = Path()

    def at(self, name: str, problem: str | None = None, model: str | None = None) -> Path:
        """Return the folder of a result, which need not be there.

        Args:
            name: The result, one of :data:`~proml_kedro.results.names.NAMES`.
            problem: The problem; the configured one when it is missing.
            model: The model; the configured one when it is missing.
        """
        return self.base / self.shown(name, problem, model)

    def shown(self, name: str, problem: str | None = None, model: str | None = None) -> Path:
        """Return the folder of a result as users have written it: relative when that is."""
        wanted = (problem or self.problem, model or self.model)
        pattern = self._pattern(name)
        if not self._covers(name, pattern, wanted):
            pattern = default_pattern(name, self.data_dir)
        return Path(pattern.replace(PROBLEM, wanted[0]).replace(MODEL, wanted[1]))

    def find(self, name: str, problem: str | None = None) -> dict[tuple[str, str], Path]:
        """Find every result of a name that is there: problem and model → folder.

        Args:
            name: The result; the model is empty for one that all models share.
            problem: Only those of this problem.
        """
        found: dict[tuple[str, str], Path] = {}
        for pattern in dict.fromkeys([self._pattern(name), default_pattern(name, self.data_dir)]):
            for key, folder in self._match(pattern):
                key = key if name in PER_MODEL else (key[0], "")
                if problem in (None, key[0]) and self.at(name, *key) == folder and folder.is_dir():
                    found.setdefault(key, folder)
        return dict(sorted(found.items()))

    def files(self, name: str, file: str, problem: str | None = None) -> list[Path]:
        """Find a file in every result of a name, in the order of problems and models."""
        return [one for folder in self.find(name, problem).values() if (one := folder / file).is_file()]

    def _pattern(self, name: str) -> str:
        if name not in NAMES:
            raise KeyError(name)
        return self.patterns.get(name) or default_pattern(name, self.data_dir)

    def _covers(self, name: str, pattern: str, wanted: tuple[str, str]) -> bool:
        """Whether a pattern tells where a result of this problem and model lies."""
        is_problem = PROBLEM in pattern or wanted[0] == self.problem
        return is_problem and (MODEL in pattern or name not in PER_MODEL or wanted[1] == self.model)

    def _match(self, pattern: str) -> Iterator[tuple[tuple[str, str], Path]]:
        """Problem, model and folder of all that lies where a pattern says."""
        whole = str(self.base / pattern)
        parts = re.split(f"({PROBLEM}|{MODEL})", whole)
        known: set[str] = set()
        regex = "".join(_group(one, known) if one in (PROBLEM, MODEL) else re.escape(one) for one in parts)
        wildcards = "".join("*" if one in (PROBLEM, MODEL) else escape(one) for one in parts)
        for place in iglob(wildcards):  # noqa: PTH207 - the pattern may be absolute or relative
            match = re.fullmatch(regex, place)
            if match and not self._is_own(Path(place)):
                names = match.groupdict()
                yield (names.get("problem", self.problem), names.get("model", self.model)), Path(place)

    def _is_own(self, folder: Path) -> bool:
        """Whether a folder lies where results are made, or in another folder that belongs to no problem."""
        data = self.base / self.data_dir
        return folder.is_relative_to(data) and folder.relative_to(data).parts[:1] in [(one,) for one in _OTHERS]


def _group(placeholder: str, known: set[str]) -> str:
    """Return the part of a regular expression that matches a name, the same one each time."""
    name = placeholder.strip("<>")
    if name in known:
        return f"(?P={name})"
    known.add(name)
    return f"(?P<{name}>[^/]+)"
