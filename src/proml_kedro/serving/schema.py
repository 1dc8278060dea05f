"""Requests and responses of the service, as pydantic types made from a bundle's manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Annotated, Any, NotRequired

import numpy as np
from pydantic import AwareDatetime, ConfigDict, Field, GetPydanticSchema, ValidationError, WithJsonSchema, with_config
from pydantic_core import ErrorDetails, core_schema
from typing_extensions import TypedDict

from proml_kedro.bundle import InputField, Manifest, Schema
from proml_kedro.errors import did_you_mean
from proml_kedro.models.component import Array, Columns
from proml_kedro.spec.dtype import Dtype, vector_size
from proml_kedro.spec.training_set import TIMESTAMP

Row = dict[str, Any]
BodyProblem = dict[str, Any]

MAX_TEXT = 1000  # characters of a category or key
MAX_PROBLEMS = 20

# The largest float32 number: a larger one would reach the model as infinity.
_LARGEST = float(np.finfo(np.float32).max)
# It may be written as 3.0. ``multiple_of`` has a tolerance, by which 1e9 + .5 is whole.
_WHOLE = Annotated[
    int,
    GetPydanticSchema(
        lambda source, handler: core_schema.union_schema(
            [
                core_schema.int_schema(strict=True, ge=-(2**63), lt=2**63),
                core_schema.chain_schema(
                    [core_schema.float_schema(strict=True, ge=-(2.0**63), lt=2.0**63), core_schema.int_schema()]
                ),
            ],
            mode="left_to_right",
            custom_error_type="whole_number",
            custom_error_message="is not a whole number of 64 bits",
        ),
    ),
    WithJsonSchema({"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}),
]
_VALUES: dict[Dtype, Any] = {
    "float": Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-_LARGEST, le=_LARGEST)],
    "int": _WHOLE,
    "bool": Annotated[bool, Field(strict=True)],
    "str": Annotated[str, Field(strict=True, max_length=MAX_TEXT)],
}
_KEYS = {
    "int": Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63)],
    "str": Annotated[str, Field(strict=True, max_length=MAX_TEXT)],
}
# Without the pattern a number is taken for seconds or milliseconds since 1970, and so is text of digits.
_DATED = core_schema.str_schema(pattern=r"^\d{4}-\d{2}-\d{2}[Tt ]", strict=True)
_MOMENT = Annotated[
    AwareDatetime,
    GetPydanticSchema(lambda source, handler: core_schema.chain_schema([_DATED, handler(source)])),
    Field(json_schema_extra={"format": "date-time"}),
]
_WORDS = {
    "string_pattern_mismatch": "should be a moment such as 2026-01-31T12:00:00Z",
    "missing": "is missing; send null when there is no value",
    "finite_number": "is not a finite number",
}


def row_type(name: str, rows: Schema) -> Any:
    """Make the type of a row of feature values. Every feature is required; null stands for a missing value.

    Args:
        name: The type's name in the service's documentation.
        rows: What a row consists of.
    """
    return _dict_type(name, {one.name: _value(one) for one in rows.inputs})


def online_row_type(name: str, rows: Schema) -> Any:
    """Make the type of a row whose features are looked up: keys, request features and a moment.

    Args:
        name: The type's name in the service's documentation.
        rows: What a row consists of.
    """
    moment = Annotated[_MOMENT | None, Field(description="moment of the prediction, with offset; now if left out")]
    timed: dict[str, Any] = {TIMESTAMP: NotRequired[moment]} if rows.timestamp is not None else {}
    return _dict_type(
        name,
        {
            **{key: Annotated[_KEYS[dtype] | None, Field(description="key")] for key, dtype in rows.entities.items()},
            **{one.name: _brought_value(one) for one in rows.inputs if one.request and not one.is_key},
            **timed,
        },
    )


def answer_fields(manifest: Manifest) -> dict[str, Any]:
    """Return the keys of a response that hold a value a row, with their types.

    ``probabilities`` of a truth value, ``predictions`` of numbers and counts. Of several classes ``predictions`` are
    the names of the most probable ones, and ``probabilities`` are those of each class by its name.
    """
    if manifest.classes:
        return {"predictions": list[str], "probabilities": list[dict[str, float]]}
    return {"probabilities" if manifest.score_output == "probability" else "predictions": list[float]}


def answer(manifest: Manifest, scores: list[Any]) -> dict[str, Any]:
    """Return what a response says of rows, by :func:`answer_fields`.

    Args:
        manifest: Of the bundle.
        scores: A number a row, or of several classes a list of their probabilities.
    """
    if not manifest.classes:
        return dict.fromkeys(answer_fields(manifest), scores)
    return {
        "predictions": [manifest.classes[row.index(max(row))] for row in scores],
        "probabilities": [dict(zip(manifest.classes, row, strict=True)) for row in scores],
    }


def read_answer(manifest: Manifest, content: Mapping[str, Any]) -> list[Any]:
    """Return the scores in a response, as :func:`answer` was given them."""
    if not manifest.classes:
        return list(content[next(iter(answer_fields(manifest)))])
    return [[row[name] for name in manifest.classes] for row in content["probabilities"]]


def rows_field(row: Any, max_rows: int) -> Any:
    """Make the type of a body's ``instances``: from one row to ``max_rows``."""
    return Annotated[list[row], Field(min_length=1, max_length=max_rows)]


