"""The marketplace's index: made from the configuration and the results, and kept until one of them changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from proml_kedro.artifacts import code_fingerprint, fingerprint
from proml_kedro.commands.place import Declared, Place
from proml_kedro.features.catalog import Entry, Facts, list_features
from proml_kedro.features.market import FORMAT, Market

_FACTS = ("training_set/training_set.json", "evaluation/importance.json", "bundle/proml.yaml")
"""Results that say something of features, below ``<data>/<problem>/<model>``."""


def open_market(place: Place) -> tuple[Market, list[str]]:
    """The index for this configuration and these results; made when there is none yet.

    Args:
        place: What the command works on.

    Returns:
        The index, and a line for each problem that had to be left out.

    Raises:
        UserError: The configuration is not sound.
    """
    folder = place.data_dir / "features"
    file = folder / f"market-{_fingerprint(place)}.sqlite"
    if file.is_file():
        return Market(file), []
    problems, notices = place.problems()
    inputs = place.model_inputs()
    market = Market.build(file, (entry for one in problems for entry in _entries(one, inputs, place.data_dir)))
    for old in folder.glob("market-*.sqlite"):
        if old != file:
            old.unlink(missing_ok=True)
    if notices:  # they are to be said the next time too
        file.unlink()
    return market, notices


def _fingerprint(place: Place) -> str:
    """A digest of all that the index is made from."""
    return fingerprint(
        {
            "format": FORMAT,
            "code": [code_fingerprint(name) for name in ("features.catalog", "features.market", "commands")],
            "files": {str(file): file.read_text(encoding="utf-8", errors="replace") for file in place.files()},
            "overrides": place.overrides,
            "env": place.env,
            # A result is a link to a folder that never changes.
            "results": [str(file.resolve()) for pattern in _FACTS for file in _results(place.data_dir, pattern)],
        }
    )


def _results(data_dir: Path, pattern: str, problem: str = "*") -> list[Path]:
    return sorted(data_dir.glob(f"{problem}/*/{pattern}"))


def _entries(declared: Declared, inputs: dict[str, list[str]], data_dir: Path) -> Iterator[Entry]:
    names = list(declared.features.columns())
    problem = declared.problem.name
    training_set, importance, bundle = _FACTS
    facts = Facts(
        models={model: reads for model, patterns in inputs.items() if (reads := _reads(patterns, names))},
        bundles=dict(_read_bundle(file) for file in _results(data_dir, bundle, problem)),
        null_share=_merged(_results(data_dir, training_set, problem), "null_share"),
        importance=_merged(_results(data_dir, importance, problem), None),
    )
    return list_features(declared.problem, declared.features, facts, declared.where)


def _reads(patterns: list[str], names: list[str]) -> list[str]:
    """The features that a model reads; none when it was written for another problem."""
    matches = [[name for name in names if fnmatchcase(name, pattern)] for pattern in patterns]
    return sorted({name for found in matches for name in found}) if all(matches) else []


def _read_bundle(file: Path) -> tuple[str, list[str]]:
    import yaml

    content = yaml.load(file.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    return f"{content['name']}:{content['version']}", [one["name"] for one in content["schema"]["inputs"]]


def _merged(files: list[Path], key: str | None) -> dict[str, float]:
    """The largest value that any of the files has for each feature."""
    merged: dict[str, float] = {}
    for file in files:
        content: dict[str, Any] = json.loads(file.read_text())
        for name, value in (content[key] if key else content).items():
            merged[name] = max(value, merged.get(name, value))
    return merged
