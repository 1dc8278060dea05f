"""Laws of batches: every row of every group once, lists of one length, nothing lost but the last whole batch."""

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
    real = lists[lists >= 0]
    assert sorted(real.tolist()) == list(range(len(group)))
    rows = np.where(lists < 0, -1 - lists, lists)
    assert (group[rows] == group[rows[:, :1]]).all()
    assert (lists[:, 0] >= 0).all()
    assert lists.shape[1] == min(LONGEST, np.unique(group, return_counts=True)[1].max())


@given(groups, st.integers(1, 300), st.integers(1, 3))
@settings(deadline=None)
def test_grouped_batches_hold_rows_at_most_once_and_enough_lists_for_every_device(group, batch, devices):
    rows = grouped(group, batch, np.random.default_rng(1), devices)
    assert rows.ndim == 3
    assert rows.shape[1] % devices == 0
    lists = as_lists(group, np.arange(len(group)))
    if len(lists) >= rows.shape[1]:
        real = rows[rows >= 0]
        assert len(set(real.tolist())) == len(real)
        assert len(lists) - rows.shape[0] * rows.shape[1] < rows.shape[1]


@given(st.integers(1, 500), st.integers(1, 100))
@settings(deadline=None)
def test_single_rows_come_at_most_once(count, batch):
    rows = single(count, batch, np.random.default_rng(2))
    assert len(np.unique(rows)) == rows.size
    assert count - rows.size < min(batch, count)


def test_a_long_group_is_cut():
    lists = as_lists(np.zeros(LONGEST + 5, int), np.arange(LONGEST + 5))
    assert lists.shape == (2, LONGEST)
    assert (lists[1] >= 0).sum() == 5
