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

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np

SEGMENT = 4096  # rows summed in one go; the sums of segments are summed after that, which keeps float32 exact enough
_PATIENCE = 8  # steps after which variances are averaged with their last ones: means and variances may chase each other
Function = TypeVar("Function", bound=Callable[..., Any])

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
            pivot = _ONE / max(column[p, lane], _HALF)  # pivots are at least 1, but for rounding
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
def whiten(d, lanes, root, w, g, h, square):
    """Replace g by L'g - w and h by L'h L + 1."""
    for lane in range(lanes):
        for a in range(d):
            for b in range(d):
                square[a * d + b, lane] = np.float32(0.0)
                for k in range(b, d):
                    low, high = min(a, k), max(a, k)
                    square[a * d + b, lane] += h[high * (high + 1) // 2 + low, lane] * root[k, b]
    for lane in range(lanes):
        for a in range(d):
            g[a, lane] = root[a, a] * g[a, lane] - w[a, lane]
            for k in range(a + 1, d):
                g[a, lane] += root[k, a] * g[k, lane]
            for b in range(a + 1):
                value = _ONE if a == b else np.float32(0.0)
                for k in range(a, d):
                    value += root[k, a] * square[k * d + b, lane]
                h[a * (a + 1) // 2 + b, lane] = value


@_inlined
def move_to(d, lanes, root, g, h, w, share, v, newton, last, promised, moved, square):
    """Move w by g / H, and V a share of the way; ``moved`` becomes the largest change of c.

    If the last step led far beyond, to where the slope has turned, w goes back to where it crosses zero.
    """
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
            newton[a, lane] = step
            w[a, lane] += step
    for lane in range(lanes):
        for a in range(d):
            change = np.float32(0.0)
            for k in range(a + 1):
                change += root[a, k] * newton[k, lane]
            moved[lane] = max(moved[lane], abs(change))
            for b in range(d):
                square[a * d + b, lane] = np.float32(0.0)
                for k in range(a + 1):
                    low, high = min(b, k), max(b, k)
                    square[a * d + b, lane] += root[a, k] * h[high * (high + 1) // 2 + low, lane]
    for lane in range(lanes):
        for a in range(d):
            for b in range(a + 1):
                value = np.float32(0.0)
                for k in range(b + 1):
                    value += square[a * d + k, lane] * root[b, k]
                v[a * (a + 1) // 2 + b, lane] += share * (value - v[a * (a + 1) // 2 + b, lane])


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
def transform(d, lanes, matrix, x, shift, y):
    """Set y to shift + matrix x in every lane; the matrix is lower triangular."""
    for lane in range(lanes):
        for a in range(d):
            y[a, lane] = shift[a]
            for k in range(a + 1):
                y[a, lane] += matrix[a, k] * x[k, lane]


@_inlined
def clear(d, lanes, g, h):
    """Set g and h to zero."""
    for lane in range(lanes):
        for a in range(d):
            g[a, lane] = np.float32(0.0)
            for b in range(a + 1):
                h[a * (a + 1) // 2 + b, lane] = np.float32(0.0)


@_inlined
def add_segments(d, lanes, rows, first, last, c, v, spread, part_g, part_h, g, h):
    """As :func:`add_rows`, by way of the sums of segments."""
    for start in range(first, last, SEGMENT):
        clear(d, lanes, part_g, part_h)
        add_rows(d, lanes, rows, start, min(start + SEGMENT, last), c, v, spread, part_g, part_h)
        for lane in range(lanes):
            for a in range(d):
                g[a, lane] += part_g[a, lane]
                for b in range(a + 1):
                    h[a * (a + 1) // 2 + b, lane] += part_h[a * (a + 1) // 2 + b, lane]


@_inlined
def add_sums(d, w, h, count, sums):
    """Add w, its products, and what stands in h of the first ``count`` lanes to ``sums``."""
    for lane in range(count):
        for a in range(d):
            value = float(w[a, lane])
            sums[a] += value
            for b in range(a + 1):
                sums[d + a * (a + 1) // 2 + b] += value * w[b, lane]
        for k in range(d * (d + 1) // 2):
            sums[d + d * (d + 1) // 2 + k] += h[k, lane]


@cache
def kernels_of(d: int) -> Kernels:
    """Compile for ``d`` slopes, the intercept among them."""
    lanes, entries, f = lanes_of(d), triangle(d), np.float32

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
        newton, last, square = np.zeros((d, lanes), f), np.zeros((d, lanes), f), np.zeros((d * d, lanes), f)
        promised, moved, nothing = np.zeros(lanes, f), np.zeros(lanes, f), np.zeros(d, f)
        visited = 0
        for block in range(used.size):
            c[:], v[:] = state[block, :d], state[block, d:]
            transform(d, lanes, inverse, c, nothing, w)
            last[:], promised[:] = 0, 0
            first, end = starts[block], starts[block + 1]
            for iteration in range(most):
                transform(d, lanes, root, w, mean, c)
                clear(d, lanes, g, h)
                add_segments(d, lanes, rows, first, end, c, v, spread, part_g, part_h, g, h)
                if not used[block]:
                    add_up_lanes(lanes, g)
                    add_up_lanes(lanes, h)
                whiten(d, lanes, root, w, g, h, square)
                invert(d, lanes, h, newton)
                share = _ONE if iteration < _PATIENCE else _HALF
                move_to(d, lanes, root, g, h, w, share, v, newton, last, promised, moved, square)
                visited += end - first
                if moved.max() < tolerance:
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
