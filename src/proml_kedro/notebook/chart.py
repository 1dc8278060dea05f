"""Drawings as figures of Plotly, which notebooks draw themselves, and as SVG where they do not.

A figure is plain values in the form of Plotly's JSON (plotly.com/chart-studio-help/json-chart-schema); Plotly is not
imported to make one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

Figure = Mapping[str, Any]
Rows = Sequence[Mapping[str, Any]]

MIME = "application/vnd.plotly.v1+json"
"""What notebooks know a figure by."""

_BLUE = "#3b6ea5"


def bars(rows: Rows, name: str, value: str) -> Figure:
    """Draw a bar with its interval for each row.

    Args:
        rows: With ``name``, ``value``, ``rows``, ``low`` and ``high``.
        name: Column of names.
        value: Column of lengths.
    """
    return _figure(
        {
            "type": "bar",
            "x": [_said(row[name]) for row in rows],
            "y": [row[value] for row in rows],
            "error_y": _interval(rows, value),
            "customdata": [row["rows"] for row in rows],
            "hovertemplate": "%{x}: %{y:.4g}, %{customdata:,} rows<extra></extra>",
        },
        across=name,
        up=value,
        categories=True,
    )


def line(rows: Rows, across: str, up: str, diagonal: bool) -> Figure:
    """Draw points with intervals, joined, beside the diagonal where both axes measure the same.

    Args:
        rows: With ``across``, ``up``, ``rows``, ``low`` and ``high``.
        across: Column of places.
        up: Column of heights.
        diagonal: Whether to draw it.
    """
    trace = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [row[across] for row in rows],
        "y": [row[up] for row in rows],
        "error_y": _interval(rows, up),
        "customdata": [row["rows"] for row in rows],
        "hovertemplate": "said %{x:.4g}, seen %{y:.4g}, %{customdata:,} rows<extra></extra>",
    }
    ends = [value for row in rows for value in (row[across], row[up]) if value is not None] or [0.0]
    corner = {"type": "line", "x0": min(ends), "y0": min(ends), "x1": max(ends), "y1": max(ends)}
    shapes = [{**corner, "line": {"dash": "dot", "color": "#8a8a8a"}}] if diagonal else []
    return _figure(trace, across=across, up=up, shapes=shapes)


def points(rows: Rows, label: str, across: str, up: str) -> Figure:
    """Draw a point with its name for each row, as large as it has rows.

    Args:
        rows: With ``label``, ``across``, ``up``, ``rows`` and ``nearest``.
        label: Column of names.
        across: Column of places.
        up: Column of heights.
    """
    most = max((row["rows"] for row in rows), default=1)
    trace = {
        "type": "scatter",
        "mode": "markers+text",
        "x": [row[across] for row in rows],
        "y": [row[up] for row in rows],
        "text": [_said(row[label]) for row in rows],
        "textposition": "top center",
        "marker": {"color": _BLUE, "opacity": 0.7, "size": [6 + 14 * (row["rows"] / most) ** 0.5 for row in rows]},
        "customdata": [_said(row["nearest"]) for row in rows],
        "hovertemplate": "%{text}; nearest: %{customdata}<extra></extra>",
    }
    return _figure(trace, across=across, up=up)


def _interval(rows: Rows, value: str) -> dict[str, Any]:
    """Lengths of both whiskers; 0 where nothing is claimed."""

    def reach(row: Mapping[str, Any], end: str, way: int) -> float:
        return 0.0 if row[end] is None or row[value] is None else way * (row[end] - row[value])

    plus, minus = [reach(row, "high", 1) for row in rows], [reach(row, "low", -1) for row in rows]
    return {"type": "data", "symmetric": False, "array": plus, "arrayminus": minus, "color": "#444444"}


def _said(value: Any) -> str:
    """A name of the data, none of whose letters Plotly takes for markup."""
    return escape(str(value), quote=False)


def _figure(
    trace: Mapping[str, Any], across: str, up: str, categories: bool = False, shapes: Sequence[Any] = ()
) -> Figure:
    axis = {"title": {"text": _said(across)}, **({"type": "category"} if categories else {})}
    layout = {
        "xaxis": axis,
        "yaxis": {"title": {"text": _said(up)}},
        "shapes": list(shapes),
        "showlegend": False,
        "height": 400,
        "margin": {"t": 20, "r": 20},
    }
    return {"data": [{"marker": {"color": _BLUE}, **trace}], "layout": layout}
