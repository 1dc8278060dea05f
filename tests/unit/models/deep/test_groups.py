"""Heads that rank: whole groups of any length in a batch, by losses written down in NumPy; parts cut between groups."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proml_kedro.models.component import Examples, FitContext, Input
from proml_kedro.models.deep.component import Deep
from proml_kedro.models.deep.pack import parts_of
from proml_kedro.spec import HardwareSpec

INPUTS = [Input("shop.price", "float")]
CONTEXT = FitContext(HardwareSpec(threads=1), seed=3, key="net")
STEPS, RATE = 5, 0.05


def scattered_groups(groups, seed, longest=120):
    """Groups of about five rows and one long one, rows in any order; dear rows are better than others of the group."""
    generator = np.random.default_rng(seed)
    group = generator.permutation(np.repeat(np.arange(groups), [*generator.poisson(5, groups - 1) + 1, longest]))
    price = generator.normal(size=len(group))
    level = generator.normal(0, 3, groups)[group]
    label = (2 * price + level + generator.logistic(size=len(group)) > 0).astype(np.float32)
    return Examples({"shop.price": price}, label, group=group)


def fitted(train, block, head, **training):
    config = {
        "kind": "deep",
        "inputs": ["*"],
        "features": {"missing": "mean"},
        "graph": {"wide": {"of": "numbers", **block}},
        "head": {"of": "wide", **head},
        "training": {"epochs": STEPS, "batch_size": 1_000_000, "learning_rate": RATE, **training},
    }
    component = Deep(Deep.Spec.model_validate(config), INPUTS)
    component.fit(train, train, CONTEXT)
    return component


def slope(component):
    low, high = component.score({"shop.price": np.array([0.0, 1.0])})["margin"]
    return high - low


def pairwise(margin, label, weight):
    """Gradient of the loss of one group by its margins, and what its losses are divided by."""
    better = (label[:, None] > label[None, :]) * weight[:, None]
    pulled = better / (1 + np.exp(margin[:, None] - margin[None, :]))
    return pulled.sum(axis=0) - pulled.sum(axis=1), better.sum()


def listwise(margin, label, weight):
    gains = weight * label / max(label.sum(), 1)
    shares = np.exp(margin) / np.exp(margin).sum()
    return shares * gains.sum() - gains, gains.sum()


@pytest.mark.parametrize("loss", [pytest.param(pairwise, marks=pytest.mark.slow), listwise])
def test_a_step_is_that_of_numpy_over_whole_groups(loss):
    train = scattered_groups(200, 1)
    train = replace(train, weight=np.random.default_rng(2).uniform(0.5, 2, len(train)))
    price = train.columns["shop.price"]
    mean = np.average(price, weights=train.weight)
    number = (price - mean) / np.sqrt(np.average((price - mean) ** 2, weights=train.weight))
    begin = slope(fitted(train, {"block": "linear"}, {"loss": loss.__name__}, learning_rate=1e-30))
    found = slope(fitted(train, {"block": "linear"}, {"loss": loss.__name__}))
    scale = (number[1] - number[0]) / (price[1] - price[0])
    coefficient, first, second = begin / scale, 0.0, 0.0
    for step in range(1, STEPS + 1):
        found_by_group = []
        for one in np.unique(train.group):
            here = train.group == one
            pulled, count = loss(coefficient * number[here], train.label[here], train.weight[here])
            found_by_group.append((pulled @ number[here], count))
        gradient, count = np.sum(found_by_group, axis=0)
        gradient /= count
        first += 0.1 * (gradient - first)
        second += 0.001 * (gradient**2 - second)
        rate = RATE * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        coefficient -= rate * first / (np.sqrt(second) + 1e-7)
    assert abs(found - begin) > 0.1
    assert found / scale == pytest.approx(coefficient, abs=1e-4)


def test_what_lists_are_filled_up_with_is_no_row_for_batch_statistics():
    block = {"block": "layer", "layer": "BatchNormalization", "config": {"momentum": 0.0}}
    component = fitted(
        scattered_groups(500, 4), block, {"loss": "listwise"}, epochs=1, early_stopping={"metric": "ndcg"}
    )
    found = {one.path.split("/")[-1]: one.numpy() for one in component._fitted.model.weights}
    assert found["moving_mean"] == pytest.approx(0, abs=1e-5)
    assert found["moving_variance"] == pytest.approx(1, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["pairwise", "listwise"])
def test_a_ranking_learned_in_parts_is_that_learned_at_once(loss):
    train = scattered_groups(1000, 5)
    falling = {"schedule": "linear", "start": 0.1, "end": 1e-3}
    training = {"epochs": 20, "batch_size": 512, "learning_rate": falling}
    whole, parts = (
        slope(fitted(train, {"block": "linear"}, {"loss": loss}, rows_in_memory=rows, **training))
        for rows in (10**6, 1000)
    )
    assert parts == pytest.approx(whole, rel=0.08)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=300).map(np.array), st.integers(1, 400))
@settings(deadline=None)
def test_parts_are_cut_between_groups(group, rows):
    part_of = parts_of(group, rows)
    lengths = np.bincount(part_of)
    assert lengths.min() > 0
    assert lengths.max() <= rows
    assert len(lengths) <= 2 * len(group) / rows + 1
    for one in np.unique(group):
        here = part_of[group == one]
        assert len(np.unique(here)) == 1 or len(here) > rows


def test_parts_of_single_rows_are_even():
    assert np.bincount(parts_of(np.arange(601), 600)).tolist() == [300, 301]
