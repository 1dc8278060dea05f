"""Maps of what a network has learned of categories: those that it treats alike lie near each other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from proml_kedro.models.component import Array
from proml_kedro.plots import BLUE, GREY, figure

FEWEST = 8
"""Categories below which a map shows nothing."""

_NAMED, _LISTED, _NEAR, _LONGEST = 40, 8, 3, 28


@dataclass(frozen=True)
class Embedding:
    """The learned vectors of a table of categories.

    Attributes:
        table: Its name.
        names: Of the categories, the most frequent first.
        vectors: Shape (categories, dimension).
    """

    table: str
    names: Sequence[str]
    vectors: Array

    def principal(self) -> tuple[Array, float]:
        """Compute the first two principal components, shape (categories, 2), and their share of the variance."""
        vectors = self.vectors.astype(np.float64)
        centred = vectors - vectors.mean(axis=0)
        left, size, _ = np.linalg.svd(centred, full_matrices=False)
        share = float((size[:2] ** 2).sum() / ((size**2).sum() or 1.0))
        points = left[:, :2] * size[:2]
        return np.pad(points, ((0, 0), (0, 2 - points.shape[1]))), share

    def nearest(self, position: int, count: int = _NEAR) -> list[str]:
        """Name the categories whose vectors have the largest cosine with that of one."""
        length = np.linalg.norm(self.vectors, axis=1)
        cosine = self.vectors @ self.vectors[position] / np.maximum(length * length[position], 1e-12)
        cosine[position] = -np.inf
        return [self.names[one] for one in np.argsort(-cosine, kind="stable")[:count]]


def draw(folder: Path, component: str, embedding: Embedding) -> list[str]:
    """Draw the map of a table, and return the lines of Markdown that show it.

    Args:
        folder: Folder of the plots.
        component: Name of the component.
        embedding: What was learned.
    """
    points, share = embedding.principal()
    name = f"map_{component}_{re.sub(r'[^A-Za-z0-9]+', '_', embedding.table)}"
    named = list(range(min(_NAMED, len(embedding.names))))
    with figure(folder / f"{name}.png", height=6.0) as axes:
        axes.scatter(points[:, 0], points[:, 1], s=9, color=GREY, alpha=0.5)
        axes.scatter(points[named, 0], points[named, 1], s=14, color=BLUE)
        for one in named:
            axes.annotate(
                _short(embedding.names[one]), points[one], fontsize=7, xytext=(2, 2), textcoords="offset points"
            )
        axes.set_title(f"{embedding.table} as {component} sees them")
        axes.set_xlabel("first principal component")
        axes.set_ylabel("second")
    said = (
        f"Of {len(embedding.names):,} categories of {embedding.table} those that the network treats alike lie near "
        f"each other; two of {embedding.vectors.shape[1]} dimensions hold {share:.0%} of how they differ"
    )
    rows = [f"| {_cell(embedding.names[one])} | {', '.join(map(_cell, embedding.nearest(one)))} |" for one in named]
    table = [f"| {embedding.table} | nearest by cosine |", "|---|---|", *rows[:_LISTED]]
    return [f"\n## Map of {embedding.table}\n", f"{said}.", f"\n![{said}]({name}.png)\n", *table]


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _cell(name: str) -> str:
    return _short(name).replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
