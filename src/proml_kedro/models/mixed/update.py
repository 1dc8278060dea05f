"""Update of a fitted model by new rows: entities that have some, in every effect; all else stays as it is."""

from __future__ import annotations

import numpy as np

from proml_kedro.errors import UserError
from proml_kedro.models.columns import sigmoid
from proml_kedro.models.component import Array, Columns, Examples
from proml_kedro.models.mixed import row_hashes
from proml_kedro.models.mixed.effect_spec import RandomEffectSpec
from proml_kedro.models.mixed.encoding import Levels
from proml_kedro.models.mixed.fitted import FittedEffect, FittedModel
from proml_kedro.models.mixed.losses import predict
from proml_kedro.models.mixed.posterior import Block, Floats, NewRows, Posterior
from proml_kedro.models.mixed.rows import check_label, usable, weights
from proml_kedro.models.mixed.score import fixed_contributions, moments, rows_of_level
from proml_kedro.models.mixed.spec import MixedSpec
from proml_kedro.models.mixed.terms import Terms
from proml_kedro.models.updates import UpdateFacts

_MOST_SOLVED = 64  # fixed effects of which each costs a solution of the equations
_SURPRISING = 1e-3  # probability of a change below which the fixed effects are taken to have changed
_FAR = 1.0  # change of a fixed effect, in standard errors, that makes a refit due however likely it is
_STALE = ("likelihood", "log likelihood", "log likelihood is", "icc", "r2 marginal", "r2 conditional")


def update_model(spec: MixedSpec, terms: Terms, model: FittedModel, examples: Examples, key: str) -> UpdateFacts:
    """Learn from new rows in place; variances, fixed effects and factors stay, and new entities are added.

    Args:
        spec: The component.
        terms: Its terms; the new entities are added.
        model: The fitted model; changed.
        examples: Rows that it has not learned from.
        key: The component's key, for errors.

    Raises:
        UserError: No row can be used, a label is not in the domain of the loss, or the rows were learned from before.
    """
    examples = usable(examples, spec.exposure, key)
    check_label(examples.label, model.loss, key)
    columns, label, weight = examples.columns, np.asarray(examples.label, np.float64), weights(examples)
    before = _scores(terms, model, columns)
    added = [_add_entities(spec_of, terms, model, k, columns) for k, spec_of in enumerate(terms.effects)]
    codes = [one for one, _ in terms.effect_codes(columns)]
    digest = _digest(terms, columns, (label, weight.astype(np.float64)), codes)
    _refuse_known(model, digest, key)
    active = [np.unique(one[one >= 0]) for one in codes]
    if not any(map(len, active)):
        raise UserError.at(key, "no row has an entity to learn of")
    used = [k for k, places in enumerate(active) if len(places)]
    blocks = [_block(terms, model, columns, k, codes[k], active[k]) for k in used]
    posterior = Posterior(_rows(terms, model, columns, label, weight), blocks)
    posterior.find()
    for k, block in zip(used, blocks, strict=True):
        _write(model.effects[k], block, active[k], posterior.curvature, weight)
    after = _scores(terms, model, columns)
    moved, name, p_value = _movement(terms, model, columns, posterior)
    titles = [one.title for one in terms.effects]
    facts = UpdateFacts(
        rows=len(label),
        digest=digest,
        changed=dict(zip(titles, map(len, active), strict=True)),
        added=dict(zip(titles, added, strict=True)),
        label=float(weight @ label),
        before=float(weight @ before),
        after=float(weight @ after),
        moved=moved,
        moved_of=name,
        p_value=p_value,
        is_refit_due=p_value < _SURPRISING or moved > _FAR,
    )
    _note(model, facts)
    return facts


def _scores(terms: Terms, model: FittedModel, columns: Columns) -> Floats:
    predicted = predict(model.loss, *moments(terms, model, columns), model.dispersion)
    return predicted["mean"] if "mean" in predicted else sigmoid(predicted["margin"])


def _add_entities(effect: RandomEffectSpec, terms: Terms, model: FittedModel, k: int, columns: Columns) -> int:
    """Insert the entities that are not known, with the effect and the covariance of the population; count them."""
    known, old = terms.effect_levels[k], model.effects[k]
    found = terms.entities(columns, effect).keys
    fresh = found[known.places(found) < 0]
    at = np.searchsorted(known.keys, fresh)
    width = max(known.keys.dtype, fresh.dtype, key=lambda one: one.itemsize)
    empty = not len(known)  # of no entity there is a row of zeros all the same

    def inserted(values: Array, value: Array | float) -> Array:
        base = values[:0] if empty else values
        return np.insert(base, at, np.asarray(value, values.dtype), axis=0)

    terms.effect_levels[k] = Levels(np.insert(known.keys.astype(width), at, fresh.astype(width)))
    model.effects[k] = FittedEffect(
        inserted(old.means, 0.0),
        inserted(old.covariances, old.population),
        inserted(old.rows, 0.0),
        old.population,
        None if old.digests is None else inserted(old.digests, 0),
        None if old.averaged is None else inserted(old.averaged, old.population),
    )
    return len(fresh)


def _digest(terms: Terms, columns: Columns, numbers: tuple[Array, Array], codes: list[Array]) -> str:
    """Hash the rows, in whatever order they are."""
    levels = []
    for one, known in zip(codes, terms.effect_levels, strict=True):
        places, local = np.unique(one[one >= 0], return_inverse=True)
        own = np.full(len(one), -1)
        own[one >= 0] = local
        levels.append((own, row_hashes.of_keys(known.keys[places])))
    slopes = [terms.slopes(columns, one) for one in terms.effects]
    hashes = row_hashes.of_rows([*numbers, *slopes, terms.fixed(columns), terms.offset(columns)], levels)
    return f"{int(hashes.sum(dtype=np.uint64)):016x}"


