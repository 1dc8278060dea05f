"""``conf/model/*.yaml``: a model is a graph of named components."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from proml_kedro.errors import Mistake, unknown
from proml_kedro.extensions import UnknownNameError, components
from proml_kedro.spec.base import Name, Spec
from proml_kedro.spec.dtype import Dtype, vector_size
from proml_kedro.spec.hardware import ComponentHardwareSpec, Device, HardwareSpec
from proml_kedro.spec.outputs import OF_CLASSES, Output, OutputRef
from proml_kedro.spec.problem import ProblemSpec, Task
from proml_kedro.spec.rank import RankSpec


class ComponentSpec(Spec):
    """What every component says; each kind adds its own keys in a subclass.

    Attributes:
        kind: Which kind of component it is.
        inputs: Features, as ``view.feature`` or with ``*`` (for those of a type that the kind can read), outputs of
            other components, as ``component.output``, and entities of the problem, by name; those are categories.
        hardware: Where it is fitted, other than the run says: trees on the processor, a network on the GPU.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"binary"})
    """The tasks that a component of this kind can learn."""

    learns: ClassVar[bool] = True
    """Whether it has a state that is fitted. One without is computed once a batch, and never fitted or cross-fitted."""

    is_constant: ClassVar[bool] = False
    """Whether it says the same of every row, whatever it reads."""

    reads_labels: ClassVar[bool] = True
    """Whether what it learns depends on labels. One that does not is never cross-fitted: it cannot give them away."""

    warm_starts: ClassVar[bool] = False
    """Whether a component of this kind can start from what an earlier one has learned."""

    takes_weights: ClassVar[bool] = False
    """Whether a component of this kind counts each example by its weight."""

    hardware_keys: ClassVar[frozenset[str]] = frozenset({"device", "threads"})
    """What ``hardware`` of a component of this kind may say."""

    devices: ClassVar[tuple[Device, ...]] = ("cpu",)
    """Where a component of this kind can be fitted. One of the processor alone stays there in any run."""

    one_at_a_time: ClassVar[bool] = False
    """Whether its library has settings of the whole process: components of this kind are fitted one after the other."""

    takes_numbers: ClassVar[bool] = True
    """Whether a component of this kind can read numbers and truth values; otherwise ``*`` omits them."""

    takes_vectors: ClassVar[bool] = False
    """Whether a component of this kind can read inputs of dtype ``vector[N]``; otherwise ``*`` omits them."""

    takes_categories: ClassVar[bool] = True
    """Whether a component of this kind can read inputs of dtype ``str``; otherwise ``*`` omits them."""

    inputs_key: ClassVar[str] = "inputs"
    """The YAML key that names the inputs."""

    requires: ClassVar[tuple[str, ...]] = ()
    """The distributions whose versions change what a component of this kind learns, such as ``scikit-learn``."""

    example_change: ClassVar[str | None] = None
    """An override below the component, as KEY=VALUE, that is worth a try; a run proposes it at its end."""

    kind: str
    inputs: Annotated[list[str], Field(min_length=1)]
    hardware: ComponentHardwareSpec | None = None

    @classmethod
    def for_value(cls, value: Any) -> type[Spec]:
        """Find what a component of this kind may say."""
        try:
            chosen: type[Spec] = spec_of(str(value.get("kind"))) if isinstance(value, dict) else cls
        except UnknownNameError:
            return cls
        return chosen

    def outputs(self, task: Task) -> tuple[Output, ...]:
        """List the arrays that the component gives; :func:`score_output` of the task makes it fit to be a score.

        Args:
            task: Of the problem.
        """
        if task == "multiclass":
            return (Output(score_output(task), OF_CLASSES),)
        return (Output("margin"), Output(score_output(task)))

    def output_names(self, task: Task) -> tuple[str, ...]:
        """List the names of :meth:`outputs`."""
        return tuple(one.name for one in self.outputs(task))

    @classmethod
    def can_read(cls, dtype: Dtype) -> bool:
        """Tell whether a component of this kind can read inputs of a dtype."""
        if dtype == OF_CLASSES:
            return False
        if dtype == "str":
            return cls.takes_categories
        return cls.takes_numbers if vector_size(dtype) is None else cls.takes_vectors

    def input_key(self, position: int) -> str:
        """Name the key inside of the component at which an input is named.

        Args:
            position: Of the input.
        """
        return f"{self.inputs_key}.{position}"

    def hardware_of(self, run: HardwareSpec) -> HardwareSpec:
        """Return the machine that the component is fitted on.

        Args:
            run: The run's.
        """
        return run.of_component(self.hardware, self.devices)

    @property
    def learns_order(self) -> bool:
        """Tell whether rows are compared with others of their group, so that a weight is that of a whole group."""
        return False

    @property
    def said_quantile(self) -> float | None:
        """Return the quantile of a number that scores of the component are, where they are not its mean."""
        return None

    @property
    def needs_earlier(self) -> str | None:
        """Name the key inside of the component that asks for ``training.warm_start``, if one does."""
        return None

    def check(self, inputs: Mapping[str, Dtype], problem: ProblemSpec) -> list[Mistake]:
        """Find mistakes that show once it is known what the component reads and what is predicted.

        Args:
            inputs: Its inputs by name.
            problem: What is predicted.

        Returns:
            Their keys begin inside of the component.
        """
        return []


