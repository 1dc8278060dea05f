"""State of a fit from one step to the next, its initial coefficients, and the file from which a killed fit resumes."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.covariance import Covariance
from proml_kedro.models.mixed.memory.coefficients import Coefficients
from proml_kedro.models.mixed.memory.design import Design
from proml_kedro.models.mixed.memory.passes import Floats

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class InitialCoefficients:
    """Coefficients of a previous fit, arranged by the levels of the new one.

    Attributes:
        fixed: Coefficients of the fixed numbers, shape (p,).
        categories: Coefficients of each categorical fixed effect, shape (levels,).
        effects: Coefficients of each random effect, shape (levels, d).
        factors: Means of the factors of each interaction, shape (places, rank).
        dispersion: Variance of a label around its mean.
    """

    fixed: Array
    categories: Sequence[Array]
    effects: Sequence[Array]
    factors: Sequence[Array] = ()
    dispersion: float = 1.0

    def arranged(self, design: Design) -> Coefficients:
        """Arrange the coefficients by the columns of a design."""
        u = np.zeros((design.entities + 1, design.z.shape[1]))
        u[: design.entities] = self.effects[design.eliminated]
        x = np.zeros(design.width)
        x[: design.fixed] = self.fixed
        categories = iter(self.categories)
        for group in design.groups:
            values = next(categories) if group.effect is None else self.effects[group.effect]
            x[group.columns] = values.ravel()
        return Coefficients(u, x)


@dataclass
class FitState:
    """State that one iteration hands to the next, beside covariances and interactions.

    Attributes:
        now: Current coefficients.
        variance: Posterior variance of each margin by which the likelihood is averaged, shape (n,).
        direction: Change of the margins in the last step, shape (n,).
        tilt: Tilt of the last step by Laplace's method, shape (width,).
        warm: Whether the initial coefficients are those of a previous model.
        share: Share of the new variances, and of the new tilt, in those that are used.
        step_size: Size of the last step.
        dispersion: Variance of labels around their mean.
        history: One entry for each step, as in :class:`.fit_result.InMemoryFit`.
    """

    now: Coefficients
    variance: Floats
    direction: Floats
    tilt: Floats
    warm: bool = False
    share: float = 1.0
    step_size: float = math.inf
    dispersion: float = 1.0
    history: list[dict[str, Any]] = field(default_factory=list)


class Checkpoint:
    """File from which a fit that was killed resumes.

    It is written after a step, at most once in ``every`` seconds, under another name and then renamed: at any time it
    is complete or missing. A resumed fit ends with the same numbers as one that was never stopped.

    Args:
        folder: Folder of the file.
        design: The data; a file that was written for other data is not used.
        settings: Settings of the fit, as anything whose ``repr`` identifies them.
        every: Seconds of work that may be lost, beside the step in which the fit was killed.
    """

    def __init__(self, folder: Path, design: Design, settings: object, every: float = 1.0) -> None:
        self._file = folder / "state.npz"
        self._design, self._settings, self._every = design, settings, every
        self._last = time.monotonic()
        self._fingerprint: str | None = None

    def load(self, state: FitState, covariances: Sequence[Covariance]) -> bool:
        """Restore state, covariances and interactions.

        Returns:
            Whether that was done: not when there is no file for these data and settings, or it is damaged.
        """
        if not self._file.is_file():
            return False
        try:
            with np.load(self._file, allow_pickle=False) as kept_arrays:
                plain = json.loads(str(kept_arrays["plain"]))
                arrays = {name: kept_arrays[name] for name in kept_arrays.files if name != "plain"}
        except (OSError, EOFError, ValueError, TypeError, KeyError, BadZipFile):
            logger.warning("%s cannot be read; the fit starts anew", self._file)
            return False
        if plain.pop("fingerprint") != self._own_fingerprint():
            return False
        state.history = plain["history"]
        state.share, state.step_size, state.dispersion = plain["share"], plain["step_size"], plain["dispersion"]
        for name, array in self._arrays(state):
            array[...] = arrays[name]
        for one, kept in zip(covariances, plain["covariances"], strict=True):
            one.restore(kept)
        for interaction, (change, sweeps) in zip(self._design.interactions, plain["interactions"], strict=True):
            interaction.change, interaction.sweeps = change, sweeps
        return True

    def save(self, state: FitState, covariances: Sequence[Covariance]) -> None:
        """Write the file, unless it was written less than ``every`` seconds ago."""
        if time.monotonic() - self._last < self._every:
            return
        plain = {
            "fingerprint": self._own_fingerprint(),
            "history": state.history,
            "share": state.share,
            "step_size": state.step_size,
            "dispersion": state.dispersion,
            "covariances": [one.state() for one in covariances],
            "interactions": [(one.change, one.sweeps) for one in self._design.interactions],
        }
        self._write(np.array(json.dumps(plain)), dict(self._arrays(state)))
        self._last = time.monotonic()

    def _write(self, plain: Array, arrays: dict[str, Any]) -> None:
        """Replace the file atomically."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._file.with_suffix(f".{os.getpid()}")
        with temporary.open("wb") as file:
            np.savez(file, plain=plain, **arrays)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._file)

    def remove(self) -> None:
        """Remove the file once the fit has finished."""
        self._file.unlink(missing_ok=True)

    def _arrays(self, state: FitState) -> Iterator[tuple[str, Array]]:
        yield from (("u", state.now.u), ("x", state.now.x))
        yield from (("variance", state.variance), ("direction", state.direction), ("tilt", state.tilt))
        for k, one in enumerate(self._design.interactions):
            for name in ("table", "variances", "prior", "mean", "variance"):
                yield f"interaction_{k}_{name}", getattr(one, name)

    def _own_fingerprint(self) -> str:
        """Hash settings and data; computed when it is first needed."""
        if self._fingerprint is None:
            digest = hashlib.blake2b(repr(self._settings).encode(), digest_size=16)
            for one in fields(Design):
                value = getattr(self._design, one.name)
                if isinstance(value, np.ndarray):
                    digest.update(np.ascontiguousarray(value).data)
            for interaction in self._design.interactions:
                digest.update(interaction.codes.data)
            self._fingerprint = digest.hexdigest()
        return self._fingerprint
