"""What the page is told of models and their health: plain values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from proml_kedro.evaluation.metric import higher_is_better
from proml_kedro.results import Consistency
from proml_kedro.workspace.results import ModelResult
from proml_kedro.workspace.snapshot import Snapshot


def models(snapshot: Snapshot) -> list[dict[str, Any]]:
    """List what was run, the newest first."""
    return [
        {
            **_of_model(one),
            "metrics": asdict(one.metrics) if one.metrics else None,
            "higher_is_better": {
                name: higher_is_better(name) for name in (one.metrics.candidate if one.metrics else ())
            },
            "importance": sorted(one.importance.items(), key=lambda item: -item[1]),
            "features": _declared(snapshot, one, one.importance),
            "training_set": asdict(one.training_set) if one.training_set else None,
            "bundle": one.bundle,
        }
        for one in snapshot.results
    ]


def health(snapshot: Snapshot) -> list[dict[str, Any]]:
    """List what the last checks have found, the newest first."""
    return [
        {
            **_of_model(one),
            "drift": one.drift.as_dict() if one.drift else None,
            "features": _declared(snapshot, one, [column.name for column in one.drift.columns] if one.drift else ()),
            "consistency": _sums(one.consistency) if one.consistency else None,
        }
        for one in snapshot.results
    ]


def _sums(consistency: Consistency) -> dict[str, int]:
    """Return what was compared and differs, without the single features."""
    return {name: getattr(consistency, name) for name in ("features", "present", "mismatches")}


def _of_model(result: ModelResult) -> dict[str, Any]:
    return {
        "problem": result.problem,
        "model": result.model,
        "made": result.made,
        "reports": result.reports,
        "unreadable": result.unreadable,
    }


def _declared(snapshot: Snapshot, result: ModelResult, names: Iterable[str]) -> list[str]:
    """Return those of some inputs that are declared features; others come from components or were removed."""
    return [name for name in names if snapshot.market.get(name, result.problem)]
