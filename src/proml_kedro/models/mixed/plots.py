"""Plots of random effects for the evaluation's report."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from proml_kedro.models.component import Array
from proml_kedro.models.effects import EntityEffect
from proml_kedro.models.mixed.effect_spec import INTERCEPT
from proml_kedro.models.mixed.effects import fixed_effects, most_different
from proml_kedro.models.mixed.fitted import FittedEffect, FittedModel
from proml_kedro.models.mixed.terms import Terms
from proml_kedro.plots import BLUE, GREY, ORANGE, figure

_NOTE = """
Effects are in the unit of the margin, of a number for each of its standard deviations. Posterior means are narrower
than the population, the more so the fewer rows an entity has: they are shrunk towards it.
"""
_MOST_FIXED = 30
_SHOWN = 12  # entities in the plot of those that differ most
_POINTS = 5_000  # more could not be told apart
_LONGEST = 28  # characters of an entity's name


def draw(folder: Path, component: str, terms: Terms, model: FittedModel) -> list[str]:
    """Draw every effect.

    Args:
        folder: Folder of the plots.
        component: Name of the component.
        terms: Encodings of the model.
        model: Coefficients of the model.

    Returns:
        Lines of Markdown that show the plots.
    """
    lines = [f"\n## Effects of {component}\n", _fixed_table(terms, model), "", _table(terms, model), _NOTE]
    farthest = list(most_different(terms, model, _SHOWN))
    for k, (spec, effect) in enumerate(zip(terms.effects, model.effects, strict=True)):
        for position, feature in enumerate(spec.features if effect.rows.any() else ()):
            name = f"effects_{component}_{k}_{re.sub(r'[^A-Za-z0-9]+', '_', feature)}"
            what = f"{feature} by {spec.title}"
            unit = "" if feature == INTERCEPT else f", for {terms.unit(spec, feature):.3g} of {feature}"
            _distribution(folder / f"{name}_distribution.png", effect, position, what, unit)
            _shrinkage(folder / f"{name}_shrinkage.png", effect, position, what, unit)
            chosen = [one for one in farthest if (one.effect, one.feature) == (spec.title, feature)][:_SHOWN]
            _farthest(folder / f"{name}_farthest.png", chosen, what, unit)
            lines.append(f"\n### {what[0].upper()}{what[1:]}")
            lines += [f"\n![{what}: {kind}]({name}_{kind}.png)" for kind in ("distribution", "shrinkage", "farthest")]
    return lines


def _fixed_table(terms: Terms, model: FittedModel) -> str:
    rows = ["| fixed effect | value | standard error |", "|---|--:|--:|"]
    known = list(fixed_effects(terms, model))
    for one in known[:_MOST_FIXED]:
        name = one.name if one.level is None else f"{one.name} = {one.level}"
        rows.append(f"| {name} | {one.value:+.3g} | {one.error:.2g} |")
    if len(known) > _MOST_FIXED:
        rows.append(f"| {len(known) - _MOST_FIXED:,} more | | |")
    return "\n".join(rows)


def _table(terms: Terms, model: FittedModel) -> str:
    rows = ["| effect | of | entities | deviation over entities | mean standard error |", "|---|---|--:|--:|--:|"]
    for spec, effect in zip(terms.effects, model.effects, strict=True):
        known = np.count_nonzero(effect.rows)
        for position, feature in enumerate(spec.features):
            errors = np.sqrt(effect.covariances[_sample(len(effect)), position, position])
            spread = np.sqrt(effect.population[position, position])
            rows.append(f"| {spec.title} | {feature} | {known:,} | {spread:.3g} | {errors.mean():.3g} |")
    return "\n".join(rows)


def _distribution(file: Path, effect: FittedEffect, position: int, what: str, unit: str) -> None:
    values = np.asarray(effect.means[:, position])
    with figure(file) as axes:
        axes.hist(values, 60, density=True, color=BLUE, alpha=0.6, label="posterior means")
        spread = np.sqrt(effect.population[position, position])
        grid = np.linspace(min(values.min(), -3 * spread), max(values.max(), 3 * spread), 300)
        density = np.exp(-((grid / spread) ** 2) / 2) / (spread * np.sqrt(2 * np.pi))
        axes.plot(grid, density, color=ORANGE, label="population, estimated")
        axes.set(title=f"Distribution: {what}", xlabel=f"effect on the margin{unit}", ylabel="density of entities")
        axes.legend()


def _shrinkage(file: Path, effect: FittedEffect, position: int, what: str, unit: str) -> None:
    chosen = _sample(len(effect))
    rows, values = np.asarray(effect.rows[chosen]), np.asarray(effect.means[chosen, position])
    seen = rows > 0
    with figure(file) as axes:
        axes.scatter(rows[seen], values[seen], s=6, alpha=0.4, color=BLUE, linewidths=0)
        spread = np.sqrt(effect.population[position, position])
        for sign in (-1, 1):
            axes.axhline(sign * spread, color=GREY, linestyle=":")
        axes.set(
            title=f"Shrinkage: {what}",
            xlabel="rows behind an entity",
            ylabel=f"effect on the margin{unit}; dotted: one deviation",
            xscale="log",
        )


def _farthest(file: Path, chosen: list[EntityEffect], what: str, unit: str) -> None:
    chosen = sorted(chosen, key=lambda one: one.value)
    with figure(file, height=0.9 + 0.28 * len(chosen)) as axes:
        places = np.arange(len(chosen))
        errors = [1.96 * one.error for one in chosen]
        axes.errorbar([one.value for one in chosen], places, xerr=errors, fmt="o", color=BLUE, ecolor=GREY)
        names = [one.entity if len(one.entity) <= _LONGEST else f"{one.entity[:_LONGEST]}…" for one in chosen]
        axes.set_yticks(places, [f"{name} ({one.rows:,.0f})" for name, one in zip(names, chosen, strict=True)])
        axes.axvline(0, color=GREY, linewidth=0.8)
        axes.set(
            title=f"Farthest from the population: {what}", xlabel=f"effect on the margin{unit}; 95 % interval (rows)"
        )
        axes.grid(axis="y", visible=False)


def _sample(entities: int) -> Array:
    """Choose at most 5,000 entities, evenly spread over their numbers."""
    return np.unique(np.linspace(0, max(entities - 1, 0), min(entities, _POINTS)).astype(np.int64))
