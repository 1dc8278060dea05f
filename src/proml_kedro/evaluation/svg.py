"""Small drawings for a page without scripts: lines with a band, and bars with intervals, as inline SVG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from proml_kedro.evaluation.rates import Array

_WIDTH, _HEIGHT, _LEFT, _BELOW, _EDGE = 520, 300, 56, 40, 12
_BLUE, _GREY = "#3b6ea5", "#8a8a8a"


@dataclass(frozen=True)
class Line:
    """A line through points with a band around it.

    Attributes:
        x: Shape (points,).
        y: Shape (points,).
        low: Lower end of the band; NaN where there is none.
        high: Upper end.
        diagonal: Whether the ends of both axes are 0 and 1, with the diagonal drawn.
    """

    x: Array
    y: Array
    low: Array
    high: Array
    diagonal: bool = False


def line_chart(line: Line, x_label: str, y_label: str) -> str:
    """Draw a line with its band.

    Args:
        line: The points.
        x_label: What is across.
        y_label: What is up.
    """
    across, up = (0.0, 1.0), (0.0, 1.0)
    if not line.diagonal:
        across, up = _ends(line.x), _ends(line.y, line.low, line.high)
    x, y, low, high = (
        _scaled(values, ends, start, size)
        for values, ends, start, size in (
            (line.x, across, _LEFT, _WIDTH - _LEFT - _EDGE),
            (line.y, up, _HEIGHT - _BELOW, -(_HEIGHT - _BELOW - _EDGE)),
            (line.low, up, _HEIGHT - _BELOW, -(_HEIGHT - _BELOW - _EDGE)),
            (line.high, up, _HEIGHT - _BELOW, -(_HEIGHT - _BELOW - _EDGE)),
        )
    )
    parts = list(_axes(across, up, x_label, y_label))
    if line.diagonal:
        corner = f"{_LEFT},{_HEIGHT - _BELOW} {_WIDTH - _EDGE},{_EDGE}"
        parts.append(f'<polyline points="{corner}" fill="none" stroke="{_GREY}" stroke-dasharray="3 3"/>')
    told = np.isfinite(low) & np.isfinite(high)
    band = _points([*x[told], *x[told][::-1]], [*low[told], *high[told][::-1]])
    parts.append(f'<polygon points="{band}" fill="{_BLUE}" opacity="0.18"/>')
    parts.append(f'<polyline points="{_points(x, y)}" fill="none" stroke="{_BLUE}" stroke-width="1.8"/>')
    parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.6" fill="{_BLUE}"/>' for a, b in zip(x, y, strict=True)]
    return _svg(parts, _HEIGHT, f"{y_label} by {x_label}")


def bar_chart(names: Sequence[str], mean: Array, low: Array, high: Array, label: str) -> str:
    """Draw a bar with an interval for each name, one below the other.

    Args:
        names: Of the bars.
        mean: How long they are, shape (bars,).
        low: Lower ends of intervals; NaN where there is none.
        high: Upper ends.
        label: What is measured.
    """
    left, row = 190, 22
    height = row * len(names) + _BELOW
    ends = _ends(mean, low, high, np.zeros(1))
    place = [_scaled(one, ends, left, _WIDTH - left - _EDGE) for one in (mean, low, high, np.zeros(1))]
    parts = []
    for number, name in enumerate(names):
        top = number * row + 4
        start, end = sorted((float(place[3][0]), float(place[0][number])))
        short = name if len(name) <= 28 else f"{name[:27]}…"
        parts.append(f'<text x="{left - 6}" y="{top + 12}" text-anchor="end">{escape(short)}</text>')
        if np.isfinite(end):
            parts.append(
                f'<rect x="{start:.1f}" y="{top}" width="{end - start:.1f}" height="15" fill="{_BLUE}" opacity="0.75"/>'
            )
        if np.isfinite(low[number]):
            ends_of = f'x1="{place[1][number]:.1f}" x2="{place[2][number]:.1f}"'
            parts.append(f'<line {ends_of} y1="{top + 7.5}" y2="{top + 7.5}" stroke="black"/>')
    for tick in np.linspace(*ends, 5):
        (x,) = _scaled(np.array([tick]), ends, left, _WIDTH - left - _EDGE)
        parts.append(f'<text x="{x:.1f}" y="{height - 20}" text-anchor="middle">{tick:.3g}</text>')
    parts.append(f'<text x="{left}" y="{height - 4}">{escape(label)}</text>')
    return _svg(parts, height, label)


def point_chart(names: Sequence[str], x: Array, y: Array, labels: tuple[str, str]) -> str:
    """Draw a point with its name at each place.

    Args:
        names: Of the points.
        x: Shape (points,).
        y: Shape (points,).
        labels: What is across, and what is up.
    """
    across, up = _ends(x), _ends(y)
    places = _scaled(x, across, _LEFT, _WIDTH - _LEFT - _EDGE)
    heights = _scaled(y, up, _HEIGHT - _BELOW, -(_HEIGHT - _BELOW - _EDGE))
    parts = list(_axes(across, up, *labels))
    for name, a, b in zip(names, places, heights, strict=True):
        short = name if len(name) <= 28 else f"{name[:27]}…"
        side, gap = ("end", -5) if a > _WIDTH / 2 else ("start", 5)
        parts.append(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.6" fill="{_BLUE}"/>')
        parts.append(
            f'<text x="{a + gap:.1f}" y="{b + 3:.1f}" text-anchor="{side}" font-size="9">{escape(short)}</text>'
        )
    return _svg(parts, _HEIGHT, f"{labels[1]} by {labels[0]}")


def _ends(*values: Array) -> tuple[float, float]:
    every = np.concatenate([one[np.isfinite(one)] for one in values])
    if not len(every):
        return 0.0, 1.0
    low, high = float(every.min()), float(every.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _scaled(values: Array, ends: tuple[float, float], start: float, size: float) -> Array:
    return start + (np.asarray(values, np.float64) - ends[0]) / (ends[1] - ends[0]) * size


def _points(x: Sequence[float] | Array, y: Sequence[float] | Array) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True) if np.isfinite(a) and np.isfinite(b))


def _axes(across: tuple[float, float], up: tuple[float, float], x_label: str, y_label: str) -> Iterator[str]:
    base = _HEIGHT - _BELOW
    yield f'<polyline points="{_LEFT},{_EDGE} {_LEFT},{base} {_WIDTH - _EDGE},{base}" fill="none" stroke="{_GREY}"/>'
    for tick in np.linspace(*across, 5):
        (x,) = _scaled(np.array([tick]), across, _LEFT, _WIDTH - _LEFT - _EDGE)
        yield f'<text x="{x:.1f}" y="{base + 15}" text-anchor="middle">{tick:.3g}</text>'
    for tick in np.linspace(*up, 5):
        (y,) = _scaled(np.array([tick]), up, base, -(base - _EDGE))
        yield f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{tick:.3g}</text>'
    yield f'<text x="{(_LEFT + _WIDTH) / 2}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>'
    turned = f'transform="rotate(-90 14 {base / 2})"'
    yield f'<text x="14" y="{base / 2}" text-anchor="middle" {turned}>{escape(y_label)}</text>'


def _svg(parts: Sequence[str], height: int, title: str) -> str:
    size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    inside = f"<title>{escape(title)}</title>{''.join(parts)}"
    return f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size}>{inside}</svg>'
