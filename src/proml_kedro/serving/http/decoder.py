"""Bodies of requests → rows, or what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NotRequired, Protocol

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from pydantic_core import to_json
from typing_extensions import TypedDict

from proml_kedro.bundle import Manifest
from proml_kedro.serving.schema import (
    MAX_PROBLEMS,
    BodyProblem,
    Row,
    count_problems,
    describe_problems,
    is_not_json,
    online_row_type,
    row_type,
    rows_field,
)
from proml_kedro.spec import ServingSpec


@dataclass(frozen=True)
class RefusedError(Exception):
    """A request that is not answered with scores.

    Attributes:
        status: HTTP status.
        error: What is wrong, in words, without values of the request.
        problems: Where, if it is in the body.
    """

    status: int
    error: str
    problems: Sequence[BodyProblem] = ()

    def content(self) -> dict[str, Any]:
        """Return the body of the answer."""
        return {"error": self.error, **({"problems": list(self.problems)} if self.problems else {})}


class Decoder:
    """Reader of bodies with rows of one type.

    Args:
        name: The name of the body's type in the documentation.
        row: The type of a row, as :func:`proml_kedro.serving.schema.row_type` makes it.
        max_rows: Largest number of rows.
    """

    def __init__(self, name: str, row: Any, max_rows: int) -> None:
        fields: dict[str, Any] = {"instances": rows_field(row, max_rows)}
        self._adapter: TypeAdapter[Any] = _adapter(name, fields)
        self._known = tuple(row.__annotations__)

    def rows(self, content: bytes) -> list[Row]:
        """Read the rows of a body.

        Raises:
            RefusedError: It is no JSON, or does not fit.
        """
        try:
            found: list[Row] = self._adapter.validate_json(content)["instances"]
        except ValidationError as error:
            raise _refused(error, self._known) from None  # its text holds values
        return found

    def json_schema(self, template: str) -> dict[str, Any]:
        """Return the JSON Schema of a body.

        Args:
            template: Where further types stand, such as ``#/components/schemas/{model}``.
        """
        return self._adapter.json_schema(ref_template=template)


class RankDecoder:
    """Reader of bodies with candidates, and what is common to all of them.

    Args:
        row: The type of a row: what is common, and what a candidate has, together.
        max_rows: Largest number of candidates.
    """

    def __init__(self, row: Any, max_rows: int) -> None:
        self._rows = Decoder("RankRows", row, max_rows)
        fields: dict[str, Any] = {
            "common": NotRequired[dict[str, Any]],
            "candidates": Annotated[list[dict[str, Any]], Field(min_length=1, max_length=max_rows)],
        }
        self._adapter: TypeAdapter[Any] = _adapter("RankRequest", fields)

    def rows(self, content: bytes) -> list[Row]:
        """Read the candidates of a body, each with what is common.

        Raises:
            RefusedError: It is no JSON, or does not fit.
        """
        try:
            body = self._adapter.validate_json(content)
        except ValidationError as error:
            raise _refused(error, ("common", "candidates")) from None
        common, candidates = body.get("common", {}), body["candidates"]
        twice = [(row, name) for row, one in enumerate(candidates) for name in one if name in common]
        if twice:
            problem = "stands in common, too; leave one of them out"
            found = [{"problem": problem, "row": row, "field": name[:100]} for row, name in twice[:MAX_PROBLEMS]]
            raise RefusedError(422, f"{count_problems(len(twice))}; nothing was scored", found)
        merged = {"instances": [{**common, **one} for one in candidates]}
        return self._rows.rows(to_json(merged, inf_nan_mode="constants"))  # which are refused, and not null

    def json_schema(self, template: str) -> dict[str, Any]:
        """Return the JSON Schema of a body; see :meth:`Decoder.json_schema`."""
        row = next(iter(self._rows.json_schema(template)["$defs"].values()))
        schema = self._adapter.json_schema(ref_template=template)
        some = {"type": "object", "properties": row["properties"], "additionalProperties": False}
        schema["properties"]["common"] = {**some, "description": "what all candidates share, such as who is asking"}
        schema["properties"]["candidates"]["items"] = some
        return schema


class Body(Protocol):
    """Reader of the bodies of a route."""

    def rows(self, content: bytes) -> list[Row]:
        """Read the rows of a body."""

    def json_schema(self, template: str) -> dict[str, Any]:
        """Return the JSON Schema of a body."""


def bodies(manifest: Manifest, spec: ServingSpec) -> dict[str, Body]:
    """Return the readers of the routes that take bodies, by path.

    Args:
        manifest: The bundle's.
        spec: Limits.
    """
    rows = manifest.rows
    known_first = [one for one in rows.inputs if one.name not in rows.neutral]
    candidates = rows.model_copy(update={"inputs": known_first})
    keys = rows.model_copy(update={"inputs": [one for one in rows.inputs if not one.request]})
    return {
        "/predict": Decoder("PredictRequest", row_type("FeatureRow", rows), spec.max_rows),
        "/predict_online": Decoder("PredictOnlineRequest", online_row_type("KeyRow", rows), spec.max_rows),
        "/rank": RankDecoder(online_row_type("Candidate", candidates), spec.max_rows),
        "/explain": Decoder(
            "ExplainRequest", row_type("FeatureRow", rows), min(spec.max_explained_rows, spec.max_rows)
        ),
        "/features": Decoder("FeaturesRequest", online_row_type("Keys", keys), spec.max_rows),
    }


def _adapter(name: str, fields: dict[str, Any]) -> TypeAdapter[Any]:
    return TypeAdapter(with_config(ConfigDict(extra="forbid"))(TypedDict(name, fields)))  # type: ignore[operator]


def _refused(error: ValidationError, known: Sequence[str]) -> RefusedError:
    status = 400 if is_not_json(error) else 422
    message = f"{count_problems(error.error_count())}; nothing was scored"
    return RefusedError(status, message, describe_problems(error, known))
