"""The laws of components."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from proml_kedro.models.columns import sigmoid
from proml_kedro.models.component import Array, Columns, Component, Examples, FitContext, Input
from proml_kedro.models.kinds import component_of
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.model import score_output, spec_of
from proml_kedro.spec.problem import Task
from proml_kedro.testing.compare import (
    check_no_pickle,
    check_rows_alone,
    check_types,
    check_untouched,
    same,
)

INPUTS = (Input("shop.price", "float"), Input("shop.visits", "int"), Input("shop.city", "str"))
"""Two numbers and a category, with missing values in each."""

VECTOR = Input("shop.embedding", "vector[4]")
"""For components that read vectors: a further input when ``inputs`` names it."""

TEXTS = (Input("shop.motto", "str"), Input("shop.search", "str"))
"""For components that read texts: further inputs when ``inputs`` names them."""


def make_examples(rows: int, seed: int = 0, inputs: Sequence[Input] = INPUTS, task: Task = "binary") -> Examples:
    """Examples of these inputs. The label depends on all of :data:`INPUTS`, and :data:`VECTOR` tells it."""
    generator = np.random.default_rng(seed)
    price, visits = generator.normal(20, 5, rows), generator.poisson(3, rows).astype(np.float64)
    city = generator.choice(np.array(["Bern", "Lima", "Oslo"], dtype=object), rows)
    margin = (price - 20) / 5 + 0.3 * (visits - 3) + np.where(city == "Lima", 1.5, -0.5)
    label = _draw_label(generator, margin, task)
    for values, nothing in ((price, np.nan), (visits, np.nan), (city, None)):
        values[generator.random(rows) < 0.05] = nothing
    columns = {"shop.price": price.astype(np.float32), "shop.visits": visits.astype(np.float32), "shop.city": city}
    embedding = np.column_stack([label, *generator.normal(size=(3, rows))]).astype(np.float32)
    embedding[generator.random(rows) < 0.05] = np.nan
    columns["shop.embedding"] = embedding
    for one in TEXTS:
        columns[one.name] = generator.choice(np.array(_TEXTS, object), rows)
    return Examples({one.name: columns[one.name] for one in inputs}, label, group=np.arange(rows) // _GROUP)


_GROUP = 10
"""Rows of a group."""

_TEXTS = ("fresh bread", "Fresh Bread and cake", "old cake, old bread", "Tea!", "?", "", None)


def _draw_label(generator: np.random.Generator, margin: Array, task: Task) -> Array:
    if task == "regression":
        return np.asarray(margin + generator.normal(size=len(margin)))
    if task == "count":
        return generator.poisson(np.exp(margin / 2)).astype(np.float64)
    if task == "multiclass":
        return np.digitize(margin + generator.logistic(size=len(margin)), [-1.0, 1.5]).astype(np.float64)
    return (generator.random(len(margin)) < sigmoid(margin)).astype(np.float64)


def check_component(config: Mapping[str, Any], folder: Path, task: Task = "binary", every_input: bool = False) -> None:
    """Prove the laws for one configured component.

    Outputs are those that the spec declares, of their dtypes and shapes; a row is scored by itself; missing, unknown
    and huge values are scored; a saved component scores as before, and nothing is pickled; what inputs are said to add
    sums to the margin. One that learns also learns an easy problem, is the same model when it is fitted again with the
    same seed, leaves the examples as they are, learns numbers far from 0 (where single precision is too coarse) like
    those near it, and counts examples by their weights if it ``takes_weights``: weight 2 is the row twice, or the group
    twice if it ``learns_order``, of the training period as of the validation period, by which it stops and calibrates.
    One that does not writes no state.

    One whose spec says ``reads_labels = False`` may give missing values, and need not learn the problem.

    Args:
        config: Its YAML as a mapping; ``inputs`` may name some of :data:`INPUTS`, :data:`VECTOR` and :data:`TEXTS`, and
            is all of the first when omitted.
        folder: An empty folder to save into.
        task: What sort of label it is to learn.
        every_input: Prove also that each input changes the scores, as it must in a network: a block that cuts an input
            off from the heads would silently learn nothing from it.

    Raises:
        AssertionError: A law is broken; the message names it.
    """
    kind, spec_type = component_of(config["kind"]), spec_of(config["kind"])
    named = config.get(spec_type.inputs_key, [every.name for every in INPUTS])
    inputs = [one for one in (*INPUTS, VECTOR, *TEXTS) if one.name in named]
    spec = spec_type.model_validate({**config, spec_type.inputs_key: [one.name for one in inputs]})
    train, check, fresh = (make_examples(rows, seed, inputs, task) for seed, rows in enumerate((600, 300, 200), 1))
    context = FitContext(HardwareSpec(threads=1), 7, task=task, classes=_CLASSES if task == "multiclass" else 0)

    def fitted(examples: Examples = train, validation: Examples = check, final: bool = True) -> Component:
        component = kind(spec, inputs)
        component.task = task
        if spec.learns:
            component.fit(examples, validation, replace(context, final=final))
        return component

    component = fitted()
    scores = component.score(fresh.columns)
    check_types(scores, spec.outputs(task), len(fresh))
    learns_labels = spec.learns and spec.reads_labels and not spec.is_constant
    if spec.learns and spec.reads_labels:
        _check_scores(scores, task)
    if learns_labels:
        _check_learns(scores, fresh.label, task, "it learns nothing from an easy problem")
    if spec.learns:
        same("fitting twice with one seed gives one model", scores, fitted().score(fresh.columns))
        check_untouched(_arrays(train), _arrays(make_examples(600, 1, inputs, task)), "fitting")
    if learns_labels and task == "regression":
        _check_far_labels(scores, fitted(_moved(train), _moved(check)).score(fresh.columns), task)
    if learns_labels and spec.takes_weights:
        rows = _Periods(train, make_examples(900, 1, inputs, task), check)
        _check_weighed(fitted, rows, fresh, task, spec.learns_order)
    check_rows_alone(component.score, fresh.columns, scores, component.scores_rows_exactly)
    _check_unknown_values(component, fresh.columns)
    if every_input:
        _check_every_input(component, fresh.columns, scores)
    _check_explained(component, fresh.columns, scores)
    _check_saved(component, folder, fresh.columns, scores)


def _check_explained(component: Component, columns: Columns, scores: Mapping[str, Array]) -> None:
    """Prove that what inputs add to a margin sums to it, where the kind says what they add."""
    found = component.explain(columns)
    if found is None:
        return
    assert list(found.contributions) == [one.name for one in component.inputs], "an explanation names other inputs"
    total = found.base + np.sum(list(found.contributions.values()), axis=0)
    close = np.allclose(total, scores["margin"], rtol=1e-4, atol=1e-4 * (1 + float(np.abs(scores["margin"]).max())))
    assert close, "what the inputs add does not sum to the margin"


def _check_saved(component: Component, folder: Path, columns: Columns, scores: Mapping[str, Array]) -> None:
    component.save(folder)
    loaded = type(component).load(component.spec, component.inputs, folder)
    loaded.task = component.task
    same("a saved component scores as before", scores, loaded.score(columns))
    curve, again = component.curve(), loaded.curve()
    assert (curve and curve.in_words) == (again and again.in_words), "a saved component forgets how it learned"
    assert component.spec.learns or not any(folder.iterdir()), "a component that does not learn writes no state"
    check_no_pickle(folder)


def _arrays(examples: Examples) -> dict[str, Array]:
    return {**examples.columns, "label": examples.label}


_CLASSES = 3

_FAR = 2.0**30  # where steps of float32 are 128


def _moved(examples: Examples) -> Examples:
    return replace(examples, label=examples.label + _FAR)


def _check_far_labels(scores: Mapping[str, Array], far: Mapping[str, Array], task: Task) -> None:
    name = score_output(task)
    if name in scores:
        apart = float(np.sqrt(np.mean((far[name] - _FAR - scores[name]) ** 2)))
        limit = 0.1 * float(scores[name].std())
        assert apart <= limit, f"labels far from 0 are not learned like those near it: {apart:.3g} apart in '{name}'"


def _mostly_wrong(examples: Examples, by_group: bool) -> Examples:
    """Examples of which three of five have the opposite label and count nothing; of the others some count three times.

    These are the ones of high labels, or every second group.
    """
    rows = np.arange(len(examples))
    wrong = rows % 5 < 3
    opposite = examples.label.max() + examples.label.min() - examples.label
    label = np.where(wrong, opposite, examples.label)
    more = rows // _GROUP % 2 == 1 if by_group else label > np.median(examples.label)
    return replace(examples, label=label, weight=np.where(wrong, 0.0, np.where(more, 3.0, 1.0)))


def _repeated(examples: Examples) -> Examples:
    """Examples as often as they count, each time in another group."""
    assert examples.weight is not None
    times = examples.weight.astype(int)
    found = examples.take(np.repeat(np.arange(len(examples)), times))
    assert found.group is not None
    turn = np.concatenate([np.arange(one) for one in times])
    return replace(found, weight=None, group=found.group + (examples.label.size // _GROUP + 1) * turn)


class _Periods(NamedTuple):
    """Examples to fit with: to learn from, more of them, and to choose by."""

    train: Examples
    more: Examples
    check: Examples


def _check_weighed(
    fitted: Callable[..., Component], rows: _Periods, fresh: Examples, task: Task, by_group: bool
) -> None:
    """Prove that weights count in the training period and in the validation period."""
    equal = replace(rows.check, weight=np.ones(len(rows.check)))
    some = _mostly_wrong(rows.more, by_group)
    weighted, repeated = (fitted(one, equal).score(fresh.columns) for one in (some, _repeated(some)))
    _check_weights(weighted, repeated, fresh.label, task)
    some = _mostly_wrong(rows.check, by_group)
    _check_choice(*(fitted(rows.train, one, False).score(fresh.columns) for one in (some, _repeated(some))))


def _check_choice(weighted: Mapping[str, Array], repeated: Mapping[str, Array]) -> None:
    """Prove that weights of the validation period count when it chooses: training was the same."""
    for name, values in weighted.items():
        if values.dtype != object:
            apart, limit = float(np.abs(values - repeated[name]).max()), 1e-3 * float(repeated[name].std())
            assert apart <= limit, f"weights of the validation period do not count: {apart:.3g} apart in '{name}'"


def _check_weights(weighted: Mapping[str, Array], repeated: Mapping[str, Array], label: Array, task: Task) -> None:
    _check_learns(weighted, label, task, "examples of weight 0 count")
    if (name := score_output(task)) in weighted:
        one, other = (found[name].reshape(len(found[name]), -1)[:, -1] for found in (weighted, repeated))
        apart, limit = abs(float(one.mean() - other.mean())), 0.2 * float(other.std())
        assert apart <= limit, (
            f"an example of weight 3 is not as the example three times: {apart:.3g} apart in '{name}'"
        )


def _check_scores(scores: Mapping[str, Array], task: Task) -> None:
    for name, values in scores.items():
        if values.dtype != object:
            assert np.isfinite(values).all(), f"output '{name}' is not finite for every row"
    if "probability" in scores:
        inside = (scores["probability"] >= 0) & (scores["probability"] <= 1)
        assert inside.all(), "a probability lies outside of 0 and 1"
    if "probabilities" in scores:
        shares = scores["probabilities"]
        assert shares.shape[1] == _CLASSES, f"{shares.shape[1]} probabilities a row, and {_CLASSES} classes"
        assert (shares >= 0).all(), "the probability of a class is negative"
        assert np.abs(shares.sum(axis=1) - 1).max() <= 1e-6, "the probabilities of a row do not sum to 1"
    if task == "count" and "mean" in scores:
        assert (scores["mean"] >= 0).all(), "the mean of a count is negative"


def _check_learns(scores: Mapping[str, Array], label: Array, task: Task, otherwise: str) -> None:
    if task == "multiclass":
        shares = scores[score_output(task)]
        means = [shares[label == number].mean(axis=0) - shares.mean(axis=0) for number in range(_CLASSES)]
        assert min(mean[number] for number, mean in enumerate(means)) > 1e-9, otherwise
        return
    numbers = [values for values in scores.values() if values.dtype != object and values.ndim == 1]
    values = scores.get(score_output(task), numbers[0])
    high = label > np.median(label) if task != "binary" else label == 1
    rounding = 1e-9 * float(np.abs(values).max())  # equal scores do not have exactly equal means
    assert values[high].mean() - values[~high].mean() > rounding, otherwise


def _check_unknown_values(component: Component, columns: Columns) -> None:
    one = {name: values[:3].copy() for name, values in columns.items()}
    for values in one.values():
        values.T[:] = [None, "nowhere", "Bern"] if values.dtype == object else [np.nan, 1e30, -1e30]
    for name, values in component.score(one).items():
        if values.dtype == object:
            continue
        finite = np.isfinite(values) if component.spec.learns and component.spec.reads_labels else ~np.isinf(values)
        assert finite.all(), f"output '{name}' is not finite for missing, unknown or huge values"
        if name == "probabilities":
            off = float(np.abs(values.sum(axis=1) - 1).max())
            assert off <= 1e-6, "probabilities do not sum to 1 for missing, unknown or huge values"


def _check_every_input(component: Component, columns: Columns, scores: Mapping[str, Array]) -> None:
    for name, values in columns.items():
        others = component.score({**columns, name: values[::-1]})
        changed = any(float(np.abs(others[output] - scores[output]).max()) > 0 for output in scores)
        assert changed, f"broken: each input changes the scores: '{name}' does not"
