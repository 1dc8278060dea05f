"""``conf/model/*.yaml``: a model is a graph of named components."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, SerializeAsAny, ValidatorFunctionWrapHandler, WrapValidator, model_validator
from pydantic_core import PydanticCustomError

from proml_kedro.errors import Mistake, unknown
from proml_kedro.registry import UnknownNameError, components
from proml_kedro.spec.base import Name, Spec
from proml_kedro.spec.dtype import Dtype


class ComponentSpec(Spec):
    """What every component says; each kind adds its own keys in a subclass.

    Attributes:
        kind: Which kind of component it is.
        inputs: Features, as ``view.feature`` or with ``*``, and outputs of other components, as
            ``component.output``.
    """

    takes_vectors: ClassVar[bool] = False
    """Whether a component of this kind can read features of dtype ``vector[N]``."""

    kind: str
    inputs: Annotated[list[str], Field(min_length=1)]

    @classmethod
    def for_value(cls, value: Any) -> type[Spec]:
        """What the component of this kind may say."""
        try:
            chosen: type[Spec] = components.get(str(value.get("kind"))).Spec if isinstance(value, dict) else cls
        except UnknownNameError:
            return cls
        return chosen

    def check(self, inputs: Mapping[str, Dtype]) -> list[Mistake]:
        """Mistakes that show once it is known what the component reads.

        Args:
            inputs: Its inputs by name.

        Returns:
            Their keys begin inside of the component.
        """
        return []


def _pick_kind(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    if not isinstance(value, dict):
        return handler(value)
    kind = value.get("kind")
    if kind is None:
        raise PydanticCustomError("kind", "kind is missing; known: {known}", {"known": ", ".join(components.names())})
    try:
        component = components.get(str(kind))
    except UnknownNameError as error:
        raise PydanticCustomError("kind", "{message}", {"message": str(error)}) from error
    return component.Spec.model_validate(value)


AnyComponent = Annotated[SerializeAsAny[ComponentSpec], WrapValidator(_pick_kind)]


class CrossFitSpec(Spec):
    """How components that feed others score the rows they would otherwise have been trained on.

    Attributes:
        folds: Number of parts; each part is scored by a component trained on the others.
        group: An entity, or ``day``: rows with equal values stay in one part. Rows are dealt out singly when left out.
    """

    folds: Annotated[int, Field(ge=2, le=20)] = 3
    group: str | None = None


class TrainingSpec(Spec):
    """How the graph is trained.

    Attributes:
        objective: Each example for itself.
        cross_fit: Out-of-fold outputs for components that others build on.
    """

    objective: Literal["pointwise"] = "pointwise"
    cross_fit: CrossFitSpec = CrossFitSpec()


class ModelSpec(Spec):
    """A model.

    Attributes:
        name: Set from the file's name.
        components: The nodes of the graph; their names are the user's own.
        score: The component whose probability is the model's.
    """

    name: Name
    description: str = ""
    components: Annotated[dict[Name, AnyComponent], Field(min_length=1)]
    score: Name
    training: TrainingSpec = TrainingSpec()

    @model_validator(mode="after")
    def _score_exists(self) -> Self:
        if self.score not in self.components:
            raise ValueError(f"score: {unknown('component', self.score, self.components)}")
        return self