def score_output(task: Task) -> str:
    """Name the output that is a model's score: a probability, one of each class, or the mean of what is predicted."""
    return _SCORES.get(task, "mean")


_SCORES: dict[Task, str] = {"binary": "probability", "multiclass": "probabilities"}


def spec_of(kind: str) -> type[ComponentSpec]:
    """Find what the YAML of a kind may say, without importing the component where its package gives ``Spec`` alone.

    Raises:
        UnknownNameError: Nothing has that name.
    """
    return spec_in(components.get(kind))


def spec_in(entry: Any) -> type[ComponentSpec]:
    """Find the spec of an entry of the registry: ``Spec`` of a package or class, or a producer, which is one itself."""
    spec: type[ComponentSpec] = getattr(entry, "Spec", entry)
    return spec


if TYPE_CHECKING:
    AnyComponent = ComponentSpec
else:
    AnyComponent = components.field(ComponentSpec, spec_in, "kind")


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
        warm_start: Folder of an earlier bundle, relative to the folder that holds ``conf``; components of the same name
            and kind start from what they had learned there.
        locked: Components that stay as they are in that bundle, where they are declared alike; nothing is fitted.
    """

    objective: Literal["pointwise"] = "pointwise"
    cross_fit: CrossFitSpec = CrossFitSpec()
    warm_start: str | None = None
    locked: list[Name] = []


class ModelSpec(Spec):
    """A model.

    Attributes:
        name: Set from the file's name.
        components: The nodes of the graph; their names are the user's own.
        score: The component whose probability, probabilities of classes, or mean is the model's.
        description: What it is, for people.
        training: How the graph is trained.
        rank: How scored rows are put in order. It changes nothing that is learned.
    """

    name: Name
    description: str = ""
    components: Annotated[dict[Name, AnyComponent], Field(min_length=1)]
    score: Name
    training: TrainingSpec = TrainingSpec()
    rank: RankSpec | None = None

    def outputs(self, task: Task) -> dict[OutputRef, Dtype]:
        """List what the components give, with the type of each.

        Args:
            task: Of the problem.
        """
        return {
            OutputRef(name, one.name): one.dtype for name, spec in self.components.items() for one in spec.outputs(task)
        }

    @model_validator(mode="after")
    def _score_exists(self) -> Self:
        if self.score not in self.components:
            raise ValueError(f"score: {unknown('component', self.score, self.components)}")
        return self
