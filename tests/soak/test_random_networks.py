"""Many random networks train, save, load, are exported and score alike; test_networks.py has a sample of them."""

from __future__ import annotations

import pytest

from random_networks import check_network
from soaked import note

SEEDS = range(3, 153)


@pytest.mark.soak
def test_many_random_networks(tmp_path):
    for seed in SEEDS:
        folder = tmp_path / str(seed)
        folder.mkdir()
        check_network(seed, folder)
    note("Random networks are the same saved, loaded and exported", networks=len(SEEDS))
