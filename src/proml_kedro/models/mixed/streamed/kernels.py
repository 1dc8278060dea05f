"""The compiled loops of a sweep: Newton steps for many entities at once, one in each lane of a vector.

For row i of an entity with the coefficients c (those of the population and its own together), label y_i in {-1, 1},
offset o_i and slopes z_i, the margin towards the label that was seen is

    m_i = t_i + s_i'c        with what is stored of a row: t_i = y_i o_i and s_i = y_i z_i.

Its likelihood, averaged over the posterior Normal(c, V), is about sigma(k_i m_i), k_i = 1 / sqrt(1 + pi v_i / 8), with
v_i = s_i'V s_i (MacKay, 1992). With q_i = 1 - sigma(k_i m_i), w_i = k_i q_i (1 - q_i), and the prior Normal(b, 1 / P),

    g = sum q_i s_i - P (c - b)        H = sum w_i s_i s_i' + P        V = 1 / H        c <- c + V g

until c rests. The sign of y_i cancels in H, and a row of zeros adds nothing: entities of a block may differ in rows.

Numbers are float32; sums over entities are float64. The number of slopes d is known to the compiler, which turns each
loop over lanes into a few vector instructions. Compiling for one d takes a few CPU-seconds; the result is kept on disk.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np

SEGMENT = 4096  # rows summed in one go; the sums of segments are summed after that, which keeps float32 exact enough
_PATIENCE = 8  # steps after which variances are averaged with their last ones: means and variances may chase each other
Function = TypeVar("Function", bound=Callable[..., Any])

_SMALLEST = np.float32(1e-6)  # pivot there can be: none is smaller than the smallest eigenvalue of P but by rounding
_HALF, _ONE, _TWO = np.float32(0.5), np.float32(1.0), np.float32(2.0)


def _inlined(function: Function) -> Function:
    """Becomes a part of what calls it, where the compiler sees that arrays are apart and d is a number."""
    return cast(Function, numba.njit(inline="always", fastmath=True, error_model="numpy")(function))


def _compiled(function: Function) -> Function:
    return cast(Function, numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")(function))


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


@_inlined
def exponential(x):
    """e^x to 5e-6 of itself: 2^f by a polynomial, with the whole part of x / log 2 put in as the exponent's bits."""
    power = min(max(x * np.float32(1.442695041), np.float32(-126.0)), np.float32(126.0))
    whole = np.floor(power + _HALF)
    f = power - whole
    p = np.float32(1.3333558e-3)
    p = p * f + np.float32(9.6181291e-3)
    p = p * f + np.float32(5.5504109e-2)
    p = p * f + np.float32(2.4022651e-1)
    p = p * f + np.float32(6.9314718e-1)
    p = p * f + _ONE
    return p * np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)


