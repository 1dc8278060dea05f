"""`kedro model effects A B`: log likelihoods of two fits, where they may be compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from proml_kedro.errors import Mistake, UserError

if TYPE_CHECKING:
    from proml_kedro.models.effects import HasEffects
    from proml_kedro.models.likelihoods import Likelihood


def compare_fits(models: Mapping[str, HasEffects], others: Mapping[str, HasEffects], as_json: bool) -> None:
    """Print log likelihood, AIC and BIC of two fits, and a likelihood ratio test where one holds the other.

    Args:
        models: The only component with effects of the first bundle, by name.
        others: The same of the other bundle.
        as_json: Whether to print JSON.

    Raises:
        UserError: A bundle has several such components, or the log likelihoods cannot be compared.
    """
    from proml_kedro.commands.render import table
    from proml_kedro.models.likelihoods import obstacles, ratio_test

    one, other = _likelihood(models, "BUNDLE"), _likelihood(others, "OTHER")
    if reasons := list(obstacles(one, other)):
        message = f"the log likelihoods cannot be compared: {'; '.join(reasons)}"
        raise UserError(Mistake("", message, "argument OTHER"))
    test = ratio_test(one, other)
    if as_json:
        fits = [{**asdict(each), "aic": each.aic, "bic": each.bic} for each in (one, other)]
        click.echo(json.dumps({"fits": fits, "test": test and asdict(test)}))
        return
    rows = [("fit", f"{one.kind} log likelihood", "parameters", "AIC", "BIC")]
    for name, each in (("BUNDLE", one), ("OTHER", other)):
        rows.append((name, f"{each.value:.2f}", str(each.parameters), f"{each.aic:.2f}", f"{each.bic:.2f}"))
    click.echo(table(rows))
    if test is None:
        click.echo("neither model holds the other: there is no likelihood ratio test")
        return
    said = f"likelihood ratio {test.statistic:.4f}, {test.degrees} degrees of freedom, p = {test.p_value:.3g}"
    click.echo(said + ", conservative: a variance is tested" * test.conservative)


def _likelihood(models: Mapping[str, HasEffects], argument: str) -> Likelihood:
    from proml_kedro.models.likelihoods import Likelihood

    if len(models) > 1:
        message = f"has several components with effects: {', '.join(models)}; name one by --component"
        raise UserError(Mistake("", message, f"argument {argument}"))
    ((name, model),) = models.items()
    known = model.summary().get("likelihood")
    if known is None:
        why = "it was streamed, updated, has factors, is of too many columns, or of an earlier version"
        message = f"{name} has no log likelihood: {why}"
        raise UserError(Mistake("", message, f"argument {argument}"))
    return Likelihood(**known)
