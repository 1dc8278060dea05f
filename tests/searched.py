"""A problem of one plain table that is searched in a second a trial, for tests of searches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

FILES = {
    "config.yaml": """\
defaults: [problem: calls, features: calls, model: trees, hardware: cpu, evaluation: default, serving: default,
  monitoring: default, search: default, catalog: default, _self_]
config_version: 1
""",
    "problem/calls.yaml": """\
tables: {calls: {source: calls.csv}}
examples: {table: calls, timestamp: at}
label: {expression: bought = 1}
split: {validation_from: 2024-02-01, test_from: 2024-02-15}
""",
    "features/calls.yaml": """\
call:
  source: request
  features: {minutes: {dtype: float}, hour: {dtype: float}, city: {dtype: str}}
""",
    "model/trees.yaml": """\
components:
  trees: {kind: xgboost, inputs: ["*"], num_boost_round: 30, early_stopping_rounds: 5, params: {max_depth: 3}}
score: trees
""",
    "model/line.yaml": """\
components: {line: {kind: linear, inputs: ["*"]}}
score: line
""",
}
DEPTH = "model.components.trees.params.max_depth"
RATE = "model.components.trees.params.learning_rate"


def calls(rows: int = 3000, flip_after: str | None = None) -> pd.DataFrame:
    """Calls, of which long ones sell more; from a day on labels are the wrong way round if that is asked for."""
    generator = np.random.default_rng(1)
    at = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(np.sort(generator.integers(0, 60 * 86400, rows)), "s")
    minutes, hour = generator.exponential(5, rows).round(2), at.hour + generator.integers(0, 2, rows)
    city = generator.choice(["Bern", "Lima", "Oslo"], rows)
    margin = 0.3 * (minutes - 5) + np.where(city == "Lima", hour - 12, 12 - hour) / 8
    bought = (generator.random(rows) < 1 / (1 + np.exp(-margin))).astype(int)
    if flip_after:
        bought = np.where(at >= pd.Timestamp(flip_after, tz="UTC"), 1 - bought, bought)
    return pd.DataFrame({"at": at, "minutes": minutes, "hour": hour, "city": city, "bought": bought})


def write_project(folder: Path, frame: pd.DataFrame | None = None) -> Path:
    """Write the project into a folder."""
    (calls() if frame is None else frame).to_csv(folder / "calls.csv", index=False)
    for file, text in FILES.items():
        (folder / "conf" / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / "conf" / file).write_text(text)
    return folder
