"""``conf/problem/*.yaml``: what is predicted, from which tables, learned and tested on which time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from proml_kedro.errors import Mistake, unknown
from proml_kedro.spec.base import Duration, Name, Spec, Sql
from proml_kedro.spec.generator import GENERATED, TABLES, GeneratorSpec
from proml_kedro.spec.split import AnySplit, SplitSpec
from proml_kedro.spec.table import AnyTable, TableSpec

__all__ = ["ExamplesSpec", "LabelSpec", "ProblemSpec", "SplitSpec", "TableSpec", "Task"]

Task = Literal["binary", "multiclass", "regression", "count"]
"""What sort of label there is: a truth value, one of several classes, a number, or how often something happened."""

MOST_CLASSES = 1000
"""Of a label; a model has a margin, a service's answer a number for each."""


def _class_name(value: Any) -> Any:
    """Take whole numbers for names of classes; YAML's truth values and numbers with a fraction are none."""
    if isinstance(value, bool):
        written = "yes, true or on" if value else "no, false or off"
        raise ValueError(f"YAML reads {written} as a truth value; write a class of that name in quotes")
    if isinstance(value, float):
        raise ValueError(f"{value!r} is no name of a class; write it in quotes, as the label's text has it")
    return str(value) if isinstance(value, int) else value


ClassName = Annotated[str, BeforeValidator(_class_name), Field(min_length=1)]
"""What a class is called: text, or a whole number, which stands for its text."""


class ExamplesSpec(Spec):
    """The rows to learn from: one for each thing that is predicted.

    Attributes:
        table: The table that holds them.
        entities: Columns that say whom or what a row is about; feature views are keyed by them. None for a plain table,
            whose rows hold all features themselves.
        timestamp: Column with the moment the example is about, for example the scheduled departure. Without one there
            are no windows, delays and other tables' features, no split by time, and no figures by day.
        lead_time: How long before ``timestamp`` the prediction is made. Features are read as of
            ``timestamp - lead_time``; nothing known later can reach them.
        group: Column that says which rows are alternatives to each other, such as the results of one search;
            rankings are learned and judged within a group.
        weight: SQL; how much each row counts in training, not negative. Every row counts 1 when left out.
    """

    table: Name
    entities: list[Name] = []
    timestamp: Name | None = None
    lead_time: Duration = timedelta(0)
    group: Name | None = None
    weight: Sql | None = None


class LabelSpec(Spec):
    """What is predicted.

    Attributes:
        expression: SQL over the examples' columns; for ``binary`` a truth value, for ``multiclass`` text or a whole
            number, otherwise a number.
        task: What sort of label it is: ``binary``, ``multiclass`` (one of several classes), ``regression`` (any number)
            or ``count`` (0, 1, 2 and so on).
        classes: Of ``multiclass``, in the order that answers have; those of the training part, sorted, when left out.
        ordered: Whether the order of ``classes`` means something, as in `[low, middle, high]`: metrics then also say
            how far off a wrong class is.
        drop_when: SQL; rows for which it holds have no label and are left out of training and evaluation.
    """

    expression: Sql
    task: Task = "binary"
    classes: Annotated[list[ClassName], Field(max_length=MOST_CLASSES)] = []
    ordered: bool = False
    drop_when: Sql | None = None

    @model_validator(mode="after")
    def _fit_the_task(self) -> Self:
        for key in ("classes", "ordered"):
            if getattr(self, key) and self.task != "multiclass":
                raise ValueError(f"{key} is for task 'multiclass', and the task is '{self.task}'")
        if len(self.classes) == 1:
            raise ValueError(f"classes names '{self.classes[0]}' alone; it takes two, or leave the key out")
        twice = next((one for one in self.classes if self.classes.count(one) > 1), None)
        if twice is not None:
            raise ValueError(f"classes names '{twice}' twice")
        if self.ordered and not self.classes:
            raise ValueError("ordered needs classes, in their order")
        return self


class ProblemSpec(Spec):
    """A prediction problem.

    Attributes:
        name: Set from the file's name.
        description: What is predicted, for people.
        tables: The tables by name.
        examples: The rows to learn from.
        label: What is predicted.
        split: Which examples train, which choose and which judge.
        generator: Makes up data, for tables whose source is ``generated:NAME``.
        auxiliary_labels: Further labels that a component may learn beside the one that is predicted, as SQL over the
            examples' columns: truth values or numbers, null where not known.
    """

    name: Name
    description: str = ""
    generator: GeneratorSpec | None = None
    tables: Annotated[dict[Name, AnyTable], Field(min_length=1)]
    examples: ExamplesSpec
    label: LabelSpec
    auxiliary_labels: dict[Name, Sql] = {}
    split: AnySplit

    def generated(self) -> dict[str, str]:
        """Return the tables that are generated, each with the generator's name for it."""
        return {
            name: table.source.removeprefix(GENERATED)
            for name, table in self.tables.items()
            if table.source is not None and table.source.startswith(GENERATED)
        }

    def with_sources(self, sources: Mapping[str, str]) -> Self:
        """Return the same problem, with some tables from elsewhere."""
        tables = {
            name: table.model_copy(update={"source": sources[name]}) if name in sources else table
            for name, table in self.tables.items()
        }
        return self.model_copy(update={"tables": tables})

    def _check_time(self) -> Iterator[Mistake]:
        """Find what needs a moment that examples do not have."""
        if self.examples.timestamp is not None:
            return
        if self.examples.lead_time:
            yield Mistake("examples.lead_time", "is time before examples.timestamp, and there is none")
        if self.split.needs_time:
            instead = "write split: {by: random, validation: 20%, test: 20%}"
            yield Mistake("split", f"by {self.split.by} needs examples.timestamp, and there is none; {instead}")

    def check(self) -> list[Mistake]:
        """Return the names that must exist in another part of the problem and do not."""
        mistakes = [*self._check_time()]
        if self.examples.table not in self.tables:
            mistakes.append(Mistake("examples.table", unknown("table", self.examples.table, self.tables)))
        for name, made in self.generated().items():
            if self.generator is None:
                mistakes.append(Mistake(f"tables.{name}.source", "the problem has no generator; add the key generator"))
            elif made not in TABLES[self.generator.kind]:
                message = unknown("generated table", made, TABLES[self.generator.kind])
                mistakes.append(Mistake(f"tables.{name}.source", message))
        if self.generator is not None and not self.generated():
            mistakes.append(Mistake("generator", f"no table reads from it; write source: {GENERATED}NAME"))
        return mistakes