@_inlined
def add_rows(d, lanes, rows, first, last, c, v, spread, g, h):
    """In every lane add q_i s_i to g, and w_i s_i s_i' to h; ``spread`` is pi / 8, or 0 for k_i = 1."""
    for i in range(first, last):
        for lane in range(lanes):
            m = rows[i, 0, lane]
            variance = np.float32(0.0)
            for a in range(d):
                s = rows[i, 1 + a, lane]
                m += s * c[a, lane]
                beside = np.float32(0.0)
                for b in range(a):
                    beside += v[a * (a + 1) // 2 + b, lane] * rows[i, 1 + b, lane]
                variance += s * (v[a * (a + 1) // 2 + a, lane] * s + _TWO * beside)
            k = _ONE / math.sqrt(_ONE + spread * variance)
            q = _ONE / (_ONE + exponential(k * m))
            w = k * q * (_ONE - q)
            for a in range(d):
                s = rows[i, 1 + a, lane]
                g[a, lane] += q * s
                ws = w * s
                for b in range(a + 1):
                    h[a * (a + 1) // 2 + b, lane] += ws * rows[i, 1 + b, lane]


@_inlined
def invert(d, lanes, h, column):
    """Replace the matrix in every lane by its inverse, one pivot after the other (Goodnight, 1979)."""
    for p in range(d):
        for lane in range(lanes):
            for a in range(d):
                low, high = min(a, p), max(a, p)
                column[a, lane] = h[high * (high + 1) // 2 + low, lane]
            pivot = _ONE / max(column[p, lane], _SMALLEST)
            for a in range(d):
                scaled = column[a, lane] * pivot
                for b in range(a + 1):
                    h[a * (a + 1) // 2 + b, lane] -= scaled * column[b, lane]
            for a in range(d):
                low, high = min(a, p), max(a, p)
                h[high * (high + 1) // 2 + low, lane] = column[a, lane] * pivot
            h[p * (p + 1) // 2 + p, lane] = -pivot
    for lane in range(lanes):
        for at in range(d * (d + 1) // 2):
            h[at, lane] = -h[at, lane]


@_inlined
def step_to(d, lanes, g, h, c, v, share, newton, last, promised, moved):
    """Move c by V g; or back, to where the slope along the last step crosses zero, if that led far beyond."""
    for lane in range(lanes):
        for a in range(d):
            newton[a, lane] = np.float32(0.0)
        for a in range(d):
            for b in range(a + 1):
                newton[a, lane] += h[a * (a + 1) // 2 + b, lane] * g[b, lane]
                if b < a:
                    newton[b, lane] += h[a * (a + 1) // 2 + b, lane] * g[a, lane]
    for lane in range(lanes):
        slope = np.float32(0.0)
        decrement = np.float32(0.0)
        for a in range(d):
            slope += last[a, lane] * g[a, lane]
            decrement += newton[a, lane] * g[a, lane]
        beyond = slope < -_HALF * promised[lane]
        part = promised[lane] / (promised[lane] - slope) if beyond else _ONE
        promised[lane] = part * promised[lane] if beyond else decrement
        moved[lane] = np.float32(0.0)
        for a in range(d):
            step = (part - _ONE) * last[a, lane] if beyond else newton[a, lane]
            last[a, lane] = part * last[a, lane] if beyond else newton[a, lane]
            c[a, lane] += step
            moved[lane] = max(moved[lane], abs(step))
        for at in range(d * (d + 1) // 2):
            v[at, lane] += share * (h[at, lane] - v[at, lane])


@_inlined
def add_up_lanes(lanes, values):
    """Put the sum over the lanes into each of them."""
    for k in range(values.shape[0]):
        total = np.float32(0.0)
        for lane in range(lanes):
            total += values[k, lane]
        for lane in range(lanes):
            values[k, lane] = total


@_inlined
def begin(d, lanes, precision, mean, share, c, g, h):
    """Set g to -P (c - b) and h to P, or a share of them."""
    for lane in range(lanes):
        for a in range(d):
            g[a, lane] = np.float32(0.0)
        for a in range(d):
            for b in range(a + 1):
                p = share * precision[a * (a + 1) // 2 + b]
                h[a * (a + 1) // 2 + b, lane] = p
                g[a, lane] -= p * (c[b, lane] - mean[b])
                if b < a:
                    g[b, lane] -= p * (c[a, lane] - mean[a])


@_inlined
def add_segments(d, lanes, rows, first, last, c, v, spread, part_g, part_h, g, h):
    """As :func:`add_rows`, by way of the sums of segments."""
    for start in range(first, last, SEGMENT):
        for lane in range(lanes):
            for a in range(d):
                part_g[a, lane] = np.float32(0.0)
                for b in range(a + 1):
                    part_h[a * (a + 1) // 2 + b, lane] = np.float32(0.0)
        add_rows(d, lanes, rows, start, min(start + SEGMENT, last), c, v, spread, part_g, part_h)
        for lane in range(lanes):
            for a in range(d):
                g[a, lane] += part_g[a, lane]
                for b in range(a + 1):
                    h[a * (a + 1) // 2 + b, lane] += part_h[a * (a + 1) // 2 + b, lane]


@_inlined
def add_sums(d, c, v, mean, count, sums):
    """Add c - b, its products, and V of the first ``count`` lanes to ``sums``."""
    for lane in range(count):
        for a in range(d):
            u = float(c[a, lane] - mean[a])
            sums[a] += u
            for b in range(a + 1):
                sums[d + a * (a + 1) // 2 + b] += u * (c[b, lane] - mean[b])
        for k in range(d * (d + 1) // 2):
            sums[d + d * (d + 1) // 2 + k] += v[k, lane]


@cache
def kernels_of(d: int) -> Kernels:
    """Compile for ``d`` slopes, the intercept among them."""
    lanes, entries, f = lanes_of(d), triangle(d), np.float32

    @_compiled
    def sweep(rows, starts, used, state, precision, mean, spread, tolerance, most, sums):
        """Fit every entity of a part, from where ``state`` left it.

        Args:
            rows: float32 of shape (rows, 1 + d, lanes): t_i and s_i.
            starts: int64 of shape (blocks + 1,): where the rows of each block begin.
            used: int8 of shape (blocks,): lanes that hold an entity; 0 where one entity's rows are in all lanes.
            state: float32 of shape (blocks, d + entries, lanes): c and V; updated.
            precision: float32 of shape (entries,): P.
            mean: float32 of shape (d,): b.
            spread: pi / 8, or 0 for the mode of the posterior instead of its mean.
            tolerance: Steps of a block end when no coefficient moves further.
            most: Steps there may be.
            sums: float64 of shape (d + 2 entries,): the sums of c - b, of its products and of V are added.

        Returns:
            Rows visited, in vectors.
        """
        c, g, part_g = np.zeros((d, lanes), f), np.zeros((d, lanes), f), np.zeros((d, lanes), f)
        v, h, part_h = np.zeros((entries, lanes), f), np.zeros((entries, lanes), f), np.zeros((entries, lanes), f)
        column, last = np.zeros((d, lanes), f), np.zeros((d, lanes), f)
        promised, moved = np.zeros(lanes, f), np.zeros(lanes, f)
        visited = 0
        for block in range(used.size):
            c[:], v[:] = state[block, :d], state[block, d:]
            last[:], promised[:] = 0, 0
            first, end = starts[block], starts[block + 1]
            prior_share = _ONE if used[block] else _ONE / np.float32(lanes)  # the lanes of one entity are summed
            for iteration in range(most):
                begin(d, lanes, precision, mean, prior_share, c, g, h)
                add_segments(d, lanes, rows, first, end, c, v, spread, part_g, part_h, g, h)
                if not used[block]:
                    add_up_lanes(lanes, g)
                    add_up_lanes(lanes, h)
                invert(d, lanes, h, column)
                share = _ONE if iteration < _PATIENCE else _HALF
                step_to(d, lanes, g, h, c, v, share, column, last, promised, moved)
                visited += end - first
                if moved.max() < tolerance:
                    break
            state[block, :d], state[block, d:] = c, v
            add_sums(d, c, v, mean, max(used[block], 1), sums)
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
