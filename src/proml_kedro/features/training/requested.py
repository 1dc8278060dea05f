"""Request features in a training set: columns of the examples' own table, which requests will bring."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from proml_kedro.engine.duckdb import explain, number, quote, sql_type
from proml_kedro.engine.errors import EngineError, MachineError
from proml_kedro.engine.relation import Relation
from proml_kedro.engine.session import connect
from proml_kedro.errors import Mistake, UserError
from proml_kedro.features.tables.stored import Tables
from proml_kedro.features.training.labels import kept
from proml_kedro.spec.feature_ref import FeatureRef
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.problem import ProblemSpec


@dataclass(frozen=True)
class RequestFeature:
    """A feature that comes with the request.

    Attributes:
        ref: Its name.
        expression: SQL over the examples' columns.
        dtype: Its type.
        key: Where it stands in the configuration.
    """

    ref: FeatureRef
    expression: str
    dtype: str
    key: str

    @property
    def sql(self) -> str:
        """Its value as its type."""
        return number(self.expression, self.dtype)


def request_features(features: FeaturesSpec, names: Sequence[str]) -> list[RequestFeature]:
    """Return request features.

    Args:
        features: The problem's features.
        names: Those to return, as ``view.feature``.
    """
    found = []
    for ref in map(FeatureRef.parse, names):
        feature = features.views[ref.view].features[ref.feature]
        key = f"features.{ref.view}.features.{ref.feature}" + (".expression" if feature.expression else "")
        found.append(RequestFeature(ref, feature.expression or quote(ref.feature), feature.dtype, key))
    return found


def check_requested(requested: Sequence[RequestFeature], examples: Relation) -> Iterator[Mistake]:
    """Find expressions that do not work over the examples' table."""
    for one in requested:
        type_, mistake = examples.check_expression(one.expression, one.key)
        if type_ and one.dtype == "int":
            with suppress(EngineError):  # said once the values are computed
                mistake = examples.check_whole(one.expression, type_, one.key)
        if mistake:
            yield mistake


@contextmanager
def blaming(
    problem: ProblemSpec, requested: Sequence[RequestFeature], tables: Path, hardware: HardwareSpec
) -> Iterator[None]:
    """Turn what cannot be computed in the block into mistakes of the request features that it is about.

    Raises:
        UserError: Such a feature has values that are not of its type.
    """
    try:
        yield
    except MachineError:
        raise
    except EngineError as error:
        with connect(hardware) as session:
            examples = Tables(session, tables).relation(problem.examples.table)
            mistakes = list(_failing(requested, examples, kept(problem)))
        if mistakes:
            raise UserError(*mistakes) from error
        raise


def _failing(requested: Sequence[RequestFeature], examples: Relation, condition: str) -> Iterator[Mistake]:
    for one in requested:
        try:
            examples.engine.rows(f"SELECT count({one.sql}) FROM {examples} WHERE {condition}")
        except EngineError as error:
            yield Mistake(one.key, f"cannot be computed as {sql_type(one.dtype)}: {explain(error)}")
