"""Compiled kernels of a sweep: Newton steps for many entities at once, one in each lane of a vector.

The coefficients of an entity are c = b + L w: b is the mean of the population, S = L L' its covariance. For row i

    m_i = t_i + s_i'c        with the stored numbers t_i and s_i of a row (``streamed.row_format``).

The likelihood of the row is averaged over the posterior Normal(c, V), in which m_i has the variance v_i = s_i'V s_i.
With its derivative q_i, its curvature w_i, and the prior Normal(0, 1) of w,

    g = L' sum q_i s_i - w        H = L' (sum w_i s_i s_i') L + 1        w <- w + g / H        V = L / H L'

until w converges. No eigenvalue of H is below 1, however small S is. Rows of zeros add nothing, so that the entities of
a block may have different numbers of rows. By loss,

    logistic   q_i = 1 - sigma(f(m_i))    w_i = f'(m_i) q_i (1 - q_i)    each times a_i where there are weights
    linear     q_i = -m_i / phi            w_i = 1 / phi
    poisson    q_i = a_i y_i - e_i         w_i = e_i = exp(m_i + v_i / 2)

The first is an approximation with f of :func:`~proml_kedro.models.mixed.losses.averaged_margin`: m_i is the margin
towards the observed label, whose sign cancels in H. The others are exact; phi is the residual variance.

A Newton step for counts may be much too long. If r is the largest change of an m_i along it, the step times
log(1 + r) / r never is: the third derivative of the likelihood is at most its second (Sun and Tran-Dinh, 2019,
*Generalized self-concordant functions*, Mathematical Programming).

Sums over entities are float64; for sums over rows see ``row_format.floats_of``. The format and the number of slopes d
are known to the compiler, which turns each loop over lanes into a few vector instructions. Compiling one combination
takes a few CPU-seconds; the result is kept on disk.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple, cast

import numba
import numpy as np

from proml_kedro.models.mixed.streamed.kernels import lanes as lanes_module
from proml_kedro.models.mixed.streamed.kernels.lanes import (
    add_segments,
    add_sums,
    add_up_lanes,
    clear,
    deviance_of,
    invert,
    largest,
    move,
    multiply,
    reach_of,
    read_state,
    shorten,
    transform,
    unwhiten,
    whiten,
    write_state,
)
from proml_kedro.models.mixed.streamed.kernels.variants import Function, name_variant
from proml_kedro.models.mixed.streamed.row_format import LINEAR, POISSON, floats_of, lanes_of, triangle

_PATIENCE = np.float32(4)  # steps after which V is moved ever less: means and variances might oscillate
_ONE = np.float32(1.0)


def _compiled(function: Function, *values: int) -> Function:
    compiler = numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
    return cast(Function, compiler(name_variant(function, *values)))


def _digest_of(file: Path) -> int:
    """Compute a checksum of the module whose functions become part of the kernels."""
    return zlib.crc32(file.read_bytes())


class Kernels(NamedTuple):
    """Compiled kernels for one number of slopes and one format of rows.

    Attributes:
        sweep: Fits the entities of a part.
        population: Sums gradient and curvature of rows that have no entity.
    """

    sweep: Callable[..., int]
    population: Callable[..., None]


@cache
def kernels_of(d: int, form: int) -> Kernels:
    """Compile the kernels for ``d`` slopes, the intercept among them, and rows of a format."""
    return Kernels(_sweep_of(d, form), _population_of(d, form))


def _terms_of(d: int, form: int) -> int:
    """Count the sums of g: with the linear loss the squares of m_i are summed too."""
    return d + 1 if form == LINEAR else d


def _sweep_of(d: int, form: int) -> Callable[..., int]:
    lanes, entries, terms, f = lanes_of(d), triangle(d), _terms_of(d, form), floats_of(form)
    source = _digest_of(Path(inspect.getfile(lanes_module)))

    def sweep(rows, starts, used, state, root, inverse, mean, spread, scale, tolerance, most, sums):
        """Fit every entity of a part, starting at ``state``.

        Args:
            rows: float32 of shape (rows, width, lanes), see :func:`.row_format.width_of`.
            starts: int64 of shape (blocks + 1,): first row of each block.
            used: int8 of shape (blocks,): number of lanes that hold an entity; 0 where the rows of one entity are in
                all lanes.
            state: float32 of shape (blocks, d + entries, lanes): u = L w and V; updated.
            root: Shape (d, d): L.
            inverse: Shape (d, d): 1 / L.
            mean: Shape (d,): b.
            spread: pi / 8 for logistic and 1 / 2 for poisson, or 0 for the mode of the posterior instead of its mean.
            scale: 1 / phi.
            tolerance: Steps of a block end when no coefficient moves further.
            most: Largest number of steps.
            sums: float64 of shape (d + 2 entries + 1,): the sums of w, of its products, of 1 - 1 / H, and with the
                linear loss of sum m_i^2 / phi + w'w are added to it.

        Returns:
            Number of visits to vectors of rows.
        """
        w, c, g, part_g = (
            np.zeros((d, lanes), f),
            np.zeros((d, lanes), f),
            np.zeros((terms, lanes), f),
            np.zeros((terms, lanes), f),
        )
        v, h, part_h = np.zeros((entries, lanes), f), np.zeros((entries, lanes), f), np.zeros((entries, lanes), f)
        told = np.zeros((entries, lanes), f)
        step, last, square = np.zeros((d, lanes), f), np.zeros((d, lanes), f), np.zeros((d * d, lanes), f)
        promised, nothing = np.zeros(lanes, f), np.zeros(d, f)
        reach, deviance = np.zeros((d, lanes), f), np.zeros(lanes, f)
        visited = source - source  # the checksum becomes part of the key under which the compiled function is kept
        for block in range(used.size):
            read_state(d, lanes, state, block, c, v)
            transform(d, lanes, inverse, c, nothing, w)
            last[:], promised[:] = 0, 0
            patience = _PATIENCE if v[0, 0] == 0 else _ONE  # in the first sweep V starts at zero
            first, end = starts[block], starts[block + 1]
            if form == POISSON:
                reach_of(d, lanes, rows, first, end, used[block], reach)
            for iteration in range(most):
                transform(d, lanes, root, w, mean, c)
                clear(terms, d, lanes, g, h)
                add_segments(form, terms, d, lanes, rows, first, end, c, v, spread, scale, part_g, part_h, g, h)
                if not used[block]:
                    add_up_lanes(lanes, g)
                    add_up_lanes(lanes, h)
                whiten(d, lanes, root, w, g, h, told, square)
                invert(d, lanes, h, step)
                multiply(d, lanes, h, g, step)
                if form == LINEAR:
                    deviance_of(d, lanes, scale, g, w, step, deviance)
                if form == POISSON:
                    shorten(d, lanes, root, reach, step)
                move(form, d, lanes, g, w, step, last, promised)
                unwhiten(d, lanes, root, h, min(_ONE, patience / np.float32(iteration + 1)), v, square)
                visited += end - first
                if largest(d, lanes, root, step) < tolerance:
                    break
            transform(d, lanes, root, w, nothing, c)
            write_state(d, lanes, c, v, state, block)
            add_sums(d, w, h, told, deviance, max(used[block], 1), sums)
        return visited

    return _compiled(sweep, d, form)


def _population_of(d: int, form: int) -> Callable[..., None]:
    lanes, entries, terms, f = lanes_of(d), triangle(d), _terms_of(d, form), floats_of(form)
    source = _digest_of(Path(inspect.getfile(lanes_module)))

    def population(rows, mean, scale, gradient, curvature):
        """Add g and H without the prior, at c = b, of rows that have no entity.

        These rows have no posterior of their own, so that their likelihood is not averaged.

        Args:
            rows: float32 of shape (rows, width, lanes).
            mean: Shape (d,): b.
            scale: 1 / phi.
            gradient: float64 of shape (d + 1,), to which g is added, and with the linear loss the sum of m_i^2.
            curvature: float64 of shape (entries,), to which H is added.
        """
        c, g, part_g = np.zeros((d, lanes), f), np.zeros((terms, lanes), f), np.zeros((terms, lanes), f)
        v, h, part_h = np.zeros((entries, lanes), f), np.zeros((entries, lanes), f), np.zeros((entries, lanes), f)
        for a in range(d):
            c[a] = mean[a]
        none = np.float32(source - source)  # as in the sweep
        add_segments(form, terms, d, lanes, rows, 0, rows.shape[0], c, v, none, scale, part_g, part_h, g, h)
        for a in range(terms):
            gradient[a] += g[a].sum()
        for k in range(entries):
            curvature[k] += h[k].sum()

    return _compiled(population, d, form)
