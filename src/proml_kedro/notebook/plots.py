"""Plots of a training set and of scores: a drawing, its rows, and a sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from proml_kedro.errors import Mistake, UserError, unknown
from proml_kedro.notebook import chart
from proml_kedro.notebook.chart import MIME, Figure, Rows
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

    def run(self, *overrides: str, results: Sequence[str] = ("evaluation",)) -> Mapping[str, Artifact]:
        """Make results."""

    def shelf(self) -> Shelf:
        """Where models with scores are found."""


class Plot(Frame):
    """A drawing that shows itself in a notebook, with the rows that are drawn.

    A notebook that knows Plotly's figures draws one that answers to the pointer; others show the same as SVG.

    Args:
        section: Drawing, sentence and rows.
        figure: The drawing for Plotly, made of the rows.
    """

    def __init__(self, section: Section, figure: Callable[[Rows], Figure]) -> None:
        rows = [dict(zip(section.heading, row, strict=True)) for row in section.rows]
        super().__init__(Frame.of(rows, section.heading).arrow(), section.sentence)
        self.svg = section.drawing
        self.figure = figure(rows)

    def _repr_html_(self) -> str:
        return f"<p>{escape(self.title)}</p>{self.svg}"

    def _repr_mimebundle_(self, **kinds: Any) -> dict[str, Any]:
        return {"text/plain": repr(self), "text/html": self._repr_html_(), MIME: dict(self.figure)}


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
        section = by_feature(feature, values, rows[LABEL].to_numpy(), clusters, (task, confidence))
        return Plot(section, lambda these: chart.bars(these, section.heading[0], section.heading[2]))

    def embedding(self, feature: str, labels: str, split: str | None = None, most: int = 60) -> Plot:
        """Plot vectors in two dimensions: the mean vector of each label, by principal components.

        Labels whose vectors point the same way lie near each other; as far as two dimensions can show, which the
        sentence says. The rows name the three nearest labels by cosine, in all dimensions.

        Args:
            feature: ``view.feature``, a vector.
            labels: The feature that names the points: ``view.feature``, or ``feature`` of the same view.
            split: Of which rows; all when left out.
            most: How many labels to show, those of the most rows.

        Raises:
            UserError: There is no such feature, it is no vector, or fewer than three labels have one.
        """
        from proml_kedro.notebook.embedding import embedding_of
        from proml_kedro.spec.dtype import vector_size

        types = self._project.spec.features.columns()
        name = labels if "." in labels else f"{feature.partition('.')[0]}.{labels}"
        if lost := [one for one in (feature, name) if one not in types]:
            raise UserError(*(Mistake("", unknown("feature", one, types)) for one in lost))
        size = vector_size(types[feature])
        if size is None:
            raise UserError(Mistake("", f"'{feature}' is no vector; plot.label_rate shows it"))
        if vector_size(types[name]) is not None:
            raise UserError(Mistake("", f"'{name}' is a vector; labels are texts or numbers"))
        made = self._project.training_set(features=[feature, name]).arrow([feature, name], split)
        section = embedding_of(made, size, most)
        return Plot(section, lambda rows: chart.points(rows, *section.heading[:3]))

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
        binary = scored.metrics.task == "binary"
        return Plot(
            calibration(rows, rows.cluster_codes(), confidence),
            lambda those: chart.line(those, "said", "seen", diagonal=binary),
        )


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise UserError(Mistake("", f"a confidence is between 0 and 1, such as 0.95, not {confidence:g}"))


def _values(column: Any, dtype: str) -> np.ndarray[Any, Any]:
    from proml_kedro.models.columns import as_array
    from proml_kedro.models.component import Input

    return as_array(column, Input("", dtype), "float64")
