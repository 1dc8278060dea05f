"""The laws of components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from proml_kedro.extensions import components
from proml_kedro.models.component import Array, Columns, Component, Examples, FitContext, Input
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.model import score_output
from proml_kedro.spec.problem import Task

INPUTS = (Input("shop.price", "float"), Input("shop.visits", "int"), Input("shop.city", "str"))
"""Two numbers and a category, with missing values in each."""

VECTOR = Input("shop.embedding", "vector[4]")
"""For components that read vectors: a fourth input when ``inputs`` names it."""


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
    return Examples({one.name: columns[one.name] for one in inputs}, label)


def _draw_label(generator: np.random.Generator, margin: Array, task: Task) -> Array:
    if task == "regression":
        return (margin + generator.normal(size=len(margin))).astype(np.float32)
    if task == "count":
        return generator.poisson(np.exp(margin / 2)).astype(np.float32)
    return (generator.random(len(margin)) < 1 / (1 + np.exp(-margin))).astype(np.float32)


def check_component(config: Mapping[str, Any], folder: Path, task: Task = "binary", every_input: bool = False) -> None:
    """Prove the laws for one configured component.

    Args:
        config: Its YAML as a mapping; ``inputs`` may name some of :data:`INPUTS` and :data:`VECTOR`, and is
            all of the former when left out.
        folder: An empty folder to save into.
        task: What sort of label it is to learn.
        every_input: Prove also that each input changes the scores, as it must in a network: a block that cuts an input
            off from the heads would silently learn nothing from it.

    Raises:
        AssertionError: A law is broken; the message names it.
    """
    kind = components.get(config["kind"])
    inputs = [one for one in (*INPUTS, VECTOR) if one.name in config.get("inputs", [every.name for every in INPUTS])]
    spec = kind.Spec.model_validate({**config, "inputs": [one.name for one in inputs]})
    train, check, fresh = (make_examples(rows, seed, inputs, task) for seed, rows in enumerate((600, 300, 200), 1))
    context = FitContext(HardwareSpec(threads=1), seed=7, task=task)

    def fitted() -> Component:
        component: Component = kind(spec, inputs)
        component.fit(train, check, context)
        return component

    component = fitted()
    scores = component.score(fresh.columns)
    _check_outputs(component, scores, len(fresh), task)
    _check_learns(scores, fresh.label, task)
    _same("fitting twice with one seed gives one model", scores, fitted().score(fresh.columns))
    _check_rows_are_scored_alone(component, fresh.columns, scores)
    _check_unknown_values(component, fresh.columns)
    if every_input:
        _check_every_input(component, fresh.columns, scores)
    _check_examples_untouched(train, make_examples(600, 1, inputs, task))
    component.save(folder)
    loaded = kind.load(spec, inputs, folder)
    _same("a saved component scores as before", scores, loaded.score(fresh.columns))
    _check_no_pickle(folder)


def _check_outputs(component: Component, scores: Mapping[str, Array], rows: int, task: Task) -> None:
    declared = component.spec.outputs(task)
    assert set(scores) == set(declared), f"score gives {sorted(scores)}, declared are {declared}"
    for name, values in scores.items():
        assert values.shape == (rows,), f"output '{name}' has shape {values.shape} for {rows} rows"
        assert np.isfinite(values).all(), f"output '{name}' is not finite for every row"
    if "probability" in scores:
        inside = (scores["probability"] >= 0) & (scores["probability"] <= 1)
        assert inside.all(), "a probability lies outside of 0 and 1"
    if task == "count" and "mean" in scores:
        assert (scores["mean"] >= 0).all(), "the mean of a count is negative"


def _check_learns(scores: Mapping[str, Array], label: Array, task: Task) -> None:
    values = scores.get(score_output(task), next(iter(scores.values())))
    high = label > np.median(label) if task != "binary" else label == 1
    assert values[high].mean() > values[~high].mean(), "it learns nothing from an easy problem"


def _check_rows_are_scored_alone(component: Component, columns: Columns, scores: Mapping[str, Array]) -> None:
    rows = len(next(iter(columns.values())))
    for part in (slice(0, 1), slice(0, 7), slice(None, None, -1)):
        some = {name: values[part] for name, values in columns.items()}
        expected = {name: values[part] for name, values in scores.items()}
        _same(
            f"a row's score does not depend on the rows beside it ({part} of {rows})", expected, component.score(some)
        )


def _check_unknown_values(component: Component, columns: Columns) -> None:
    one = {name: values[:3].copy() for name, values in columns.items()}
    for name, values in one.items():
        values.T[:] = [None, "nowhere", "Bern"] if name == "shop.city" else [np.nan, 1e30, -1e30]
    for name, values in component.score(one).items():
        assert np.isfinite(values).all(), f"output '{name}' is not finite for missing, unknown or huge values"


def _check_every_input(component: Component, columns: Columns, scores: Mapping[str, Array]) -> None:
    for name, values in columns.items():
        others = component.score({**columns, name: values[::-1]})
        changed = any(float(np.abs(others[output] - scores[output]).max()) > 0 for output in scores)
        assert changed, f"broken: each input changes the scores: '{name}' does not"


def _check_examples_untouched(train: Examples, again: Examples) -> None:
    for name, values in train.columns.items():
        assert _equal(values, again.columns[name]), f"fitting changed the column '{name}' it was given"
    assert _equal(train.label, again.label), "fitting changed the labels it was given"


def _check_no_pickle(folder: Path) -> None:
    for file in folder.rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        # Binary data may begin with the same byte; with a protocol's number behind it and a full stop at the end, no.
        looks_like_one = content[:1] == b"\x80" and content[1:2] in b"\x02\x03\x04\x05" and content[-1:] == b"."
        assert not looks_like_one, f"{file.name} looks like a pickle; components are saved as data"


def _equal(left: Array, right: Array) -> bool:
    if left.dtype == object:
        return bool((left == right).all())
    return bool(np.array_equal(left, right, equal_nan=True))


def _same(law: str, expected: Mapping[str, Array], actual: Mapping[str, Array]) -> None:
    for name, values in expected.items():
        difference = float(np.abs(values - actual[name]).max())
        assert difference <= 1e-6, f"broken: {law}: output '{name}' differs by {difference:.3g}"
