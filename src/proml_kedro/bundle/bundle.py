"""A bundle: everything a trained model needs to be served, judged and repeated, in one folder without any pickle."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import yaml

from proml_kedro.bundle.card import CardFigures, medians_of, read_periods, write_card
from proml_kedro.bundle.frame import read_frame
from proml_kedro.bundle.golden import check_golden, choose_golden, write_golden
from proml_kedro.bundle.how_read import how_read
from proml_kedro.bundle.integrity import CHECKSUMS, IntegrityError, sha256, verify, write_checksums
from proml_kedro.bundle.manifest import Manifest, Schema, describe_inputs
from proml_kedro.bundle.places import Places, places_of
from proml_kedro.bundle.row_scorer import RowScorer, Trace, with_neutral
from proml_kedro.errors import Mistake, UserError
from proml_kedro.locks import Claims
from proml_kedro.models.columns import row_count
from proml_kedro.models.component import Array, Columns, Explanation, Input
from proml_kedro.models.graph import ModelGraph
from proml_kedro.result_folder import claim_around
from proml_kedro.results import FitSummary, TablesFacts
from proml_kedro.results.names import BUNDLE_METRICS, COMPONENTS, MANIFEST, REFERENCE
from proml_kedro.spec import FeaturesSpec
from proml_kedro.spec.inputs import input_types
from proml_kedro.spec.problem import ExamplesSpec
from proml_kedro.spec.rank import RankSpec
from proml_kedro.spec.training_set import EVENT_TIMESTAMP, TIMESTAMP

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class BundleContent:
    """What a bundle is made of.

    Attributes:
        graph: The fitted model.
        config: The resolved configuration of the run as plain values, by the keys of ``RunSpec``.
        training_set: The Parquet file of the training set; golden rows come from its test period.
        metrics: ``candidate``, ``baseline`` and ``differences`` as ``metrics.json`` of the evaluation has them.
        lineage: What the bundle was made from, as plain values.
        tables: How the problem's tables were read, so that rows to be scored are read alike; None when not known.
        classes: Names of the label's classes; empty for other tasks than ``multiclass``.
        reference: What drift checks remember of the data, as JSON; none is written when None.
    """

    graph: ModelGraph
    config: Mapping[str, Any]
    training_set: Path
    metrics: Mapping[str, Any]
    lineage: Mapping[str, Any] = field(default_factory=dict)
    tables: TablesFacts | None = None
    classes: Sequence[str] = ()
    reference: str | None = None


def write_bundle(folder: Path, content: BundleContent, *, name: str, version: str, shown_at: Path) -> None:
    """Write a bundle, then load it again and prove that it scores the golden rows.

    Args:
        folder: An empty folder.
        content: What the bundle is made of.
        name: Letters, digits, ``_ - .``; at most 63.
        version: The same.
        shown_at: The folder in which the user will see the bundle; ``run.yml`` points there.

    Raises:
        IntegrityError: The saved model does not score as the fitted one does.
    """
    graph, config, training_set = content.graph, content.config, content.training_set
    rows = _schema(graph, config, training_set).model_copy(update=how_read(config, content.tables))
    manifest = Manifest(
        name=name,
        version=version,
        description=config["problem"].get("description", ""),
        score=graph.plan.score,
        classes=list(content.classes),
        rows=rows,
        lineage=dict(content.lineage),
        config=dict(config),
    )
    manifest.write(folder)
    (folder / COMPONENTS).mkdir()
    graph.save(folder / COMPONENTS)
    scorer = RowScorer(graph, manifest.features, rows.precision)
    moments = [TIMESTAMP, EVENT_TIMESTAMP] if rows.timestamp else []
    columns = [*rows.entities, *moments, *(one.name for one in rows.inputs)]
    golden = choose_golden(training_set, list(dict.fromkeys(columns)), manifest.serving.golden_rows)
    write_golden(folder, golden, scorer.inputs, manifest.score_output, scorer.score)
    figures = _without_nan(content.metrics)
    (folder / BUNDLE_METRICS).write_text(json.dumps(figures, indent=2, allow_nan=False) + "\n")
    notes = FitSummary.of(graph.summary()).notes()
    told = CardFigures(
        read_periods(training_set, content.classes), figures, notes, medians_of(golden, manifest.rows.inputs)
    )
    write_card(folder, manifest, told, shown_at / "run.yml")
    (folder / "run.yml").write_text(yaml.safe_dump({"run": {"params": {"resolved": str(shown_at / MANIFEST)}}}))
    if content.reference is not None:
        (folder / REFERENCE).write_text(content.reference, encoding="utf-8")
    write_checksums(folder)
    Bundle.load(folder)


def _without_nan(value: Any) -> Any:
    """Plain values with null where a metric is not defined: JSON has no other word for it."""
    if isinstance(value, Mapping):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _schema(graph: ModelGraph, config: Mapping[str, Any], training_set: Path) -> Schema:
    import pyarrow as pa
    import pyarrow.parquet as pq

    examples = ExamplesSpec.model_validate(config["problem"]["examples"])
    features = FeaturesSpec.model_validate(config["features"])
    types = pq.read_schema(training_set)
    entities = {name: "int" if pa.types.is_integer(types.field(name).type) else "str" for name in examples.entities}
    precision = config.get("hardware", {}).get("precision", "float32")
    scorer = RowScorer(graph, features, precision)
    return Schema(
        inputs=describe_inputs({one.name: one.dtype for one in scorer.inputs}, features, entities),
        entities=entities,
        timestamp=examples.timestamp,
        lead_time=examples.lead_time,
        precision=precision,
        neutral=scorer.neutral,
    )


class Bundle:
    """A bundle that was read and proved. As long as it is there, nobody frees its folder.

    Attributes:
        path: Its folder.
        manifest: The content of ``proml.yaml``.
        digest: SHA-256 of ``SHA256SUMS``: one digest for all of it.
        graph: The model.
        claims: Hold the stored result that its folder is, or lies in; empty for a copy elsewhere.
    """

    def __init__(self, path: Path, manifest: Manifest, digest: str, graph: ModelGraph, claims: Claims) -> None:
        self.path = path
        self.claims = claims
        self.manifest = manifest
        self.digest = digest
        self.graph = graph
        self._scorer = RowScorer(graph, manifest.features, manifest.rows.precision, manifest.rows.neutral)

    @classmethod
    def load(cls, path: str | Path, check_golden_rows: bool = True) -> Self:
        """Verify the checksums, load the weights, and score the golden rows.

        Args:
            path: The bundle's folder.
            check_golden_rows: Whether to score them; their checksum is verified in any case.

        Raises:
            IntegrityError: The folder is not what was written, not for this version, or does not score as it did.
        """
        claims = Claims()
        folder = claim_around(Path(path), claims)
        verify(folder)
        manifest = Manifest.read(folder)
        with _written_by_another_version(folder):
            types = input_types(manifest.problem, manifest.features)
            graph = ModelGraph.load(manifest.model, types, folder / COMPONENTS, manifest.problem.label.task)
            bundle = cls(folder, manifest, sha256(folder / CHECKSUMS), graph, claims)
        if [one.name for one in bundle.inputs] != [one.name for one in manifest.rows.inputs]:
            raise IntegrityError.of(folder, f"{MANIFEST}: schema.inputs are not what the model reads")
        if check_golden_rows:
            with _written_by_another_version(folder):
                check_golden(folder, bundle.inputs, manifest, bundle.score)
        return bundle

    @property
    def name(self) -> str:
        """Return the bundle's name."""
        return self.manifest.name

    @property
    def version(self) -> str:
        """Return the bundle's version."""
        return self.manifest.version

    @property
    def classes(self) -> tuple[str, ...]:
        """Name the label's classes, in the order of the numbers of a score; empty for other tasks."""
        return tuple(self.manifest.classes)

    @property
    def inputs(self) -> tuple[Input, ...]:
        """List what a row consists of: the features that are read, on-demand ones replaced by what they are made of."""
        return self._scorer.inputs

    def precision_of(self, one: Input) -> str:
        """Return the floating point type in which :meth:`score` needs an input: ``float32`` or ``float64``."""
        return self._scorer.precision_of(one)

    @property
    def metrics(self) -> dict[str, Any]:
        """Read ``metrics.json``."""
        content: dict[str, Any] = json.loads((self.path / BUNDLE_METRICS).read_text())
        return content

    def score(self, columns: Columns) -> npt.NDArray[np.float64]:
        """Score rows: probabilities, or means of numbers and counts; float64 of shape (n,).

        Where the label has several :attr:`classes` these are the probability of each; shape (n, classes).

        Args:
            columns: Each of :attr:`inputs`, n rows: float64 with NaN for missing, or objects with None for missing.
        """
        return self._scorer.score(columns)

    def trace(self, columns: Columns) -> Trace:
        """Score rows as :meth:`score` does, and keep features and what each component says.

        Args:
            columns: As for :meth:`score`.
        """
        return self._scorer.trace(columns)

    def all_columns(self, columns: Columns) -> Columns:
        """Compute all that components read and say of rows, as they are given it: inputs, and ``component.output``.

        Args:
            columns: As for :meth:`score`.
        """
        return self._scorer.all_columns(columns)

    def inputs_of(self, component: str, columns: Columns) -> Columns:
        """Compute what a component reads of rows: features, and what the components before it say.

        Args:
            component: Name of the component.
            columns: As for :meth:`score`.
        """
        return self._scorer.inputs_of(component, columns)

    def explain(self, columns: Columns) -> Explanation | None:
        """Divide the margin of each row among the model's inputs; None when its last component has no way to.

        Args:
            columns: As for :meth:`score`.
        """
        return self._scorer.explain(columns)

    @property
    def traced(self) -> tuple[Input, ...]:
        """List the features of a trace: :attr:`inputs`, and on-demand ones."""
        return self._scorer.traced

    def order_scores(self, columns: Columns) -> npt.NDArray[np.float64]:
        """Compute scores to put rows in order by; float64 of shape (n,).

        Features with a neutral value, such as the position at which a row was shown, have that value in every row.

        Args:
            columns: As for :meth:`score`; features with a neutral value may be absent.
        """
        return self._scorer.order_scores(columns)

    def explain_frame(self, frame: Any) -> pa.Table:
        """Divide the margins of a data frame's rows among what the model's last component reads.

        Args:
            frame: As for :meth:`score_frame`.

        Returns:
            A row for each row: ``base``, then what each input adds to it; together the margin, in float64.

        Raises:
            UserError: The model cannot be explained, or a column is missing or is not of its type.
        """
        import pyarrow as pa

        columns = read_frame(frame, self.inputs, self._texts)
        if not row_count(columns):
            return pa.table({one: np.zeros(0) for one in ("base", *self._explained)})
        found = self.explain(columns)
        if found is None:
            kind = self.manifest.model.components[self.manifest.model.score].kind
            raise UserError(Mistake("", f"a score by kind '{kind}' cannot be divided among inputs; that of trees can"))
        return pa.table({"base": found.base, **found.contributions})

    def score_frame(self, frame: Any) -> npt.NDArray[np.float64]:
        """Score the rows of a data frame as :meth:`score` does, in the order of its rows.

        Args:
            frame: A ``pandas.DataFrame``, a ``polars.DataFrame``, a ``pyarrow.Table`` or any object that offers Arrow's
                ``__arrow_c_stream__``, with a column for each of :attr:`inputs`, nulls where a value is missing.
                Further columns are ignored.

        Raises:
            UserError: A column is missing or is not of its type, one line each.
        """
        return self.score(read_frame(frame, self.inputs, self._texts))

    @property
    def _texts(self) -> set[str]:
        """The inputs that are text; of keys, which all are categories, those that are."""
        return {one.name for one in self.manifest.rows.inputs if one.dtype == "str"}

    @property
    def _explained(self) -> list[str]:
        return [one.name for one in self.graph.components[self.manifest.model.score].inputs]

    def places(self, columns: Columns, group: Array) -> Places:
        """Place each row in its group as the model's ``rank`` says, from 1; 0 for one that is not shown; shape (n,).

        Args:
            columns: As for :meth:`order_scores`.
            group: A number or text of each row; None is a group of its own. Shape (n,).

        Raises:
            UserError: The model says no ``rank``.
        """
        scores, attributes = self.order_scores(columns), self.attributes(columns)
        return places_of(self.rank, group, scores, attributes)

    def attributes(self, columns: Columns) -> Columns:
        """Return the values that ``rank.at_most`` counts, by its keys, n rows each."""
        known = self._scorer.known(with_neutral(columns, self._scorer.neutral)) if self.rank.at_most else {}
        return {name: known[name] for name in self.rank.at_most}

    def rank_frame(self, frame: Any) -> Places:
        """Place the rows of a data frame as :meth:`places` does, in the order of its rows.

        Args:
            frame: As for :meth:`score_frame`; it has also the column of ``rank.within``, by its name in the examples'
                table, and may lack features with a neutral value.

        Raises:
            UserError: A column is missing or is not of its type, or the model says no ``rank``.
        """
        within = Input(self.rank.column(self.manifest.problem), "str")
        inputs = [one for one in self.inputs if one.name not in self._scorer.neutral]
        columns = dict(read_frame(frame, [*dict.fromkeys([*inputs, within])]))
        return self.places(columns, columns[within.name])

    @property
    def rank(self) -> RankSpec:
        """Say how rows are put in order.

        Raises:
            UserError: The model does not say it.
        """
        found = self.graph.spec.rank
        if found is None:
            raise UserError(Mistake("model.rank", f"{self.manifest.tag} says no rank, such as rank: {{within: group}}"))
        return found


@contextmanager
def _written_by_another_version(folder: Path) -> Iterator[None]:
    """Say in one line that a bundle cannot be read, whatever a component raises over files of another version.

    Raises:
        IntegrityError: The block raised an error. The files are as they were written, so that their format is to blame.
    """
    try:
        yield
    except IntegrityError:
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        message = f"another version of proml_kedro wrote it, which this one cannot read ({why}); train and package anew"
        raise IntegrityError.of(folder, message) from error
