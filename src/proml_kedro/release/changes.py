"""What changed between two runs: configuration, data and code, versions, metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from proml_kedro.artifacts import ArtifactStore, Record
from proml_kedro.results import RunRecord

_ABSENT = "(absent)"


@dataclass(frozen=True)
class Changes:
    """What is different between a run and a later one.

    Attributes:
        facts: Fact of the run itself → its value before and after: problem, model, commit.
        configuration: Dotted key → value before and after, ``(absent)`` where there is none. Keys of results that only
            one of the runs has are left out.
        results: Result → why it is another one, as a sentence; empty for one that is the same.
        versions: Library that both have loaded → its version before and after.
        metrics: Metric → its value before and after.
        unknown: Results whose origin is not known any more: they were freed.
    """

    facts: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    configuration: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    results: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    metrics: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


def find_changes(before: RunRecord, after: RunRecord, store: ArtifactStore) -> Changes:
    """Find what is different between two runs.

    Args:
        before: The one.
        after: The other.
        store: Where their results are.
    """
    shared = [name for name in before.results if name in after.results]
    places = {name: (before.results[name], after.results[name]) for name in shared}
    records = {place: store.record(store.data_dir / "store" / place) for pair in places.values() for place in pair}
    known = {name: _both(records[one], records[other]) for name, (one, other) in places.items()}
    reasons = {name: _reason(*places[name], known[name]) for name in shared}
    return Changes(
        facts=_different(_facts(before), _facts(after)),
        configuration=dict(_configuration(known)),
        results=reasons,
        versions=_different(before.versions, after.versions),
        metrics={
            name: (before.metrics.get(name), after.metrics.get(name))
            for name in dict.fromkeys([*before.metrics, *after.metrics])
            if before.metrics.get(name) != after.metrics.get(name)
        },
        unknown=tuple(name for name, pair in known.items() if pair is None and places[name][0] != places[name][1]),
    )


def _both(one: Record | None, other: Record | None) -> tuple[Record, Record] | None:
    return (one, other) if one is not None and other is not None else None


def _facts(run: RunRecord) -> dict[str, str]:
    return {"problem": run.problem, "model": run.model, "commit": run.commit or _ABSENT}


def _different(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    return {name: (one[name], other[name]) for name in one if name in other and one[name] != other[name]}


def _configuration(known: Mapping[str, tuple[Record, Record] | None]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield the keys that differ, each once, in the order of the results."""
    seen = set()
    for pair in known.values():
        if pair is None:
            continue
        one, other = (dict(flattened(record.configuration)) for record in pair)
        for key in dict.fromkeys([*one, *other]):
            values = one.get(key, _ABSENT), other.get(key, _ABSENT)
            name = key.removeprefix("config.")  # a bundle has the whole configuration under it
            if name not in seen and values[0] != values[1] and set(values) != {"null", _ABSENT}:
                seen.add(name)
                yield name, values


def flattened(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted key and the text of each single value.

    >>> dict(flattened({"trees": {"depth": 3, "inputs": ["a", "b"]}, "seed": None}))
    {'trees.depth': '3', 'trees.inputs.0': 'a', 'trees.inputs.1': 'b', 'seed': 'null'}
    """
    if isinstance(value, Mapping) and value:
        for name, one in value.items():
            yield from flattened(one, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple) and value:
        for place, one in enumerate(value):
            yield from flattened(one, f"{key}.{place}")
    else:
        words = {None: "null", True: "true", False: "false"}
        yield key, words[value] if value is None or isinstance(value, bool) else str(value)


def _reason(one: str, other: str, pair: tuple[Record, Record] | None) -> str:
    """Say why a result is another one; empty for the same one."""
    if one == other:
        return ""
    if pair is None:
        return "another one; what it was made from is not known any more"
    before, after = pair
    causes = [part for part, place in before.of.items() if after.of.get(part) != place]
    causes += [place.split("/")[-2] for place in after.uses if place not in before.uses]
    if before.configuration != after.configuration:
        causes.insert(0, "its configuration")
    return f"made anew because of {' and '.join(causes) or 'its data, code or libraries'}"
