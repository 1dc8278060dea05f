"""``training_set``, ``trained_model`` and ``trained_baseline``: what was learned from, and facts about the fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AliasChoices, Field

from proml_kedro.results.json_file import JsonFile, JsonMapping


@dataclass(frozen=True)
class SplitFacts:
    """A part of a training set.

    Attributes:
        rows: How many rows.
        label_mean: Mean of the labels; None without a row, and of classes.
        start: Its first moment, in ISO format, UTC; in the file ``from``.
        to: Its last moment.
        classes: How many rows each class has, where the label is one of several.
    """

    rows: int
    label_mean: Annotated[float | None, Field(validation_alias=AliasChoices("label_mean", "label_rate"))] = None
    start: Annotated[str | None, Field(alias="from")] = None
    to: str | None = None
    classes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingSetFacts(JsonFile):
    """``training_set.json``.

    Attributes:
        rows: How many examples there are.
        dropped: Examples that were left out.
        splits: Each part.
        null_share: Share of missing values of each feature; None without a row.
        classes: Names of the label's classes, in the order of their numbers in the file; empty for other tasks.
    """

    FILE = "training_set.json"

    rows: int
    dropped: int | None = None
    splits: Mapping[str, SplitFacts] = field(default_factory=dict)
    null_share: Mapping[str, float | None] = field(default_factory=dict)
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class FitSummary(JsonMapping):
    """``summary.json`` of a fitted model.

    Attributes:
        components: Facts about each component's fit.
    """

    FILE = "summary.json"
    INDENT = None

    components: Mapping[str, Mapping[str, Any]]

    def notes(self) -> list[str]:
        """List what fits say that they cannot estimate, or only approximate; each with the component's name."""
        return [f"{name}: {note}" for name, facts in self.components.items() for note in facts.get("notes", ())]
