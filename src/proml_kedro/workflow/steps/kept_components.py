"""Fitted components as results of their own: a change of one trains that one, and those that learn from it, again."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from proml_kedro.artifacts import Artifact
from proml_kedro.spec import ModelSpec
from proml_kedro.workflow import recipes
from proml_kedro.workflow.code import TRAINING_SET, model_code
from proml_kedro.workflow.run import Run

if TYPE_CHECKING:
    from proml_kedro.models.component import Component
    from proml_kedro.models.graph.fitted_step import FittedStep
    from proml_kedro.models.graph.plan import Step


@dataclass(frozen=True)
class KeptComponents:
    """The fitted components of one model in the store of results.

    A component is addressed by the part of the model that ends in it, so that models share what they have in common.

    Attributes:
        run: The run.
        training_set: What is learned from.
        model: The model.
        previous: Digest of the bundle that the model starts from.
    """

    run: Run
    training_set: Artifact
    model: ModelSpec
    previous: str | None = None

    @classmethod
    def of(cls, run: Run, training_set: Artifact, model: ModelSpec, previous: str | None) -> Self | None:
        """Keep the components of a model; None for a model of one that learns, which is a result itself."""
        learners = [one for one in model.components.values() if one.learns]
        return cls(run, training_set, model, previous) if len(learners) > 1 else None

    def keep(
        self,
        step: Step,
        before: Collection[str],
        final: bool,
        fit: Callable[[Path], FittedStep],
        load: Callable[[Path], Component],
    ) -> FittedStep:
        """Give a component that an earlier run has fitted in the same way, or fit and keep it."""
        from proml_kedro.models.graph.fitted_step import FittedStep

        def write(folder: Path, checkpoints: Path) -> None:
            fit(checkpoints).write(folder)

        part = recipes.part_of(self.model, step.component, before, final)
        of = self.run.store.part(self.training_set, recipes.learned_from(self.run.spec, part), TRAINING_SET)
        previous = self.previous if part.training.warm_start else None
        artifact = self.run.store.build_resumably(
            recipes.fitted_component(self.run.spec, self.model.name, part, final),
            {"training_set": of, "previous": previous},
            write,
            code=("workflow/steps/kept_components.py", *model_code(part)),
        )
        self.run.store.verify(artifact)
        return FittedStep.read(artifact.path, load)
