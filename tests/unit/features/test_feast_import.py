"""Feast is imported without what its checks of types cost, and nobody else's checks are left out."""

from __future__ import annotations

import os
import subprocess
import sys

CODE = """
import proml_kedro.features.feast
import typeguard
import feast

@typeguard.typechecked
def double(number: int) -> int:
    return 2 * number

@typeguard.typechecked(collection_check_strategy=typeguard.CollectionCheckStrategy.ALL_ITEMS)
def total(numbers: list[int]) -> int:
    return sum(numbers)

def refused(call):
    try:
        call()
    except typeguard.TypeCheckError:
        return True

assert refused(lambda: double("1")) and refused(lambda: total([1, "2"]))
assert double(2) == 4 and total([1, 2]) == 3
names = feast.FeatureView.__init__.__code__.co_names
assert not any("check" in name for name in names), names
"""


def test_only_feast_is_left_unchecked(tmp_path):
    file = tmp_path / "checked.py"  # typeguard reads the source
    file.write_text(CODE)
    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


OPENED = """
import os
import proml_kedro.features.feast.repository
from feast import metrics
print(os.listdir(metrics._prometheus_mp_dir))
"""


def test_feasts_metrics_open_no_files():
    """Which runs that trained warned of at their end, with names of temporary files."""
    clean = {name: one for name, one in os.environ.items() if not name.startswith("PROMETHEUS")}  # Feast changes it
    command = [sys.executable, "-c", OPENED]
    done = subprocess.run(command, env=clean, capture_output=True, text=True, timeout=300, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
