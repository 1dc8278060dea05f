"""Plots of a training set and of scores: a drawing, its rows, and a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from proml_kedro.errors import Mistake, UserError, unknown
from proml_kedro.notebook.frame import Frame
from proml_kedro.spec.training_set import DAY, EXAMPLE_ID, LABEL

if TYPE_CHECKING:
    from proml_kedro.artifacts import Artifact
    from proml_kedro.evaluation.sections import Section
    from proml_kedro.notebook.training import TrainingSet
    from proml_kedro.release.scored import Shelf
    from proml_kedro.spec import RunSpec


class Source(Protocol):
    """What plots need of a project."""

    @property
    def spec(self) -> RunSpec:
        """Its configuration."""

    def training_set(self, problem: str | None = None, features: Sequence[str] | None = None) -> TrainingSet:
        """Its training set."""

    def run(self, *overrides: str, results: Sequence[str] = ("evaluation",)) -> dict[str, Artifact]:
        """Make results."""

    def shelf(self) -> Shelf:
        """Where models with scores are found."""


class Plot(Frame):
    """A drawing that shows itself in a notebook, with the rows that are drawn.

    Args:
        section: Drawing, sentence and rows.
    """

    def __init__(self, section: Section) -> None:
        rows = [dict(zip(section.heading, row, strict=True)) for row in section.rows]
        super().__init__(Frame.of(rows, section.heading).arrow(), section.sentence)
        self.svg = section.drawing

    def _repr_html_(self) -> str:
        return f"<p>{escape(self.title)}</p>{self.svg}"


class Plots:
    """Plots of the project's problem.

    Args:
        project: The project.
    """

    def __init__(self, project: Source) -> None:
        self._project = project

    def label_rate(
        self, feature: str, by: str | None = None, split: str | None = "train", confidence: float = 0.95
    ) -> Plot:
        """Plot the share of positive labels, or the mean label, against a feature, in buckets of about equal mass.

        Args:
            feature: ``view.feature``: numbers in buckets, categories by name.
            by: Column whose equal values make a cluster, from which intervals come: ``group``, ``day``, an entity.
                The day when left out, or each row where there is none.
            split: Of which rows; None for all.
            confidence: Of the intervals.

        Raises:
            UserError: There is no such column, or it is a vector.
        """
        from proml_kedro.evaluation.sections import by_feature
        from proml_kedro.spec.dtype import vector_size

        _check_confidence(confidence)
        types = self._project.spec.features.columns()
        if feature not in types:
            raise UserError(Mistake("", unknown("feature", feature, types)))
        if vector_size(types[feature]) is not None:
            raise UserError(Mistake("", f"'{feature}' is a vector; plot.embedding shows it"))
        made = self._project.training_set(features=[feature])
        cluster = by or (DAY if DAY in made.columns else EXAMPLE_ID)
        rows = made.arrow(list(dict.fromkeys([feature, LABEL, cluster])), split)
        clusters = rows[cluster].combine_chunks().dictionary_encode().indices.fill_null(-1).to_numpy() + 1
        task = self._project.spec.problem.label.task
        values = _values(rows[feature], types[feature])
        return Plot(by_feature(feature, values, rows[LABEL].to_numpy(), clusters, (task, confidence)))

    def calibration(self, model: str | None = None, confidence: float = 0.95) -> Plot:
        """Plot what happened against what was said, in bins of equal mass, on the test period.

        Args:
            model: A run, bundle, evaluation or model, as for `kedro compare`; the configured one when left out, which
                is made if it is not there.
            confidence: Of the intervals.

        Raises:
            UserError: There is no such model, or its label is a class.
        """
        from proml_kedro.evaluation.sections import calibration
        from proml_kedro.release.aligned import Aligned

        _check_confidence(confidence)
        if model is None:
            model = str(self._project.run()["evaluation"].path)
        scored = self._project.shelf().read(model)
        if scored.metrics.task == "multiclass":
            raise UserError(Mistake("", "a label of several classes has a curve for each; the report shows them"))
        rows = Aligned([scored, scored], []).pair(1, scored.metrics.cluster_by, None)
        return Plot(calibration(rows, rows.cluster_codes(), confidence))


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise UserError(Mistake("", f"a confidence is between 0 and 1, such as 0.95, not {confidence:g}"))


def _values(column: Any, dtype: str) -> np.ndarray[Any, Any]:
    from proml_kedro.models.columns import as_array
    from proml_kedro.models.component import Input

    return as_array(column, Input("", dtype), "float64")
