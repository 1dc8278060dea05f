"""Steps of the equations of :mod:`.compile`, each for all lanes of a block; they are inlined into the kernels.

Vectors over lanes have the shape (k, lanes), in float32 or float64 (``row_format.floats_of``). The lower triangle of a
symmetric matrix has d (d + 1) / 2 entries, (a, b) at a (a + 1) / 2 + b. Loops over a, b and k have few turns, whose
number the compiler knows: it unrolls them, and vectorises the loop over lanes around them.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

from proml_kedro.models.mixed.streamed.row_format import LINEAR, POISSON, WEIGHTED

Function = TypeVar("Function", bound=Callable[..., Any])

SEGMENT = 4096  # rows summed at a time; summing the sums of segments afterwards keeps float32 accurate enough
_RESTS = np.float32(1e-10)  # a squared step that is only rounding
_LARGEST_MARGIN = np.float32(60.0)  # of a count: a mean of 1e26, exceeded only before convergence
_LARGEST_SPREAD = np.float32(10.0)  # half of the variance of a count's margin during a fit: a factor of 22,000
_HARMLESS = np.float32(1e-3)  # a change of margins at which no Newton step is too long
_TURN = np.float32(4.0 / math.pi)  # as in losses.averaged_margin
_HALF, _ONE, _TWO = np.float32(0.5), np.float32(1.0), np.float32(2.0)


def _inlined(function: Function) -> Function:
    """Inline a function into its callers, where the compiler knows that arrays do not overlap, and the value of d.

    LLVM does so: the kernels are as fast as with Numba's own ``inline="always"``, which infers every type at each call
    anew, and are compiled in two thirds of the time.
    """
    return cast(Function, numba.njit(forceinline=True, fastmath=True, error_model="numpy")(function))


@_inlined
def exponential(x):
    """Compute e^x with a relative error of 5e-6.

    2^f is a polynomial of the fraction f of x / log 2, whose whole part becomes the bits of the exponent.
    """
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
def derivatives(form, m, variance, last, spread, scale):
    """Compute q_i and w_i of :mod:`.compile`; ``last`` is the weight, of a count label times weight."""
    if form == LINEAR:
        q, w = -scale * m, scale
    elif form == POISSON:
        w = exponential(np.float32(min(m + min(spread * variance, _LARGEST_SPREAD), _LARGEST_MARGIN)))
        q = last - w
    else:
        # losses.averaged_margin a second time: here in float32, inlined, and vectorised over lanes
        wide = spread * variance
        k = _ONE / math.sqrt(_ONE + wide)
        beyond = abs(m) * k * k / (_TURN * (_ONE + k)) - _HALF
        part = min(max(beyond, np.float32(0.0)), _ONE)
        size = k * abs(m) + _TURN * wide * (_HALF * part * part + max(beyond - _ONE, np.float32(0.0)))
        q = _ONE / (_ONE + exponential(size if m > 0 else -size))
        slope = k + (_ONE - k) * part
        w = slope * q * (_ONE - q)
        if form == WEIGHTED:
            q, w = last * q, last * w
    return q, w


@_inlined
def add_rows(form, d, lanes, rows, first, last, c, v, spread, scale, g, h):
    """Add q_i s_i to g and w_i s_i s_i' to h in every lane; with the linear loss also m_i^2 to the last entry of g."""
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
            extra = rows[i, 1 + d, lane] if form in (WEIGHTED, POISSON) else _ONE
            q, w = derivatives(form, m, variance, extra, spread, scale)
            for a in range(d):
                s = rows[i, 1 + a, lane]
                g[a, lane] += q * s
                ws = w * s
                for b in range(a + 1):
                    h[a * (a + 1) // 2 + b, lane] += ws * rows[i, 1 + b, lane]
            if form == LINEAR:
                g[d, lane] += m * m


@_inlined
def invert(d, lanes, h, column):
    """Replace the matrix in every lane by its inverse, with the sweep operator (Goodnight, 1979)."""
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
def whiten(d, lanes, root, w, g, h, told, square):
    """Replace g by L'g - w and h by L'h L + 1; set ``told`` to L'h L, which rounding would lose beside 1."""
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
                at = a * (a + 1) // 2 + b
                told[at, lane] = np.float32(0.0)
                for k in range(a, d):
                    told[at, lane] += root[k, a] * square[k * d + b, lane]
                h[at, lane] = told[at, lane] + (_ONE if a == b else np.float32(0.0))


@_inlined
def multiply(d, lanes, h, g, product):
    """Set ``product`` to h times g in every lane; h is symmetric."""
    for lane in range(lanes):
        for a in range(d):
            product[a, lane] = np.float32(0.0)
        for a in range(d):
            for b in range(a + 1):
                product[a, lane] += h[a * (a + 1) // 2 + b, lane] * g[b, lane]
                if b < a:
                    product[b, lane] += h[a * (a + 1) // 2 + b, lane] * g[a, lane]


@_inlined
def deviance_of(d, lanes, scale, g, w, step, deviance):
    """Set the deviance sum m_i^2 / phi + w'w in every lane to its value after the step: it falls by step'g."""
    for lane in range(lanes):
        deviance[lane] = scale * g[d, lane]
        for a in range(d):
            deviance[lane] += w[a, lane] * w[a, lane] - step[a, lane] * g[a, lane]


@_inlined
def reach_of(d, lanes, rows, first, last, used, reach):
    """Set ``reach`` to the largest absolute value of each slope over the rows of an entity."""
    reach[:] = 0
    for i in range(first, last):
        for a in range(d):
            for lane in range(lanes):
                reach[a, lane] = max(reach[a, lane], abs(rows[i, 1 + a, lane]))
    if not used:
        for a in range(d):
            reach[a, :] = reach[a].max()


@_inlined
def shorten(d, lanes, root, reach, step):
    """Multiply the step by log(1 + r) / r, where no m_i changes by more than r along it."""
    for lane in range(lanes):
        r = np.float32(0.0)
        for a in range(d):
            change = np.float32(0.0)
            for k in range(a + 1):
                change += root[a, k] * step[k, lane]
            r += reach[a, lane] * abs(change)
        part = math.log1p(r) / r if r > _HARMLESS else _ONE
        for a in range(d):
            step[a, lane] *= part


@_inlined
def move(form, d, lanes, g, w, step, last, promised):
    """Move w by the step. If the last step went far beyond the maximum, move back instead, to where its slope is zero.

    With the linear loss a step leads to the solution, and steps of counts have been shortened: neither moves back.
    """
    for lane in range(lanes):
        slope = np.float32(0.0)
        decrement = np.float32(0.0)
        for a in range(d):
            slope += last[a, lane] * g[a, lane]
            decrement += step[a, lane] * g[a, lane]
        beyond = promised[lane] > _RESTS and slope < -_HALF * promised[lane] and form not in (LINEAR, POISSON)
        part = promised[lane] / (promised[lane] - slope) if beyond else _ONE
        promised[lane] = part * promised[lane] if beyond else decrement
        for a in range(d):
            newton = step[a, lane]
            step[a, lane] = (part - _ONE) * last[a, lane] if beyond else newton
            last[a, lane] = part * last[a, lane] if beyond else newton
            w[a, lane] += step[a, lane]


@_inlined
def unwhiten(d, lanes, root, h, share, v, square):
    """Move V a share of the way towards L h L'."""
    for lane in range(lanes):
        for a in range(d):
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
def largest(d, lanes, root, step):
    """Find the largest absolute entry of L times the step."""
    found = np.float32(0.0)
    for lane in range(lanes):
        for a in range(d):
            change = np.float32(0.0)
            for k in range(a + 1):
                change += root[a, k] * step[k, lane]
            found = max(found, abs(change))
    return found


@_inlined
def add_up_lanes(lanes, values):
    """Set every lane to the sum over all lanes."""
    for k in range(values.shape[0]):
        total = np.float32(0.0)
        for lane in range(lanes):
            total += values[k, lane]
        for lane in range(lanes):
            values[k, lane] = total


@_inlined
def read_state(d, lanes, state, block, u, v):
    """Read u and V of a block. Numba compiles an assignment of slices in seconds, with words for shapes that differ."""
    for lane in range(lanes):
        for a in range(d):
            u[a, lane] = state[block, a, lane]
        for at in range(d * (d + 1) // 2):
            v[at, lane] = state[block, d + at, lane]


@_inlined
def write_state(d, lanes, u, v, state, block):
    """Write u and V of a block."""
    for lane in range(lanes):
        for a in range(d):
            state[block, a, lane] = u[a, lane]
        for at in range(d * (d + 1) // 2):
            state[block, d + at, lane] = v[at, lane]


@_inlined
def transform(d, lanes, matrix, x, shift, y):
    """Set y to shift + matrix x in every lane, for a lower triangular matrix."""
    for lane in range(lanes):
        for a in range(d):
            y[a, lane] = shift[a]
            for k in range(a + 1):
                y[a, lane] += matrix[a, k] * x[k, lane]


@_inlined
def clear(terms, d, lanes, g, h):
    """Set the first ``terms`` entries of g, and h, to zero."""
    for lane in range(lanes):
        for a in range(terms):
            g[a, lane] = np.float32(0.0)
        for a in range(d):
            for b in range(a + 1):
                h[a * (a + 1) // 2 + b, lane] = np.float32(0.0)


@_inlined
def add_segments(form, terms, d, lanes, rows, first, last, c, v, spread, scale, part_g, part_h, g, h):
    """Add rows as :func:`add_rows` does, by way of the sums of segments."""
    for start in range(first, last, SEGMENT):
        clear(terms, d, lanes, part_g, part_h)
        add_rows(form, d, lanes, rows, start, min(start + SEGMENT, last), c, v, spread, scale, part_g, part_h)
        for lane in range(lanes):
            for a in range(terms):
                g[a, lane] += part_g[a, lane]
            for a in range(d):
                for b in range(a + 1):
                    h[a * (a + 1) // 2 + b, lane] += part_h[a * (a + 1) // 2 + b, lane]


@_inlined
def add_sums(d, w, h, told, deviance, count, sums):
    """Add w, its products, 1 - 1 / H and ``deviance`` of the first ``count`` lanes to ``sums``; h is 1 / H.

    Where rows have little information, 1 / H is 1 but for rounding: the difference is computed as ``told`` / H.
    """
    for lane in range(count):
        for a in range(d):
            value = float(w[a, lane])
            sums[a] += value
            for b in range(a + 1):
                at = a * (a + 1) // 2 + b
                sums[d + at] += value * w[b, lane]
                if b < a:
                    sums[d + d * (d + 1) // 2 + at] -= h[at, lane]
                elif told[at, lane] > _ONE:
                    sums[d + d * (d + 1) // 2 + at] += _ONE - h[at, lane]
                else:
                    lacking = np.float32(0.0)
                    for k in range(d):
                        low, high = min(a, k), max(a, k)
                        lacking += told[high * (high + 1) // 2 + low, lane] * h[high * (high + 1) // 2 + low, lane]
                    sums[d + d * (d + 1) // 2 + at] += lacking
        sums[d + d * (d + 1)] += deviance[lane]
