"""How components learned, drawn for the report."""

from __future__ import annotations

import math
from pathlib import Path

from proml_kedro.models.curve import Curve
from proml_kedro.plots import BLUE, GREY, figure


def draw_learning(folder: Path, component: str, curve: Curve) -> list[str]:
    """Draw a metric after each step of training, and return the lines of Markdown that show it.

    Args:
        folder: Folder of the plots.
        component: Name of the component.
        curve: The metric.
    """
    name = f"learning_{component}"
    steps = range(1, len(curve.values) + 1)
    with figure(folder / f"{name}.png", height=3.5) as axes:
        axes.plot(steps, [one if math.isfinite(one) else math.nan for one in curve.values], color=BLUE)
        axes.plot([curve.best], [curve.values[curve.best - 1]], "o", color=BLUE)
        axes.axvline(curve.best, color=GREY, linewidth=0.8)
        axes.set_xlabel(f"{curve.step}s")
        axes.set_ylabel(curve.metric)
        axes.set_title(f"Learning of {component}")
    said = curve.in_words
    return [f"\n## Learning of {component}\n", f"{said[0].upper()}{said[1:]}.", f"\n![{said}]({name}.png)"]