def _refuse_known(model: FittedModel, digest: str, key: str) -> None:
    earlier = [one["digest"] for one in model.facts.get("updates", ())]
    if digest in earlier:
        number = earlier.index(digest) + 1
        message = f"has learned from these rows in update {number} already; a second time they would count double"
        raise UserError.at(key, message)


def _rows(terms: Terms, model: FittedModel, columns: Columns, label: Floats, weight: Array) -> NewRows:
    """Arrange the rows with all that stays as it is as their offset."""
    fixed = sum(values for _, values in fixed_contributions(terms, model, columns))
    mean, variance = terms.offset(columns) + fixed, np.zeros(len(label))
    for (places, _), factors in zip(terms.factor_codes(columns), model.factors, strict=True):
        added, spread = factors.moments(places)
        mean, variance = mean + added, variance + spread
    averaged = not model.at_mode and model.loss != "linear"
    return NewRows(model.loss, label, weight / model.dispersion, mean, variance, averaged)


def _block(terms: Terms, model: FittedModel, columns: Columns, k: int, codes: Array, places: Array) -> Block:
    """Arrange the entities of an effect that have rows, with their posterior so far as prior."""
    effect = model.effects[k]
    own = np.where(codes < 0, -1, np.searchsorted(places, codes))
    z = np.where(codes[:, None] < 0, 0.0, terms.slopes(columns, terms.effects[k]))
    covariances = effect.covariances if effect.averaged is None else effect.averaged
    return Block(own, z, effect.means[places].astype(np.float64), _inverses(covariances[places]))


def _inverses(covariances: Array) -> Floats:
    return np.asarray(np.linalg.inv(covariances.astype(np.float64)), np.float64)


def _write(effect: FittedEffect, block: Block, places: Array, curvature: Floats, weight: Array) -> None:
    """Put the posterior of the entities into their places."""
    effect.means[places] = block.mean
    if effect.averaged is not None:
        effect.averaged[places] = block.covariances(curvature)
    effect.covariances[places] = block.covariances(curvature, _inverses(effect.covariances[places]))
    known = block.codes >= 0
    effect.rows[places] += np.bincount(block.codes[known], weight[known], len(places)).astype(effect.rows.dtype)


def _movement(terms: Terms, model: FittedModel, columns: Columns, posterior: Posterior) -> tuple[float, str, float]:
    """Compute how far a Newton step with the new rows would move the fixed effects, whose posterior is the prior.

    Returns:
        The largest change in standard errors, the name of its effect, and the probability that one of them changes as
        significantly by chance.
    """
    from scipy.special import ndtr

    names, design, covariance = _fixed(terms, model, columns)
    if not names:
        return 0.0, "intercept", 1.0
    prior = np.linalg.inv(covariance)
    weighed = design * posterior.curvature[:, None]
    across = posterior.sums(weighed)
    solved = np.column_stack([posterior.solve(one) for one in across.T])
    found = np.linalg.inv(prior + design.T @ weighed - across.T @ solved)
    change = found @ (design.T @ posterior.residual)
    errors = np.sqrt(np.diag(covariance))
    expected = np.sqrt(np.maximum(np.diag(covariance) - np.diag(found), 1e-12 * errors**2))
    p_value = 2 * float(ndtr(-np.abs(change / expected).max()))
    largest = int(np.argmax(np.abs(change) / errors))
    return float(np.abs(change[largest]) / errors[largest]), names[largest], min(1.0, p_value * len(names))


def _fixed(terms: Terms, model: FittedModel, columns: Columns) -> tuple[list[str], Floats, Floats]:
    """Return names, columns and covariance of the fixed effects that have one; numbers alone where there are many."""
    fixed = model.fixed
    names, parts, errors = list(terms.fixed_keys), [terms.fixed(columns)], [np.asarray(fixed.errors)]
    levels = zip(terms.categories, terms.category_levels, fixed.category_errors, strict=True)
    for (name, known, own), (codes, _) in zip(levels, terms.category_codes(columns), strict=True):
        if len(names) + len(known) <= _MOST_SOLVED:
            names += [f"{name} = {known.name(place)}" for place in range(len(known))]
            parts.append(rows_of_level(np.eye(len(known)), codes))
            errors.append(np.asarray(own[: len(known)]))
    deviations = np.concatenate(errors)
    whole = fixed.covariance is not None and len(fixed.covariance) == len(names)
    covariance = np.asarray(fixed.covariance) if whole else np.diag(deviations**2)
    free = np.flatnonzero(np.diag(covariance) > 0)
    return [names[k] for k in free], np.concatenate(parts, axis=1)[:, free], covariance[np.ix_(free, free)]


def _note(model: FittedModel, facts: UpdateFacts) -> None:
    """Keep what was learned from, and drop what is no longer so: figures of the rows before."""
    for name in _STALE:
        model.facts.pop(name, None)
    updates = [*model.facts.get("updates", ()), {"rows": facts.rows, "digest": facts.digest}]
    rows = sum(one["rows"] for one in updates)
    kept = [one for one in model.facts.get("notes", ()) if not one.startswith("updated ")]
    due = "; a whole refit is due" if facts.is_refit_due else ""
    times = f"{len(updates)} times" if len(updates) > 1 else "once"
    notes = [*kept, f"updated {times} by {rows:,} rows since the fit, in the effects of their entities alone{due}"]
    entities = sum(len(one) for one in model.effects)
    model.facts = {**model.facts, "entities": entities, "updates": updates, "notes": notes}
