"""Where each input of a model comes from: a column of its name, the columns it is computed from, or its keys."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from proml_kedro.bundle import Manifest
from proml_kedro.engine.duckdb import (
    TYPES,
    enclosed,
    explain,
    is_moment,
    microseconds,
    moment_literal,
    number,
    quote,
    sql_type,
)
from proml_kedro.engine.errors import DataError
from proml_kedro.engine.relation import Relation
from proml_kedro.errors import Mistake, UserError, unknown
from proml_kedro.features.tables.columns import cast_sql
from proml_kedro.features.tables.keys import key_sql
from proml_kedro.features.tables.text import reading_of
from proml_kedro.features.training.requested import RequestFeature, request_features
from proml_kedro.models.component import Input
from proml_kedro.results import KeyFacts
from proml_kedro.scoring.ranked import WITHIN
from proml_kedro.scoring.rows import Rows
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.feature_ref import FeatureRef
from proml_kedro.spec.features import FeaturesSpec
from proml_kedro.spec.training_set import EVENT_TIMESTAMP, TIMESTAMP


@dataclass(frozen=True)
class Plan:
    """How rows become the inputs of a model.

    Attributes:
        columns: Name → SQL over the rows: keys, ``timestamp`` and ``event_timestamp`` where they are there or needed,
            and inputs that the rows hold themselves.
        kept: Those of them that go with the scores.
        looked_up: Inputs that are read by keys and moment, ``view.feature`` → type.
        neutral: Inputs that the rows do not have, and that have a neutral value.
        computed: Inputs that are computed from other columns.
    """

    columns: dict[str, str] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    looked_up: dict[str, Dtype] = field(default_factory=dict)
    neutral: list[str] = field(default_factory=list)
    computed: dict[str, str] = field(default_factory=dict)

    @property
    def sql(self) -> str:
        """What stands after SELECT; a constant where no column is needed."""
        return ", ".join(f"{sql} AS {quote(name)}" for name, sql in self.columns.items()) or "true AS __row"


class Planner:
    """Finds out where inputs come from.

    Args:
        manifest: Of the bundle.
        rows: What is scored.
        as_of: The moment as of which features are looked up; that of each row when it is None.
    """

    def __init__(self, manifest: Manifest, rows: Rows, as_of: datetime | None) -> None:
        self._schema, self._problem, self._rank = manifest.rows, manifest.problem, manifest.model.rank
        self._features: FeaturesSpec = manifest.features
        self._rows, self._as_of = rows, as_of
        self._mistakes: list[Mistake] = []

    @property
    def _relation(self) -> Relation:
        return self._rows.relation

    def plan(self, inputs: Sequence[Input]) -> Plan:
        """Plan the inputs of a model.

        Raises:
            UserError: One cannot be had from the rows, one line each.
        """
        plan = Plan()
        self._add_keys(plan)
        self._add_moment(plan)
        for one in inputs:
            self._add(one, plan)
        self._add_groups(plan)
        self._check_lookup(plan)
        if self._mistakes:
            raise UserError(*dict.fromkeys(self._mistakes))
        return plan

    def _add_keys(self, plan: Plan) -> None:
        for name, kind in self._schema.entities.items():
            given = self._relation.type_of(name)
            if given is not None:
                plain = name in self._schema.plain_keys
                facts = KeyFacts("BIGINT" if kind == "int" else "VARCHAR", {}, plain)
                as_it_is = given == facts.type and not plain
                plan.columns[name] = quote(name) if as_it_is else key_sql(name, "", facts, given)
                plan.kept.append(name)

    def _add_moment(self, plan: Plan) -> None:
        name = self._schema.timestamp
        given = self._relation.type_of(name) if name is not None else None
        if name is not None and given is not None:
            if is_moment(given) or self._is_empty(name):
                zoned = given == "TIMESTAMP WITH TIME ZONE"
                plan.columns[TIMESTAMP] = quote(name) if zoned else f"CAST({quote(name)} AS TIMESTAMPTZ)"
                plan.kept.append(TIMESTAMP)
            else:
                self._mistakes.append(Mistake(name, f"the column is {given}, not a timestamp"))

    def _is_empty(self, name: str) -> bool:
        """Whether a column of text has no cell, in a table without rows for example: it is of any type."""
        is_text = self._relation.type_of(name) == "VARCHAR"
        return is_text and not self._relation.engine.row(f"SELECT count({quote(name)}) FROM {self._relation}")[0]

    def _add_groups(self, plan: Plan) -> None:
        """Add what rows are ranked within, where the model ranks them."""
        if self._rank is None:
            return
        name = self._rank.column(self._problem)
        if name in plan.columns:
            plan.columns[WITHIN] = f"CAST({plan.columns[name]} AS VARCHAR)"
        elif self._relation.type_of(name) is not None:
            plan.columns[WITHIN] = f"CAST({quote(name)} AS VARCHAR)"
        else:
            self._mistakes.append(Mistake(name, f"{self._no_column(name)}; the model ranks rows within it"))
            return
        plan.kept.append(WITHIN)

    def _add(self, one: Input, plan: Plan) -> None:
        given = self._relation.type_of(one.name)
        if one.is_entity:
            if one.name not in plan.columns:
                self._mistakes.append(Mistake(one.name, self._no_column(one.name)))
        elif given is not None:
            plan.columns[one.name] = _value_sql(quote(one.name), given, one.dtype)
        elif self._features.views[FeatureRef.parse(one.name).view].is_request:
            self._add_requested(one, plan)
        else:
            plan.looked_up[one.name] = one.dtype

    def _add_requested(self, one: Input, plan: Plan) -> None:
        (feature,) = request_features(self._features, [one.name])
        type_, mistake = self._relation.check_expression(feature.expression, one.name)
        if type_ is not None:
            plan.computed[one.name] = plan.columns[one.name] = _value_sql(feature.expression, type_, one.dtype)
        elif one.name in self._schema.neutral:
            plan.neutral.append(one.name)
        elif mistake is not None:
            self._mistakes.append(Mistake(one.name, "; ".join([mistake.message, *self._reasons(feature)])))

    def _reasons(self, feature: RequestFeature) -> Iterator[str]:
        """Say why a derived column that a feature reads could not be derived."""
        for name, why in self._rows.skipped.items():
            if name in feature.expression:
                yield f"'{name}' is derived from others: {why}"

    def _no_column(self, name: str) -> str:
        return unknown("column", name, self._rows.source_columns)

    def _check_lookup(self, plan: Plan) -> None:
        """See that there are keys and a moment for what is looked up."""
        views = dict.fromkeys(FeatureRef.parse(name).view for name in plan.looked_up)
        for view in views:
            for key in self._features.views[view].key:
                if key not in plan.columns:
                    instead = f"features of '{view}' are looked up by it, unless the file has them as columns"
                    self._mistakes.append(Mistake(key, f"{self._no_column(key)}; {instead}"))
        if not views:
            return
        if self._as_of is not None:
            plan.columns[EVENT_TIMESTAMP] = moment_literal(self._as_of)
        elif TIMESTAMP in plan.columns:
            lead = microseconds(self._schema.lead_time)
            plan.columns[EVENT_TIMESTAMP] = f"{plan.columns[TIMESTAMP]} - to_microseconds({lead})"
        elif not self._mistakes:
            name = str(self._schema.timestamp)
            instead = "features are looked up as of it; or give one moment for all rows: --as-of 2024-05-31T12:00Z"
            self._mistakes.append(Mistake(name, f"{self._no_column(name)}; {instead}"))


def _value_sql(expression: str, given: str, dtype: Dtype) -> str:
    """Return a value as an input, in SQL that fails where it is none; whole numbers are never rounded."""
    wanted = sql_type(dtype)
    if given == wanted and dtype in TYPES and _COLUMN.fullmatch(expression):  # rows have null for not-a-number
        return expression
    if given == wanted and dtype in ("int", "bool", "str"):
        return enclosed(expression)
    if dtype == "int" and given == "VARCHAR":
        return reading_of(wanted).sql(enclosed(expression))
    if dtype == "int":
        return cast_sql(enclosed(expression), given, wanted)
    return number(expression, dtype)


_COLUMN = re.compile(r'\w+|"(?:[^"]|"")+"')


def failing(plan: Plan, relation: Relation, inputs: Sequence[Input]) -> Iterator[Mistake]:
    """Find the inputs whose values are not of their type. All rows are read, once for each input.

    Args:
        plan: The plan.
        relation: The rows.
        inputs: The inputs.
    """
    for one in inputs:
        if one.name in plan.columns:
            try:
                relation.engine.rows(f"SELECT count({plan.columns[one.name]}) FROM {relation}")
            except DataError as error:
                yield Mistake(one.name, f"has values that are no {one.dtype}: {explain(error)}")
