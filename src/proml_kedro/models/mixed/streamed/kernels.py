"""The compiled loops of a sweep: Newton steps for many entities at once, one in each lane of a vector.

For row i of an entity with the coefficients c = b + L w, those of the population and its own, where S = L L' is the
covariance of the population, with label y_i in {-1, 1}, offset o_i and slopes z_i, the margin towards the label seen is

    m_i = t_i + s_i'c        with what is stored of a row: t_i = y_i o_i and s_i = y_i z_i.

Its likelihood, averaged over the posterior Normal(c, V), is about sigma(k_i m_i), k_i = 1 / sqrt(1 + pi v_i / 8), with
v_i = s_i'V s_i (MacKay, 1992). With q_i = 1 - sigma(k_i m_i), w_i = k_i q_i (1 - q_i), and the prior Normal(0, 1) of w,

    g = L' sum q_i s_i - w        H = L' (sum w_i s_i s_i') L + 1        w <- w + g / H        V = L / H L'

until w rests. No eigenvalue of H is below 1, however narrow S is. The sign of y_i cancels in H, and a row of zeros adds
nothing: entities of a block may differ in rows.

Numbers are float32; sums over entities are float64. The number of slopes d is known to the compiler, which turns each
loop over lanes into a few vector instructions. Compiling for one d takes a few CPU-seconds; the result is kept on disk.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np

from proml_kedro.models.mixed.streamed import lanes as lanes_module
from proml_kedro.models.mixed.streamed.lanes import (
    add_segments,
    add_sums,
    add_up_lanes,
    clear,
    invert,
    largest,
    move,
    multiply,
    transform,
    unwhiten,
    whiten,
)

Function = TypeVar("Function", bound=Callable[..., Any])

_PATIENCE = np.float32(4)  # steps after which V is moved ever less: means and variances may chase each other
_ONE = np.float32(1.0)


def _compiled(function: Function) -> Function:
    return cast(Function, numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")(function))


def _digest_of(file: Path) -> int:
    """A number for the content of the module whose functions become part of the kernels."""
    return zlib.crc32(file.read_bytes())


def lanes_of(d: int) -> int:
    """Entities in a block: two vectors of eight. A loop of few instructions is made vectors of when it is longer."""
    return 16 if d > 2 else 64


def triangle(d: int) -> int:
    """Entries of a symmetric matrix: entry (a, b) with b <= a is at a (a + 1) / 2 + b."""
    return d * (d + 1) // 2


class Kernels(NamedTuple):
    """What :func:`kernels_of` compiles; see there.

    Attributes:
        sweep: Fits the entities of a part.
        population: Gradient and curvature of rows that have no entity.
    """

    sweep: Callable[..., int]
    population: Callable[..., None]


@cache
def kernels_of(d: int) -> Kernels:
    """Compile for ``d`` slopes, the intercept among them."""
    lanes, entries, f = lanes_of(d), triangle(d), np.float32
    source = _digest_of(Path(inspect.getfile(lanes_module)))

    @_compiled
    def sweep(rows, starts, used, state, root, inverse, mean, spread, tolerance, most, sums):
        """Fit every entity of a part, from where ``state`` left it.

        Args:
            rows: float32 of shape (rows, 1 + d, lanes): t_i and s_i.
            starts: int64 of shape (blocks + 1,): where the rows of each block begin.
            used: int8 of shape (blocks,): lanes that hold an entity; 0 where one entity's rows are in all lanes.
            state: float32 of shape (blocks, d + entries, lanes): u = L w and V; updated.
            root: float32 of shape (d, d): L.
            inverse: float32 of shape (d, d): 1 / L.
            mean: float32 of shape (d,): b.
            spread: pi / 8, or 0 for the mode of the posterior instead of its mean.
            tolerance: Steps of a block end when no coefficient moves further.
            most: Steps there may be.
            sums: float64 of shape (d + 2 entries,): the sums of w, of its products and of 1 / H are added.

        Returns:
            Rows visited, in vectors.
        """
        w, c, g, part_g = (
            np.zeros((d, lanes), f),
            np.zeros((d, lanes), f),
            np.zeros((d, lanes), f),
            np.zeros((d, lanes), f),
        )
        v, h, part_h = np.zeros((entries, lanes), f), np.zeros((entries, lanes), f), np.zeros((entries, lanes), f)
        step, last, square = np.zeros((d, lanes), f), np.zeros((d, lanes), f), np.zeros((d * d, lanes), f)
        promised, nothing = np.zeros(lanes, f), np.zeros(d, f)
        visited = source - source  # what a function refers to is a part of the key under which it is kept compiled
        for block in range(used.size):
            c[:], v[:] = state[block, :d], state[block, d:]
            transform(d, lanes, inverse, c, nothing, w)
            last[:], promised[:] = 0, 0
            patience = _PATIENCE if v[0, 0] == 0 else _ONE  # the first time V comes from nothing
            first, end = starts[block], starts[block + 1]
            for iteration in range(most):
                transform(d, lanes, root, w, mean, c)
                clear(d, lanes, g, h)
                add_segments(d, lanes, rows, first, end, c, v, spread, part_g, part_h, g, h)
                if not used[block]:
                    add_up_lanes(lanes, g)
                    add_up_lanes(lanes, h)
                whiten(d, lanes, root, w, g, h, square)
                invert(d, lanes, h, step)
                multiply(d, lanes, h, g, step)
                move(d, lanes, g, w, step, last, promised)
                unwhiten(d, lanes, root, h, min(_ONE, patience / np.float32(iteration + 1)), v, square)
                visited += end - first
                if largest(d, lanes, root, step) < tolerance:
                    break
            transform(d, lanes, root, w, nothing, c)
            state[block, :d], state[block, d:] = c, v
            add_sums(d, w, h, max(used[block], 1), sums)
        return visited

    @_compiled
    def population(rows, mean, gradient, curvature):
        """Add g and H without the prior, at c = b, of rows that have no entity: float64 of shapes (d,) and (entries,).

        Nothing varies between entities that are not known, so that k_i is 1.
        """
        c, g, part_g = np.zeros((d, lanes), f), np.zeros((d, lanes), f), np.zeros((d, lanes), f)
        v, h, part_h = np.zeros((entries, lanes), f), np.zeros((entries, lanes), f), np.zeros((entries, lanes), f)
        for a in range(d):
            c[a] = mean[a]
        add_segments(d, lanes, rows, 0, rows.shape[0], c, v, np.float32(0.0), part_g, part_h, g, h)
        for a in range(d):
            gradient[a] += g[a].sum()
        for k in range(entries):
            curvature[k] += h[k].sum()

    return Kernels(sweep, population)
