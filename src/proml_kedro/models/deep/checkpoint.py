"""The state of training in a file, so that a later process goes on where a killed one stopped."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from proml_kedro.models.component import Array

logger = logging.getLogger(__name__)


class Checkpoint:
    """The state of training after the last whole epoch.

    The order of the examples follows from the seed and the number of the epoch, so a state is
    the variables of network and optimiser, the best weights so far, and how each epoch was judged.

    Args:
        folder: Where it is kept, made when it is needed; None to keep none.
        facts: What the training depends on; a state with other facts is ignored.
        variables: TensorFlow variables of network and optimiser.
    """

    def __init__(self, folder: Path | None, facts: str, variables: Sequence[Any]) -> None:
        self._file = folder / "checkpoint.npz" if folder else None
        self._facts = facts
        self._variables = list(variables)

    def save(self, epoch: int, history: Sequence[float], best: Sequence[Array]) -> None:
        """Write the state; a process that is killed meanwhile leaves the one before."""
        if self._file is None:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        state = json.dumps({"facts": self._facts, "epoch": epoch, "history": list(history), "best": len(best)})
        arrays = {f"variable{number}": one.numpy() for number, one in enumerate(self._variables)}
        arrays |= {f"best{number}": one for number, one in enumerate(best)}
        temporary = self._file.with_name("checkpoint.new.npz")
        np.savez(temporary, state=np.array(state), **arrays)
        temporary.replace(self._file)

    def restore(self) -> tuple[int, list[float], list[Array]]:
        """Assign the kept state to the variables, if there is one with the same facts.

        Returns:
            The number of epochs done, how each was judged, and the best weights.
        """
        if self._file is None or not self._file.is_file():
            return 0, [], []
        try:
            with np.load(self._file, allow_pickle=False) as arrays:
                state = json.loads(str(arrays["state"]))
                values = [arrays[f"variable{number}"] for number in range(len(self._variables))]
                best = [arrays[f"best{number}"] for number in range(state["best"])]
        except (OSError, EOFError, ValueError, TypeError, KeyError, BadZipFile):
            logger.warning("%s cannot be read; training starts anew", self._file)
            return 0, [], []
        if state["facts"] != self._facts or any(
            one.shape != value.shape for one, value in zip(self._variables, values, strict=True)
        ):
            return 0, [], []
        for one, value in zip(self._variables, values, strict=True):
            one.assign(value)
        logger.info("training goes on after epoch %d, where it was interrupted", state["epoch"])
        return state["epoch"], state["history"], best
