"""A user's package brings a metric, a ranking metric and a drift check: declared as entry points, named in YAML."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PACKAGE = '''
"""Of somebody who knows proml_kedro by its documentation alone."""

from typing import Annotated

import numpy as np
from pydantic import Field

from proml_kedro.evaluation.metric import Metric, RankingMetric
from proml_kedro.formulas import auc
from proml_kedro.health.check import DriftCheck
from proml_kedro.spec.monitoring import DriftCheckSpec


class Gini(Metric):
    """Twice the area under the Lorenz curve's mirror."""

    tasks = ("binary",)
    higher_is_better = True
    meaning = "twice the AUC less one"

    def compute(self, label, score, weight):
        order = np.repeat(np.arange(len(label)), weight.astype(int)) if (weight == weight.astype(int)).all() else None
        if order is None:
            return self.compute(label, score, weight * 2)
        return 2 * auc(label[order], score[order]) - 1


class Misses(RankingMetric):
    """Positive rows below the first k."""

    higher_is_better = False
    meaning = "share of a group's positive rows below place {k}"

    def compute(self, groups, k):
        below = groups.sum(groups.positive & (groups.place > k))
        return np.divide(below, groups.positives, out=np.full(len(below), np.nan), where=groups.positives > 0)


class Distance(DriftCheckSpec):
    """When distribution functions are too far apart."""

    distance: Annotated[float, Field(gt=0, le=1)] = 0.15


class KolmogorovSmirnov(DriftCheck[Distance]):
    """The largest gap between both distribution functions, over the reference's bins."""

    Limits = Distance

    def size(self, pair):
        reference, current = pair.reference.counts, pair.current.counts
        if not reference.sum() or not current.sum():
            return np.nan
        return float(np.abs(np.cumsum(reference) / reference.sum() - np.cumsum(current) / current.sum()).max())

    def limit(self, column, movement):
        return self.limits.distance

    def describe(self, pair, size, limit):
        return f"distribution functions are {size:.2f} apart"

    def example(self):
        generator = np.random.default_rng(0)
        return generator.normal(size=1000), generator.normal(1.0, 1.0, 1000)
'''

ENTRY_POINTS = """
[proml_kedro.metrics]
gini = figures_of_mine:Gini

[proml_kedro.ranking_metrics]
misses = figures_of_mine:Misses

[proml_kedro.drift_checks]
kolmogorov_smirnov = figures_of_mine:KolmogorovSmirnov
"""

PROOF = """
from proml_kedro.testing import check_drift_check, check_metric, check_ranking_metric

check_metric("gini")
check_ranking_metric("misses@2")
check_drift_check("kolmogorov_smirnov", {"distance": 0.2})
"""


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """The environment in which the package is installed."""
    site = tmp_path / "site"
    info = site / "figures_of_mine-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "figures_of_mine.py").write_text(PACKAGE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: figures_of_mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return {"PYTHONPATH": str(site)}


def test_a_package_proves_what_it_brings(installed):
    done = subprocess.run(
        [sys.executable, "-c", PROOF], env={**os.environ, **installed}, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr


def test_what_a_package_brings_is_used_from_yaml(shop, installed):
    shop.environment.update(installed)
    done = shop.run(
        "--pipelines=features,train,evaluate,monitor",
        "evaluation.metrics=[gini,auc]",
        "evaluation.compare.resamples=20",
        "evaluation.ranking.within=customer",
        "evaluation.ranking.metrics=[misses@2]",
        "monitoring.current.last=3w",
        "+monitoring.gate.checks.shape={kind: kolmogorov_smirnov, distance: 0.001}",
        "monitoring.gate.fail_on=[shape]",
    )
    assert done.returncode == 0, done.stderr  # the exit code is the verdict of `--pipelines=monitor` alone
    metrics = json.loads((shop.result("evaluation") / "metrics.json").read_text())
    assert list(metrics["candidate"]) == ["gini", "auc", "misses@2"]
    assert metrics["candidate"]["gini"] == pytest.approx(2 * metrics["candidate"]["auc"] - 1)
    assert metrics["differences"]["misses@2"]["low"] < metrics["differences"]["misses@2"]["high"]
    report = (shop.result("evaluation") / "report.md").read_text()
    assert "higher: twice the AUC less one" in report
    assert "lower: share of a group's positive rows below place 2" in report
    assert "gini" in done.stdout
    drift = json.loads((shop.result("drift") / "drift.json").read_text())
    assert drift["verdict"] == "drift"
    worst = drift["columns"][0]
    assert "shape" in worst["reasons"]
    assert worst["checks"]["shape"]["limit"] == 0.001
    assert "distribution functions are" in (shop.result("drift") / "drift.md").read_text()


def test_mistakes_in_what_a_package_brings_are_one_line(shop, installed):
    shop.environment.update(installed)
    done = shop.run("+monitoring.gate.checks.shape={kind: kolmogorov_smirnof}", "evaluation.metrics=[ginny]")
    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 2, done.stderr
    assert any("no metric 'ginny'. Did you mean 'gini'?" in line for line in lines)
    assert any("no drift check 'kolmogorov_smirnof'. Did you mean 'kolmogorov_smirnov'?" in line for line in lines)
