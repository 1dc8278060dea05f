"""Where a fit stands: what it starts from, what one step hands to the next, and the file from which it goes on."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from proml_kedro.models.component import Array
from proml_kedro.models.mixed.covariance import Covariance
from proml_kedro.models.mixed.memory.design import Rows
from proml_kedro.models.mixed.memory.newton import Coefficients
from proml_kedro.models.mixed.memory.passes import Floats


@dataclass(frozen=True)
class Start:
    """What an earlier fit has found, arranged as the new one will have it.

    Attributes:
        fixed: Coefficients of the fixed numbers, shape (p,).
        categories: Of each categorical fixed effect, shape (levels,).
        effects: Of each random effect, shape (levels, d).
        factors: Of each interaction the means, shape (places, rank).
        dispersion: Variance of a label around its mean.
    """

    fixed: Array
    categories: Sequence[Array]
    effects: Sequence[Array]
    factors: Sequence[Array] = ()
    dispersion: float = 1.0

    def coefficients(self, rows: Rows) -> Coefficients:
        """In the order of the engine."""
        u = np.zeros((rows.entities + 1, rows.z.shape[1]))
        u[: rows.entities] = self.effects[rows.eliminated]
        x = np.zeros(rows.width)
        x[: rows.fixed] = self.fixed
        categories = iter(self.categories)
        for group in rows.groups:
            values = next(categories) if group.effect is None else self.effects[group.effect]
            x[group.columns] = values.ravel()
        return Coefficients(u, x)


@dataclass
class State:
    """All that one iteration hands to the next, beside covariances and interactions.

    Attributes:
        now: The coefficients.
        variance: Posterior variance of each margin by which rows are weighed, shape (n,).
        direction: Of the last step, shape (n,).
        tilt: Of the last step by Laplace's method, shape (width,).
        warm: Whether coefficients are near their goal from the start.
        share: Share of new variances in those that weigh rows, and of a new tilt in that which is used.
        step_size: Of the last step.
        dispersion: Variance of labels around their mean.
        history: One entry a step: loss with priors, step size, relative change of the covariances.
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
    """The file from which a fit that was killed goes on.

    It is written after a step, at most once in ``every`` seconds, under another name and then renamed: there is either
    none or a whole one. Going on leads to the same numbers as never having stopped.

    Args:
        folder: Where it is kept.
        rows: The data; a file that was written for others is not used.
        settings: How it is fitted, as anything whose ``repr`` says all of it.
        every: Seconds of work that may be lost beside the step in which the fit was killed.
    """

    def __init__(self, folder: Path, rows: Rows, settings: object, every: float = 1.0) -> None:
        self._file = folder / "state.npz"
        self._rows, self._settings, self._every = rows, settings, every
        self._last = time.monotonic()
        self._fingerprint: str | None = None

    def load(self, state: State, covariances: Sequence[Covariance]) -> bool:
        """Take over what the file holds, if there is one for these data; whether there was."""
        if not self._file.is_file():
            return False
        with np.load(self._file, allow_pickle=False) as arrays:
            plain = json.loads(str(arrays["plain"]))
            if plain.pop("fingerprint") != self._own_fingerprint():
                return False
            state.history = plain["history"]
            state.share, state.step_size, state.dispersion = plain["share"], plain["step_size"], plain["dispersion"]
            for name, array in self._arrays(state):
                array[...] = arrays[name]
            for one, kept in zip(covariances, plain["covariances"], strict=True):
                one.restore(kept)
            for interaction, (change, sweeps) in zip(self._rows.interactions, plain["interactions"], strict=True):
                interaction.change, interaction.sweeps = change, sweeps
        return True

    def save(self, state: State, covariances: Sequence[Covariance]) -> None:
        """Write the file when it is time."""
        if time.monotonic() - self._last < self._every:
            return
        plain = {
            "fingerprint": self._own_fingerprint(),
            "history": state.history,
            "share": state.share,
            "step_size": state.step_size,
            "dispersion": state.dispersion,
            "covariances": [one.state() for one in covariances],
            "interactions": [(one.change, one.sweeps) for one in self._rows.interactions],
        }
        self._file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._file.with_suffix(f".{os.getpid()}")
        with temporary.open("wb") as file:
            arrays: dict[str, Any] = dict(self._arrays(state))
            np.savez(file, plain=np.array(json.dumps(plain)), **arrays)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._file)
        self._last = time.monotonic()

    def remove(self) -> None:
        """The fit is finished."""
        self._file.unlink(missing_ok=True)

    def _arrays(self, state: State) -> Iterator[tuple[str, Array]]:
        yield from (("u", state.now.u), ("x", state.now.x))
        yield from (("variance", state.variance), ("direction", state.direction), ("tilt", state.tilt))
        for k, one in enumerate(self._rows.interactions):
            for name in ("table", "variances", "prior", "mean", "variance"):
                yield f"interaction_{k}_{name}", getattr(one, name)

    def _own_fingerprint(self) -> str:
        if self._fingerprint is None:
            digest = hashlib.blake2b(repr(self._settings).encode(), digest_size=16)
            for one in fields(Rows):
                value = getattr(self._rows, one.name)
                if isinstance(value, np.ndarray):
                    digest.update(np.ascontiguousarray(value).data)
            for interaction in self._rows.interactions:
                digest.update(interaction.codes.data)
            self._fingerprint = digest.hexdigest()
        return self._fingerprint
