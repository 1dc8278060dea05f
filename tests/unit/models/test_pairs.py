"""Pairs with weights of their own, against loops over groups."""

from __future__ import annotations

import numpy as np
import pytest

from proml_kedro.models.component import Examples, FitContext, Input
from proml_kedro.models.xgboost import pairs
from proml_kedro.models.xgboost.component import XGBoost
from proml_kedro.models.xgboost.pairs import PairObjective, weighs_pairs
from proml_kedro.models.xgboost.ranking import by_group
from proml_kedro.models.xgboost.spec import XGBoostSpec
from proml_kedro.spec.hardware import HardwareSpec


def draw(seed, groups=30, weights=True):
    generator = np.random.default_rng(seed)
    group = np.sort(generator.integers(0, groups, 200)) * 3  # of all sizes, some without a positive row
    label = (generator.random(200) < 0.3).astype(float)
    weight = generator.uniform(0.1, 5, 200) if weights else np.ones(200)
    return Examples({}, label, weight, group), np.round(generator.normal(size=200), 3)


def loops(examples, margin, listwise):
    """The loss of each group, and its derivatives by formulas for one pair at a time."""
    first, second, loss = np.zeros(len(margin)), np.zeros(len(margin)), 0.0
    for group in np.unique(examples.group):
        rows = np.flatnonzero(examples.group == group)
        order = sorted(rows, key=lambda row: -margin[row])
        place = {row: number for number, row in enumerate(order)}
        positives = int(examples.label[rows].sum())
        ideal = sum(1 / np.log2(2 + number) for number in range(positives))
        for better in rows[examples.label[rows] == 1]:
            for worse in rows[examples.label[rows] == 0]:
                weight = examples.weight[better]
                if listwise:
                    weight *= abs(1 / np.log2(2 + place[better]) - 1 / np.log2(2 + place[worse])) / ideal
                chance = 1 / (1 + np.exp(margin[better] - margin[worse]))
                loss += weight * np.log1p(np.exp(margin[worse] - margin[better]))
                first[better] -= weight * chance
                first[worse] += weight * chance
                second[better] += weight * chance * (1 - chance)
                second[worse] += weight * chance * (1 - chance)
    return loss, first, second


@pytest.mark.parametrize("listwise", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_derivatives_are_those_of_loops(seed, listwise):
    examples, margin = draw(seed)
    found = PairObjective(examples, listwise)(margin, None)
    _, first, second = loops(examples, margin, listwise)
    assert np.abs(found[0] - first).max() <= 1e-12
    assert np.abs(found[1] - second).max() <= 1e-12


def test_the_slope_is_that_of_the_loss():
    examples, margin = draw(5)
    slope, _ = PairObjective(examples, False)(margin, None)
    for row in range(0, 200, 23):
        step = np.zeros(200)
        step[row] = 1e-5
        change = loops(examples, margin + step, False)[0] - loops(examples, margin - step, False)[0]
        assert slope[row] == pytest.approx(change / 2e-5, abs=1e-6)


def test_a_weight_of_two_is_the_positive_row_twice():
    examples, margin = draw(6, weights=False)
    twice = np.where(examples.label == 1, 2, 1)
    rows = np.repeat(np.arange(200), twice)
    slope, bend = PairObjective(Examples({}, examples.label, twice.astype(float), examples.group), False)(margin, None)
    again = PairObjective(examples.take(rows), False)(margin[rows], None)
    for found, repeated in zip((slope, bend), again, strict=True):
        assert found == pytest.approx(np.bincount(rows, repeated), abs=1e-12)


def test_weights_of_whole_groups_are_left_to_xgboost():
    examples, _ = draw(7)
    assert weighs_pairs(examples)
    by_whole = Examples({}, examples.label, examples.group + 1.0, examples.group)
    assert not weighs_pairs(by_whole)
    assert not weighs_pairs(Examples({}, examples.label, None, examples.group))


def test_too_many_pairs_are_refused(monkeypatch):
    monkeypatch.setattr(pairs, "MOST_PAIRS", 10)
    with pytest.raises(ValueError, match=r"weights that differ within groups compare [0-9,]+ pairs; at most 10"):
        PairObjective(draw(8)[0], False)


INPUTS = [Input("shop.x", "float"), Input("shop.y", "float")]


@pytest.mark.parametrize("objective", ["pairwise", "listwise"])
def test_trees_follow_the_rows_that_count(objective):
    """Half of the clicks follow x, half y, against each other; those that count more decide the order."""
    generator = np.random.default_rng(1)
    rows = 6000
    columns = {one.name: generator.normal(size=rows).astype(np.float32) for one in INPUTS}
    by_x = generator.random(rows) < 0.5
    wanted = np.where(by_x, columns["shop.x"], -columns["shop.x"])
    label = (wanted + generator.normal(0, 0.3, rows) > 0.8).astype(float)
    group = np.arange(rows) // 6
    found = {}
    for name, weight in (("x", np.where(by_x, 9.0, 1.0)), ("against", np.where(by_x, 1.0, 9.0))):
        examples = Examples(columns, label, weight, group)
        spec = XGBoostSpec.model_validate(
            {"kind": "xgboost", "inputs": ["*"], "objective": objective, "num_boost_round": 10}
        )
        trees = XGBoost(spec, INPUTS)
        trees.fit(examples, examples, FitContext(HardwareSpec(threads=1), seed=1, final=False))
        found[name] = np.corrcoef(trees.score(columns)["margin"], columns["shop.x"])[0, 1]
    assert found["x"] > 0.3
    assert found["against"] < -0.3, "about 0 by mean weights of groups"


def test_rows_come_in_the_order_of_groups_with_their_own_weights():
    examples = Examples({"x": np.arange(4.0)}, np.ones(4), np.array([1.0, 0.0, 3.0, 2.0]), np.array([7, 5, 5, 7]))
    assert by_group(examples).weight.tolist() == [3.0, 1.0, 2.0]
