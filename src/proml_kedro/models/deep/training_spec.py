"""The YAML of ``kind: deep`` under ``training``: how the network is trained."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from proml_kedro.spec.base import Spec


class EarlyStoppingSpec(Spec):
    """When to stop; the best weights are kept.

    Attributes:
        metric: What the validation period is judged by: ``loss``, what training minimises; ``auc`` or ``logloss`` of a
            truth value, ``rmse`` or ``mae`` of a number, ``ndcg`` (of the first ten) or ``auc`` of a ranking. Of
            several heads it is the first's that has it; ``HEAD.METRIC`` names another one's.
        patience: Number of epochs without improvement after which training stops.
    """

    metric: str = "loss"
    patience: PositiveInt = 2


class ScheduleSpec(Spec):
    """A learning rate that changes over the epochs.

    Attributes:
        schedule: ``cosine`` and ``linear`` fall to ``end`` at the last of ``epochs``; ``exponential`` falls by the same
            share each epoch and reaches ``end`` too.
        start: The highest rate.
        end: The rate at the last epoch, not above ``start``.
        warmup: Number of epochs, or fraction of one, over which it rises from 0; less than ``epochs``.
    """

    schedule: Literal["cosine", "linear", "exponential"]
    start: PositiveFloat
    end: PositiveFloat = 1e-6
    warmup: Annotated[float, Field(ge=0)] = 0.0

    @model_validator(mode="after")
    def _falls(self) -> Self:
        if self.end > self.start:
            raise ValueError(f"end, {self.end:g}, is above start, {self.start:g}: the rate falls from start to end")
        return self


class DeepTrainingSpec(Spec):
    """How the network is trained.

    Attributes:
        optimizer: ``adam`` (Kingma and Ba, ICLR 2015) moves every row of every table in each step. ``lazy_adam`` and
            ``adagrad`` (with one sum for each row of a table) move those that the batch has met, so that a step costs
            the same however large the tables are, unless a block has an ``l2`` of categories; on one device.
        epochs: Largest number of times that each example is seen.
        batch_size: Number of examples in a step; all of them when there are fewer. Heads that rank are given whole
            groups of about so many examples together.
        learning_rate: Of the optimiser: a number, or how it changes.
        weight_decay: Share of each weight that a step subtracts, in units of the learning rate.
        early_stopping: When to stop; never when left out.
        refit: Train again on training and validation period together, for the number of epochs that was found; without
            early_stopping for all of them.
        rows_in_memory: Largest number of examples in memory at once; a longer table is read in parts, cut between
            groups and each shuffled for itself.
        tensorboard: Folder for curves of loss, metric and learning rate, which TensorBoard reads.
    """

    epochs: PositiveInt = 10
    batch_size: PositiveInt = 4096
    learning_rate: PositiveFloat | ScheduleSpec = 1e-3
    optimizer: Literal["adam", "lazy_adam", "adagrad"] = "adam"
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    early_stopping: EarlyStoppingSpec | None = None
    refit: bool = False
    rows_in_memory: PositiveInt = 2_000_000
    tensorboard: str | None = None

    @model_validator(mode="after")
    def _warms_up_before_the_end(self) -> Self:
        rate = self.learning_rate
        if isinstance(rate, ScheduleSpec) and rate.warmup >= self.epochs:
            raise ValueError(f"warmup, {rate.warmup:g}, has to be less than epochs, {self.epochs}")
        return self

    @model_validator(mode="after")
    def _decays_as_a_whole(self) -> Self:
        if self.weight_decay and self.optimizer != "adam":
            message = f"weight_decay moves every row of a table, {self.optimizer} does not"
            raise ValueError(f"{message}; write optimizer: adam")
        return self