def _value(one: InputField) -> Any:
    if one.is_key:
        return Annotated[_KEYS[one.dtype] | None, Field(description=one.description)]
    return Annotated[_type(one.dtype) | None, Field(description=one.description or None)]


def _type(dtype: Dtype) -> Any:
    size = vector_size(dtype)
    if size is None:
        return _VALUES[dtype]
    number: Any = _VALUES["float"]
    return Annotated[list[number], Field(min_length=size, max_length=size)]


def _brought_value(one: InputField) -> Any:
    if one.entity is None:
        return _value(one)
    words = f"{one.description}; the value of {one.entity} if left out".removeprefix("; ")
    return NotRequired[Annotated[_type(one.dtype) | None, Field(description=words)]]


def _dict_type(name: str, fields: Mapping[str, Any]) -> Any:
    # A dict, not an object: its keys may hold dots, and it takes half as long to check and to read.
    return with_config(ConfigDict(extra="forbid"))(TypedDict(name, dict(fields)))  # type: ignore[operator]


class RowReader:
    """Reader of checked rows into columns.

    Args:
        inputs: What to take from each row.
        precision: Floating point type of numbers.
    """

    def __init__(self, inputs: Sequence[InputField], precision: str) -> None:
        self._inputs, self._precision = tuple(inputs), precision
        plain = [one for one in inputs if one.entity is None and not one.is_text and vector_size(one.dtype) is None]
        self._plain = tuple(one.name for one in plain)
        self._take = itemgetter(*self._plain) if plain else None
        self._others = {one.name: one for one in inputs if one not in plain}

    def __call__(self, rows: Sequence[Row]) -> Columns:
        """Turn n rows, whose values may be None, into columns.

        Returns:
            An array of shape (n,) for each input: NaN for a missing number, None for a missing category. Of a vector an
            array of shape (n, size), with a row of NaN where it is missing.
        """
        together: Columns = {}
        if self._take is not None:
            numbers = np.array([self._take(row) for row in rows], self._precision).reshape(len(rows), len(self._plain))
            together = dict(zip(self._plain, np.ascontiguousarray(numbers.T), strict=True))
        apart = {
            name: _column([_take(row, one) for row in rows], one, self._precision) for name, one in self._others.items()
        }
        return {one.name: apart[one.name] if one.name in apart else together[one.name] for one in self._inputs}


def _column(values: list[Any], one: InputField, precision: str) -> Array:
    size = vector_size(one.dtype)
    if size is not None:
        nothing = [np.nan] * size
        values = [nothing if value is None else value for value in values]
        return np.array(values, precision).reshape(len(values), size)
    return np.array(values, object if one.is_text else precision)


def _take(row: Row, one: InputField) -> Any:
    value = row[one.name] if one.entity is None or one.name in row else row[one.entity]
    return str(value) if one.is_key and value is not None else value


def count_problems(found: int) -> str:
    """Return how many problems there are, and how many of those are listed."""
    listed = f", {MAX_PROBLEMS} of which are listed" if found > MAX_PROBLEMS else ""
    return f"{found:,} problem{'s' * (found > 1)}{listed}"


def describe_problems(error: ValidationError, known: Sequence[str]) -> list[BodyProblem]:
    """Describe what is wrong with a body, for its sender: where and why, never with which value.

    Args:
        error: What pydantic found.
        known: The keys that a row may have.

    Returns:
        At most :data:`MAX_PROBLEMS`, each with ``row`` and ``field`` where it has them, and ``problem``.
    """
    errors = error.errors(include_url=False, include_input=False)
    return [_problem(one, known) for one in errors[:MAX_PROBLEMS]]


def is_not_json(error: ValidationError) -> bool:
    """Return whether the body was not JSON at all."""
    return error.errors(include_url=False, include_input=False)[0]["type"] == "json_invalid"


def _problem(error: ErrorDetails, known: Sequence[str]) -> BodyProblem:
    kind, place = error["type"], error["loc"]
    message = _WORDS.get(kind) or error["msg"].replace("Input should", "should").replace(" after validation", "")
    if kind == "extra_forbidden":
        message = "is unknown." + did_you_mean(str(place[-1])[:100], known if len(place) > 1 else ["instances"])
    problem: BodyProblem = {"problem": message}
    if len(place) > 1:
        problem["row"] = place[1]
    if len(place) != 2:
        problem["field"] = str(place[2] if len(place) > 2 else place[-1])[:100] if place else "body"
    return problem
