"""``kind: expression``: whatever the language of on-demand features can say of features and outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from proml_kedro.errors import Mistake
from proml_kedro.models.producers.base import VALUE, Producer
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.expression import columns, parse
from proml_kedro.spec.expression_types import check_dtype
from proml_kedro.spec.outputs import Output
from proml_kedro.spec.problem import ProblemSpec, Task

if TYPE_CHECKING:
    from proml_kedro.models.component import Array


class Expression(Producer):
    """An expression over features, written ``view.feature``, outputs of other components, and keys.

    It means what it means as an on-demand feature, but for the precision of its inputs, which is that of models.

    Attributes:
        expression: Such as ``similarity.value * ln(job.age)``; what it names are the inputs.
        dtype: Of its value; ``int`` rounds.
        of: Set from the expression.
    """

    takes_vectors: ClassVar[bool] = True
    takes_categories: ClassVar[bool] = True

    kind: Literal["expression"]
    expression: str
    dtype: Literal["float", "int", "bool", "str"] = "float"
    inputs: Annotated[list[str], Field(alias="of")] = []

    @field_validator("expression")
    @classmethod
    def _readable(cls, value: str) -> str:
        if not columns(parse(value)):
            raise ValueError("names no feature or output")
        return value

    @model_validator(mode="before")
    @classmethod
    def _inputs_named(cls, data: Any) -> Any:
        try:
            named = columns(parse(data["expression"]))
        except (KeyError, TypeError, ValueError):
            return data  # the field says it
        if data.get("of", named) != named:
            raise ValueError("of: is read from the expression; leave it out")
        return {**data, "of": named}

    def outputs(self, task: Task) -> tuple[Output, ...]:
        """Name the one output and its type."""
        return (Output(VALUE, self.dtype),)

    def input_key(self, position: int) -> str:
        """Name the key of the expression."""
        return "expression"

    def check(self, inputs: Mapping[str, Dtype], problem: ProblemSpec) -> list[Mistake]:
        """Find an expression whose functions take other types, or whose value is of another."""
        names = _meant(self.inputs, inputs)
        if len(names) < len(self.inputs):
            return []  # it is said that there is no such feature
        if len(set(names.values())) < len(names):
            twice = next(one for one in names if list(names.values()).count(names[one]) > 1)
            return [Mistake("expression", f"'{twice}' and '{names[twice]}' are the same; write one of them")]
        try:
            check_dtype(parse(self.expression), {one: inputs[name] for one, name in names.items()}, self.dtype)
        except ValueError as error:
            return [Mistake("expression", str(error))]
        return []

    def compute(self, values: Sequence[Array]) -> Array:
        """Compute the expression's value, shape (n,)."""
        from proml_kedro.column_functions.expressions import as_operand, evaluate

        known = dict(zip(self.inputs, map(as_operand, values), strict=True))
        return evaluate(parse(self.expression), known, self.dtype, len(values[0]))


def _meant(names: Sequence[str], inputs: Iterable[str]) -> dict[str, str]:
    """The input that each name means: itself, or the one output of the component of that name."""
    there = list(inputs)
    alone = {name.partition(".")[0]: name for name in there}
    meant = {one: one if one in there else alone.get(one) for one in names}
    return {one: name for one, name in meant.items() if name}
