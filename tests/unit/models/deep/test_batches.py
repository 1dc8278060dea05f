"""Laws of batches: every row of every group once, lists of one length, nothing lost but what devices cannot share."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from proml_kedro.models.deep.batches import LONGEST, as_lists, grouped, single

groups = st.lists(st.integers(0, 20), min_size=1, max_size=400).map(np.array)


@given(groups)
@settings(deadline=None)
def test_lists_hold_each_row_once_beside_those_of_its_group(group):
    lists = as_lists(group, np.random.default_rng(0).random(len(group)))
    assert sorted(lists[lists >= 0].tolist()) == list(range(len(group)))
    for one in lists:
        assert len(np.unique(group[one[one >= 0]])) == 1
    assert lists.shape[1] <= LONGEST
    assert (lists >= 0).any(axis=0).all()


@given(groups, st.integers(1, 300), st.integers(1, 3))
@settings(deadline=None)
def test_grouped_batches_hold_each_row_once_and_enough_lists_for_every_device(group, batch, devices):
    batches = grouped(group, batch, np.random.default_rng(1), devices)
    assert all(len(one) % devices == 0 for one in batches)
    real = np.concatenate([one[one >= 0] for one in batches])
    lists = as_lists(group, np.arange(len(group)))
    if devices == 1:
        assert sorted(real.tolist()) == list(range(len(group)))
    elif len(lists) >= devices:
        assert sum(map(len, batches)) > len(lists) - devices * len(batches) - devices


def test_one_long_group_among_short_ones_leaves_batches_as_large_as_they_should_be():
    generator = np.random.default_rng(3)
    sizes = [*np.maximum(1, generator.poisson(5, 4000)), 128]
    group = np.repeat(np.arange(len(sizes)), sizes)
    rows = [int((one >= 0).sum()) for one in grouped(group, 2048, generator)]
    assert sum(rows) == len(group)
    assert min(rows) > 0.9 * 2048
    assert max(rows) < 1.2 * 2048


@given(st.integers(1, 500), st.integers(1, 100))
@settings(deadline=None)
def test_single_rows_come_at_most_once(count, batch):
    rows = np.concatenate(single(count, batch, np.random.default_rng(2)))
    assert len(np.unique(rows)) == rows.size
    assert count - rows.size < min(batch, count)


def test_a_long_group_is_cut_evenly():
    lists = as_lists(np.zeros(LONGEST + 5, int), np.arange(LONGEST + 5))
    assert (lists >= 0).sum(axis=1).tolist() == [67, 66]
