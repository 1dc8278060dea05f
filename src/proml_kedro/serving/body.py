"""Bodies of requests and responses, as BentoML and its OpenAPI document see them."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import bentoml
from pydantic import ConfigDict, ValidationError, create_model
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.responses import Response as HttpResponse

from proml_kedro.bundle import Manifest
from proml_kedro.serving.schema import BodyProblem, answer_fields, describe_problems, is_not_json, rows_field


class Refusal:
    """Refusal of a body; it stands where the body's rows would have been."""

    def __init__(self, status: int, error: str, problems: list[BodyProblem]) -> None:
        self.status = status
        self.error = error
        self.problems = problems

    def response(self) -> HttpResponse:
        """Return the answer to the sender."""
        return JSONResponse({"error": self.error, "problems": self.problems}, self.status)


class Body(bentoml.IODescriptor):  # type: ignore[misc]
    """Body of a request. Each service makes a subclass with the type of its rows."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())
    known_keys: ClassVar[tuple[str, ...]] = ()

    @classmethod
    async def from_http_request(cls, request: Request, serde: Any) -> Self:
        """Read a body; one that does not fit becomes a :class:`Refusal`, since an exception would be logged."""
        body: Self
        try:
            body = cls.model_validate_json(await request.body())
        except ValidationError as error:
            body = cls.model_construct(instances=cls._refusal(error))
        return body

    @classmethod
    def _refusal(cls, error: ValidationError) -> Refusal:
        count = error.error_count()
        problems = describe_problems(error, cls.known_keys)
        status = 400 if is_not_json(error) else 422
        return Refusal(status, f"{count} problem{'s' * (count > 1)}; nothing was scored", problems)


class Scores(bentoml.IODescriptor):  # type: ignore[misc]
    """Body of a response, with the model's name. Each service makes a subclass with a score for each row, in order."""

    model_config = ConfigDict(protected_namespaces=())

    model: str


def make_body(name: str, row: Any, max_rows: int) -> type[Body]:
    """Make the type of a request's body.

    Args:
        name: The type's name in the service's documentation.
        row: The type of a row.
        max_rows: Largest number of rows.
    """
    model: type[Body] = create_model(name, __base__=Body, instances=(rows_field(row, max_rows), ...))
    model.known_keys = tuple(row.__annotations__)
    return model


def make_scores(manifest: Manifest) -> type[Scores]:
    """Make the type of a response's body."""
    fields: dict[str, Any] = {name: (type_, ...) for name, type_ in answer_fields(manifest).items()}
    return create_model("Scores", __base__=Scores, **fields)
