"""Training, epoch by epoch, judged by the validation period after each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from proml_kedro.models.deep.checkpoint import Checkpoint
from proml_kedro.models.deep.data import ExampleParts
from proml_kedro.models.deep.logs import Logs
from proml_kedro.models.deep.schedule import learning_rate
from proml_kedro.models.deep.trainer import Trainer, TrainingTask
from proml_kedro.models.deep.training_spec import DeepTrainingSpec
from proml_kedro.models.progress import progress

logger = logging.getLogger(__name__)


def train(
    task: TrainingTask,
    examples: ExampleParts,
    judge: Callable[[], float] | None,
    epochs: int,
    folder: Path | None,
    facts: str,
) -> list[float]:
    """Minimise the sum of the heads' losses over examples in random order.

    Args:
        task: What is trained; its model ends with the best weights, without ``judge`` with the last.
        examples: To learn from.
        judge: Measures how good the model is now, higher is better; None to train for all epochs.
        epochs: Largest number of epochs.
        folder: Of the checkpoint; None to keep none.
        facts: What else the result depends on, for the checkpoint.

    Returns:
        What ``judge`` measured after each epoch.
    """
    trainer = Trainer(task, examples)
    checkpoint = Checkpoint(folder, facts, [*task.model.variables, *trainer.optimizer.variables])
    epoch, history, best = checkpoint.restore()
    logs = Logs(task.spec.tensorboard)
    with progress("epochs", epochs) as advance:
        for _ in range(epoch):
            advance()
        while epoch < epochs and not _is_over(history, task.spec):
            loss = trainer.epoch(epoch)
            epoch += 1
            values = {"loss": loss, "learning_rate": learning_rate(task.spec, epoch)}
            if judge is not None:
                history.append(judge())
                values["validation"] = history[-1]
                if best_epoch(history) == len(history):
                    best = task.model.get_weights()
            advance(_in_words(epoch, epochs, loss, history, task.spec))
            logger.debug("epoch %d: %s", epoch, values)
            logs.write(epoch, values)
            checkpoint.save(epoch, history, best)
    logs.close()
    if best:
        task.model.set_weights(best)
    return history


def best_epoch(history: Sequence[float]) -> int:
    """Return the number of the best epoch, from 1; the first of equals.

    >>> best_epoch([0.6, 0.8, 0.7, 0.8])
    2
    """
    return int(np.argmax(history)) + 1


def _in_words(epoch: int, epochs: int, loss: float, history: Sequence[float], spec: DeepTrainingSpec) -> str:
    """Say how far training is and how good, in one line."""
    line = f"epoch {epoch} of {epochs}: loss {loss:.4g}"
    if spec.early_stopping is None or not history:
        return line
    metric = spec.early_stopping.metric
    judged = history[-1] if metric.endswith(("auc", "ndcg")) else -history[-1]  # what falls is judged by its negative
    return f"{line}, validation {metric} {judged:.4g}{' (best)' if best_epoch(history) == len(history) else ''}"


def _is_over(history: Sequence[float], spec: DeepTrainingSpec) -> bool:
    stopping = spec.early_stopping
    return bool(stopping and history and len(history) - best_epoch(history) >= stopping.patience)
