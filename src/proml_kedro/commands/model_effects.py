"""`kedro model effects`: the effects that components of a bundle have learned, for all rows and for single entities."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from proml_kedro.commands.base import Command
from proml_kedro.commands.compare_fits import compare_fits
from proml_kedro.errors import Mistake, UserError

if TYPE_CHECKING:
    from proml_kedro.bundle import Bundle
    from proml_kedro.models.effects import Contrast, EntityEffect, FixedEffect, HasEffects, Population

_FIGURES = ("log likelihood", "icc", "r2")
"""How the names of the figures of a whole model begin."""

_FEW = 20
"""Entities of an effect below which normal intervals of fixed effects are too narrow."""

_AS_NORMAL = 10_000
"""Degrees of freedom from which on Student's t is said to be normal."""


def effects_command() -> click.Command:
    """Make the command `effects`."""
    return Command(
        "effects",
        callback=_effects,
        params=[
            click.Argument(["bundle"], type=click.Path(path_type=Path)),
            click.Argument(["other"], type=click.Path(path_type=Path), required=False),
            click.Option(
                ["--entity", "words"], multiple=True, metavar="NAME=VALUE", help="Show this one; several for a pair."
            ),
            click.Option(
                ["--top"], type=click.IntRange(1, 10_000), default=10, show_default=True, help="How many to show."
            ),
            click.Option(
                ["--contrast", "contrasts"],
                multiple=True,
                metavar="A - B",
                help="Show this combination of fixed effects, in raw units; several in a table.",
            ),
            click.Option(["--component"], help="Only this component of the model."),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
        ],
        help="""Show the effects of an entity in the mixed models of BUNDLE, beside the population.

        Without --entity: the fixed effects, how the entities differ, and of each coefficient the --top entities that
        differ most. Effects are in the unit of the margin; of a number for each of its standard deviations, which is
        what "one is" says.

        With OTHER: log likelihoods, AIC and BIC of both bundles, and a likelihood ratio test where one holds the other.
        """,
    )


def _effects(
    bundle: Path,
    other: Path | None,
    words: tuple[str, ...],
    top: int,
    contrasts: tuple[str, ...],
    component: str | None,
    as_json: bool,
) -> None:
    from proml_kedro.models.effects import check_entity

    entity = _parse(words)
    models = _models(load_bundle(bundle, "BUNDLE"), component)
    if other is not None:
        compare_fits(models, _models(load_bundle(other, "OTHER"), component), as_json)
        return
    check_entity(models, entity, "option --entity")
    if contrasts:
        _show_contrasts(models, contrasts, as_json)
        return
    found = {name: one.effects_of(entity) if entity else one.most_different(top) for name, one in models.items()}
    if as_json:
        click.echo(json.dumps({name: _as_plain(one, found[name]) for name, one in models.items()}))
        return
    parts = []
    for name, one in models.items():
        tables = [] if entity else list(_tables(one, top))
        parts.append(f"{name}\n" + "\n\n".join([*tables, _entity_table(found[name])]))
    # A name that is no UTF-8 is shown escaped, as on standard error.
    click.echo("\n\n".join(parts).encode(errors="backslashreplace"))
    of_fits = [f"{name}: {note}" for name, one in models.items() for note in one.summary().get("notes", ())]
    for line in dict.fromkeys([*of_fits, *_notes(found.values())]):
        click.echo(line, err=True)


def load_bundle(path: Path, argument: str) -> Bundle:
    """Load a bundle; what is wrong with it is a mistake of the argument.

    Args:
        path: Its folder.
        argument: Name of the argument.

    Raises:
        UserError: It is none, or not what was written.
    """
    from proml_kedro.bundle import Bundle, IntegrityError

    try:
        return Bundle.load(path, check_golden_rows=False)
    except (IntegrityError, OSError) as error:
        raise UserError(Mistake("", " ".join(str(error).split()), f"argument {argument}={path}")) from error


def _show_contrasts(models: Mapping[str, HasEffects], texts: Sequence[str], as_json: bool) -> None:
    from proml_kedro.commands.render import table

    found = {name: [one.contrast(text) for text in texts] for name, one in models.items()}
    if as_json:
        click.echo(json.dumps({name: [_with_interval(one) for one in those] for name, those in found.items()}))
        return
    for name, those in found.items():
        heading = ("contrast", "value", "error", "ratio", "df", "95% interval")
        rows = [
            (
                one.text,
                f"{one.value:+.4f}",
                f"{one.error:.4f}",
                _ratio(one.value, one.error),
                _freedom(one.df),
                _interval(one),
            )
            for one in those
        ]
        click.echo(f"{name}\n{table([heading, *rows])}".encode(errors="backslashreplace"))


def _ratio(value: float, error: float) -> str:
    return f"{value / error:+.2f}" if error else "-"


def _freedom(df: float | None) -> str:
    return "normal" if df is None or df > _AS_NORMAL else f"{df:.1f}"


def _interval(one: FixedEffect | Contrast) -> str:
    if not one.error:
        return "-"
    low, high = one.interval()
    return f"{low:+.4f} … {high:+.4f}"


