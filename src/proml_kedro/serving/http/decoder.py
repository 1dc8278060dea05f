"""Bodies of requests → rows, or what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from proml_kedro.bundle import Manifest
from proml_kedro.serving.schema import (
    BodyProblem,
    Row,
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
        body = with_config(ConfigDict(extra="forbid"))(TypedDict(name, fields))  # type: ignore[operator]
        self._adapter: TypeAdapter[Any] = TypeAdapter(body)
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


def bodies(manifest: Manifest, spec: ServingSpec) -> dict[str, Decoder]:
    """Return the readers of the routes that score, by path.

    Args:
        manifest: The bundle's.
        spec: Limits.
    """
    return {
        "/predict": Decoder("PredictRequest", row_type("FeatureRow", manifest.rows), spec.max_rows),
        "/predict_online": Decoder("PredictOnlineRequest", online_row_type("KeyRow", manifest.rows), spec.max_rows),
    }


def _refused(error: ValidationError, known: Sequence[str]) -> RefusedError:
    count = error.error_count()
    status = 400 if is_not_json(error) else 422
    message = f"{count} problem{'s' * (count > 1)}; nothing was scored"
    return RefusedError(status, message, describe_problems(error, known))
