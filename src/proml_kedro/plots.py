"""One style for every plot: quiet, labelled, readable at the width of a page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BLUE, ORANGE, GREY, GREEN, RED = "#1f5fa8", "#d9822b", "#8a8f98", "#3a8f5c", "#c0392b"

_STYLE: dict[Any, Any] = {
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e8eb",
    "legend.frameon": False,
}


@contextmanager
def figure(file: Path, width: float = 8.0, height: float = 4.5) -> Iterator[Any]:
    """Give axes to draw on, and write the figure to ``file`` when the block ends.

    Args:
        file: A PNG file.
        width: In inches.
        height: In inches.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        drawing = Figure(figsize=(width, height))
        FigureCanvasAgg(drawing)  # no window, no state shared with a notebook's pyplot
        yield drawing.add_subplot()
        drawing.savefig(file)