def _with_interval(one: FixedEffect | Contrast) -> dict[str, Any]:
    return {**asdict(one), "interval": one.interval() if one.error else None}


def _as_plain(model: HasEffects, entities: Sequence[EntityEffect]) -> dict[str, Any]:
    return {
        "notes": model.summary().get("notes", []),
        **{name: value for name, value in model.summary().items() if name.startswith(_FIGURES)},
        "fixed": [_with_interval(one) for one in model.fixed_effects()],
        "population": [asdict(one) for one in model.population()],
        "entities": [asdict(one) for one in entities],
    }


def _parse(words: Sequence[str]) -> dict[str, str]:
    entity, mistakes = {}, []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not value:
            message = f"'{word}' is no NAME=VALUE; an entity is written member_id=42"
            mistakes.append(Mistake("", message, "option --entity"))
        elif name in entity:
            message = f"'{name}' is given twice; one entity is shown at a time"
            mistakes.append(Mistake("", message, "option --entity"))
        entity[name] = value
    if mistakes:
        raise UserError(*mistakes)
    return entity


def _models(bundle: Bundle, chosen: str | None) -> dict[str, HasEffects]:
    from proml_kedro.models.effects import with_effects

    return with_effects(bundle.graph.components, chosen, (f"argument BUNDLE={bundle.path}", "option --component"))


def _tables(model: HasEffects, top: int) -> Iterator[str]:
    """What is the same for all entities: fixed effects, variances, and figures of the whole fit."""
    fixed, population = model.fixed_effects(), model.population()
    yield "\n".join([_fixed_table(fixed, top), *_narrow(fixed, population)])
    yield _population_table(population)
    if lines := list(_figures(model.summary())):
        yield "\n".join(lines)


def _narrow(fixed: Sequence[FixedEffect], population: Sequence[Population]) -> Iterator[str]:
    """Say where intervals are too narrow, because the variances that they rest on are hardly known."""
    fewest = min(population, key=lambda one: one.entities, default=None)
    if fewest and fewest.entities < _FEW and all(one.df is None for one in fixed):
        yield (
            f"intervals are normal and too narrow: the variance of {fewest.effect} is known from {fewest.entities:,} "
            "entities"
        )


def _figures(facts: Mapping[str, Any]) -> Iterator[str]:
    if "log likelihood" in facts:
        kind = facts.get("log likelihood is", "of an earlier version")
        yield f"log likelihood {facts['log likelihood']:.2f} ({kind})"
    if "icc" in facts:
        marginal, conditional = facts["r2 marginal"], facts["r2 conditional"]
        yield (
            f"of the variance of the margin fixed effects explain {marginal:.1%}, with random ones {conditional:.1%} "
            f"(R2 of Nakagawa); of what fixed effects leave, rows of the same entities share {facts['icc']:.1%} (ICC)"
        )


def _fixed_table(effects: Sequence[FixedEffect], most: int) -> str:
    """A table of the fixed effects; of a categorical input the ``most`` levels with the largest coefficients."""
    from proml_kedro.commands.render import table

    rows = [("fixed effect", "value", "error", "ratio", "df", "95% interval", "per unit")]
    for name, group in groupby(effects, key=lambda one: one.name):
        those = list(group)
        kept = sorted(those, key=lambda one: -abs(one.value))[:most]
        rows += [
            (
                name if one.level is None else f"{name} = {one.level}",
                f"{one.value:+.4f}",
                f"{one.error:.4f}",
                _ratio(one.value, one.error),
                _freedom(one.df),
                _interval(one),
                "-" if one.per_unit is None else f"{one.per_unit:+.4g}",
            )
            for one in kept
        ]
        if len(those) > len(kept):
            rows.append((f"{name}: {len(those) - len(kept):,} smaller", "", "", "", "", "", ""))
    return table(rows)


def _population_table(population: Sequence[Population]) -> str:
    from proml_kedro.commands.render import table

    heading = ("random effect", "of", "entities", "deviation", "one is", "correlation")
    rows = [
        (
            one.effect,
            one.feature,
            f"{one.entities:,}",
            f"{one.deviation:.4f}",
            "-" if one.unit is None else f"{one.unit:.4g}",
            " ".join(f"{value:+.2f}" for value in one.correlations) or "-",
        )
        for one in population
    ]
    return table([heading, *rows])


def _entity_table(effects: Sequence[EntityEffect]) -> str:
    from proml_kedro.commands.render import table

    heading = ("effect", "entity", "of", "value", "error", "population", "deviations", "quantile", "rows")
    rows = [
        (
            one.effect,
            one.entity,
            one.feature,
            f"{one.value:+.4f}",
            f"{one.error:.4f}",
            f"{one.population:.4f}",
            f"{one.deviations:+.2f}",
            "-" if one.quantile is None else f"{one.quantile:.1%}",
            f"{one.rows:,.0f}",
        )
        for one in effects
    ]
    return table([heading, *rows])


def _notes(found: Iterable[list[EntityEffect]]) -> Iterator[str]:
    for effects in found:
        for one in effects:
            if not one.known:
                yield (
                    f"{one.effect} '{one.entity}' is not known: it is scored as the population, effect 0 and deviation "
                    f"{one.population:.4f} for {one.feature}"
                )
