"""The generated search for jobs: reproducible, sound as data, and true to what it says is true."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proml_kedro.evaluation.predictions import Predictions
from proml_kedro.generators import generate
from proml_kedro.generators.job_lists import draw_lists, draw_searches
from proml_kedro.generators.job_world import draw_world
from proml_kedro.spec.generator import TABLES, GeneratorSpec

SMALL = {"members": 500, "jobs": 600, "lists": 3000}


def make(folder: Path, **size: Any) -> Path:
    folder.mkdir()
    generate(GeneratorSpec.model_validate({"kind": "job_search", **SMALL, **size}), folder)
    return folder


def read(folder: Path, name: str) -> Any:
    return pq.read_table(folder / f"{name}.parquet").to_pandas()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("job_search") / "data", lists=12_000, members=1500, jobs=1200)


def test_it_writes_the_tables_that_the_spec_names(data):
    assert sorted(file.stem for file in data.glob("*.parquet")) == sorted(TABLES["job_search"])


def test_the_same_spec_gives_the_same_files_and_another_seed_others(tmp_path):
    one, same, other = (make(tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    files = sorted(file.relative_to(one) for file in one.rglob("*.*"))
    assert len(files) == 8
    for file in files:
        assert (one / file).read_bytes() == (same / file).read_bytes(), file
    assert (one / "impressions.parquet").read_bytes() != (other / "impressions.parquet").read_bytes()


def test_more_searches_are_made_by_the_same_members(tmp_path):
    few, many = make(tmp_path / "few"), make(tmp_path / "many", lists=5000)
    for name in ("members", "jobs", "truth/members", "truth/jobs", "truth/titles"):
        assert (few / f"{name}.parquet").read_bytes() == (many / f"{name}.parquet").read_bytes()


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 1000),
    st.integers(10, 300),
    st.integers(300, 2000),
    st.integers(2, 20),
    st.integers(7, 90),
    st.floats(0, 1),
)
def test_lists_are_lists(seed, members, jobs, length, days, explore):
    size = {"seed": seed, "members": members, "jobs": jobs, "list_length": length, "days": days, "explore": explore}
    spec = GeneratorSpec.model_validate({"kind": "job_search", "lists": 200, **size})
    world = draw_world(spec)
    searches = draw_searches(spec, world)
    assert (np.diff(searches.day) >= 0).all()
    assert searches.day.min() >= 0
    assert searches.day.max() < days
    shown = draw_lists(spec, world, searches, np.random.default_rng(seed))
    assert (world.posted[shown.job] <= shown.day).all(), "no job is shown before it is posted"
    assert (shown.member == searches.member[shown.search]).all()
    for search in range(200):
        of_list = shown.search == search
        assert shown.position[of_list].tolist() == list(range(1, of_list.sum() + 1))
        assert len(set(shown.job[of_list])) == of_list.sum() <= length
    assert len(shown.job) > 0.95 * 200 * length


def test_impressions_agree_with_members_and_jobs(data):
    rows = read(data, "impressions")
    searched = rows["event_timestamp"] - pd.to_timedelta(rows["position"], unit="s")
    assert (searched.diff().dropna() >= pd.Timedelta(seconds=-1)).all(), "in order of time, but for rounding"
    for table, prefix in (("members", "member"), ("jobs", "job")):
        joined = rows.merge(read(data, table), on=f"{prefix}_id", suffixes=("", "_of_table"))
        assert len(joined) == len(rows)
        assert (joined[f"{prefix}_title"] == joined["title"]).all()
        assert (joined[f"{prefix}_region"] == joined["region"]).all()
        assert (joined[f"{prefix}_seniority"] == joined["seniority"]).all()
    assert (joined["is_remote"] == joined["is_remote_of_table"]).all()
    assert (joined["event_timestamp"] >= joined["posted_at"]).all()
    applied = rows["apply"]
    assert (rows["click"] | ~applied).all(), "who applies has clicked"
    assert not (rows["click"] & rows["dismiss"]).any()
    assert (rows["apply_timestamp"].notna() == applied).all()
    assert (rows["apply_timestamp"][applied] >= rows["event_timestamp"][applied].dt.floor("s")).all()


def test_actions_happen_as_often_as_the_truth_says(tmp_path):
    data = make(tmp_path / "data", lists=12_000, anomalies=False)
    rows, truth = read(data, "impressions"), read(data, "truth/impressions")
    assert rows["impression_id"].tolist() == truth["impression_id"].tolist()
    for label, probability in (
        (rows["click"], truth["p_click"]),
        (rows["dismiss"], truth["p_dismiss"]),
        (rows["apply"], truth["p_click"] * truth["p_apply_after_click"]),
    ):
        for part in np.array_split(np.argsort(probability.to_numpy()), 10):
            expected, variance = probability[part].sum(), (probability * (1 - probability))[part].sum()
            assert abs(label[part].sum() - expected) < 4.5 * np.sqrt(variance)
    assert rows["salary_k"].notna().all()


def test_effects_are_normal_with_the_deviations_that_are_documented(tmp_path):
    data = make(tmp_path / "data", members=20_000, jobs=20_000, lists=100)
    members, jobs = read(data, "truth/members"), read(data, "truth/jobs")
    for values, deviation in ((members["intercept"], 0.6), (members["remote_slope"], 0.8), (jobs["intercept"], 0.5)):
        assert abs(values.mean()) < 0.03
        assert values.std() == pytest.approx(deviation, rel=0.03)


def test_no_model_knows_more_than_the_truth(data):
    """What the truth is worth with and without random effects: between these a mixed-effects model is judged."""
    rows = read(data, "impressions").drop_duplicates("impression_id")
    truth = read(data, "truth/impressions")
    members, jobs = read(data, "truth/members"), read(data, "truth/jobs")
    member, job = rows["member_id"].to_numpy(), rows["job_id"].to_numpy()
    personal = (
        members["intercept"].to_numpy()[member]
        + members["remote_slope"].to_numpy()[member] * rows["is_remote"].to_numpy()
        + jobs["intercept"].to_numpy()[job]
    )
    everybody = 1 / (1 + np.exp(personal - truth["relevance"].to_numpy())) * truth["examination"].to_numpy()
    label = rows["click"].to_numpy()
    oracle, without, position = (
        Predictions(label, score).measure(["auc"])["auc"]
        for score in (truth["p_click"], everybody, -rows["position"].to_numpy())
    )
    assert 0.785 < oracle < 0.815
    assert 0.73 < without < 0.765
    assert 0.55 < position < without


def test_faults_are_where_the_manifest_says(data):
    rows = read(data, "impressions")
    faults = {one["kind"]: one for one in json.loads((data / "truth" / "anomalies.json").read_text())}
    assert set(faults) == {"null_spike", "unit_change", "label_outage", "duplicate_events"}
    searched = rows["event_timestamp"] - pd.to_timedelta(rows["position"], unit="s")

    def during(kind):
        return searched.between(pd.Timestamp(faults[kind]["from"]), pd.Timestamp(faults[kind]["to"]))

    nulls, units, outage, twice = map(during, ("null_spike", "unit_change", "label_outage", "duplicate_events"))
    assert min(one.sum() for one in (nulls, units, outage, twice)) > 300
    assert rows["salary_k"][nulls].isna().mean() == pytest.approx(faults["null_spike"]["share"], abs=0.05)
    assert rows["salary_k"][~nulls].isna().sum() <= 30
    assert rows["salary_k"][units].median() / rows["salary_k"][~units].median() == pytest.approx(1000, rel=0.05)
    assert not rows.loc[outage, ["click", "dismiss", "apply"]].to_numpy().any()
    assert rows.loc[outage, "apply_timestamp"].isna().all()
    again = rows["impression_id"].duplicated()
    assert again[twice].sum() / (~again[twice]).sum() == pytest.approx(faults["duplicate_events"]["share"], abs=0.06)
    assert again[~twice].sum() <= 30


def test_embeddings_of_titles_are_near_those_of_their_family(data):
    titles = read(data, "truth/titles")
    vectors = np.stack(titles["embedding"])
    assert np.allclose((vectors**2).sum(axis=1), 1, atol=1e-5)
    cosine = vectors @ vectors.T
    same = titles["family"].to_numpy()[:, None] == titles["family"].to_numpy()
    others = ~np.eye(len(vectors), dtype=bool)
    assert cosine[same & others].mean() > cosine[~same].mean() + 0.3
    seen, hidden = (
        np.stack(read(data, name)[column])
        for name, column in (("members", "title_embedding"), ("truth/members", "embedding"))
    )
    noise = np.sqrt(((seen - hidden) ** 2).sum(axis=1)).mean()
    assert 0.25 < noise < 0.33
