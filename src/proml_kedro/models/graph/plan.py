"""The plan of a model: its components as steps in an order in which each comes after those it reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from proml_kedro.errors import UserError
from proml_kedro.models.component import Input
from proml_kedro.spec.dtype import Dtype
from proml_kedro.spec.inputs import components_read, read_by
from proml_kedro.spec.model import ModelSpec, score_output
from proml_kedro.spec.order import in_order
from proml_kedro.spec.outputs import OutputRef
from proml_kedro.spec.problem import Task


@dataclass(frozen=True)
class Step:
    """One component: columns in, columns out. It holds plain values alone, so that it can be sent elsewhere.

    Attributes:
        component: Its name in the model.
        kind: What kind of component it is.
        learns: Whether it is fitted; otherwise it is only computed.
        reads: The columns that it is given.
        gives: The columns that it adds, as other components read them: ``component.output`` with its type.
    """

    component: str
    kind: str
    learns: bool
    reads: tuple[Input, ...]
    gives: tuple[Input, ...]


@dataclass(frozen=True)
class Plan:
    """Steps in order.

    Attributes:
        steps: Each after all those whose columns it reads.
        inputs: The features and entities that the steps read, in the order in which the model declares them.
        score: The column that is the model's score.
    """

    steps: tuple[Step, ...]
    inputs: tuple[Input, ...]
    score: str

    @classmethod
    def of(cls, spec: ModelSpec, dtypes: Mapping[str, Dtype], task: Task) -> Self:
        """Plan a model.

        Args:
            spec: The model.
            dtypes: The features and entities there are, to their types.
            task: What sort of label is predicted.

        Raises:
            UserError: The component that gives the model's score does not have that output.
            CircleError: Components need each other in a circle.
        """
        outputs, score = spec.outputs(task), OutputRef(spec.score, score_output(task))
        if score not in outputs:
            raise UserError.at("model.score", f"'{spec.score}' gives no {score.output}")
        steps = {
            name: Step(
                name,
                one.kind,
                one.learns,
                tuple(Input(read, dtype) for read, dtype in read_by(one, dtypes, outputs).items()),
                tuple(Input(str(ref), dtype) for ref, dtype in outputs.items() if ref.component == name),
            )
            for name, one in spec.components.items()
        }
        order = in_order({name: components_read(one, dtypes, outputs) for name, one in spec.components.items()})
        inputs = dict.fromkeys(one for step in steps.values() for one in step.reads if one.name in dtypes)
        return cls(tuple(steps[name] for name in order), tuple(inputs), str(score))

    def step(self, component: str) -> Step:
        """Find the step of a component."""
        return next(one for one in self.steps if one.component == component)

    def maker(self, column: str) -> Step | None:
        """Find the step that gives a column; None for a feature or an entity."""
        return next((step for step in self.steps if any(one.name == column for one in step.gives)), None)

    def is_learned_from(self, component: str) -> bool:
        """Tell whether a component that learns reads outputs of this one, or what is computed from them."""
        given = set(self.step(component).gives)
        for step in self.steps:
            if given & set(step.reads):
                if step.learns:
                    return True
                given |= set(step.gives)
        return False

    def until(self, columns: Iterable[str], known: Iterable[str] = ()) -> Self:
        """Select the part of the plan that makes some columns.

        Args:
            columns: The columns that are wanted; features and entities are passed over.
            known: Columns that need not be made, since they are there.
        """
        there, wanted, kept = set(known), set(columns), []
        for step in reversed(self.steps):
            if any(one.name in wanted - there for one in step.gives):
                kept.append(step)
                wanted |= {one.name for one in step.reads}
        read = {one for step in kept for one in step.reads}
        return replace(self, steps=tuple(reversed(kept)), inputs=tuple(one for one in self.inputs if one in read))

    def as_json(self) -> dict[str, Any]:
        """Return the plan as plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what :meth:`as_json` gave."""
        steps = (
            Step(one["component"], one["kind"], one["learns"], _inputs(one["reads"]), _inputs(one["gives"]))
            for one in content["steps"]
        )
        return cls(tuple(steps), _inputs(content["inputs"]), content["score"])


def _inputs(content: Iterable[Mapping[str, str]]) -> tuple[Input, ...]:
    return tuple(Input(one["name"], one["dtype"]) for one in content)
