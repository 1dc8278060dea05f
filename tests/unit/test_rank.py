"""Rows in the order of their scores: places are those of a greedy loop, in frames and in files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proml_kedro.bundle import Bundle, BundleContent, write_bundle
from proml_kedro.bundle.places import places_of
from proml_kedro.errors import UserError
from proml_kedro.models.columns import as_array
from proml_kedro.scoring import score
from proml_kedro.scoring.job import ScoringJob
from proml_kedro.scoring.plan import Plan
from proml_kedro.spec.hardware import HardwareSpec
from proml_kedro.spec.rank import RankSpec
from proml_kedro.spec.run import RunSpec, check
from proml_kedro.workflow import recipes
from small import METRICS, fit, make_config, write_training_set
from tiers import examples

ROW = st.tuples(
    st.sampled_from(["a", "b", "c", None]), st.integers(0, 4), st.sampled_from(["x", "y", None]), st.integers(0, 2)
)


def by_hand(rank: RankSpec, rows: list[tuple[Any, ...]]) -> list[int]:
    """The places by definition: the best row that has room, again and again."""
    places = [0] * len(rows)
    sign = 1 if rank.order == "ascending" else -1
    groups = [[n for n, row in enumerate(rows) if row[0] == one] for one in "abc"]
    groups += [[n] for n, row in enumerate(rows) if row[0] is None]
    for mine in groups:
        shown: list[int] = []
        for number in sorted(mine, key=lambda n: (sign * rows[n][1], n)):
            columns = {name: 2 + "uv".index(name) for name in rank.at_most}
            full = any(
                rows[number][columns[name]] is not None
                and sum(rows[one][columns[name]] == rows[number][columns[name]] for one in shown) >= most
                for name, most in rank.at_most.items()
            )
            if not full and len(shown) < (rank.limit or 99):
                shown.append(number)
                places[number] = len(shown)
    return places


@examples(200, 2000)
@given(
    st.lists(ROW, max_size=20),
    st.sampled_from([None, 1, 3]),
    st.dictionaries(st.sampled_from("uv"), st.integers(1, 2)),
    st.sampled_from(["ascending", "descending"]),
)
def test_places_are_those_of_a_greedy_loop(rows: Any, limit: int | None, at_most: dict[str, int], order: Any) -> None:
    rank = RankSpec(within="group", limit=limit, at_most=at_most, order=order)
    columns = [np.array([*(row[at] for row in rows), None], object)[:-1] for at in range(4)]
    counted = {"u": columns[2], "v": columns[3].astype(float)}
    assert places_of(rank, columns[0], columns[1].astype(float), counted).tolist() == by_hand(rank, rows)


RANK = {"within": "group", "limit": 4, "at_most": {"visit.city": 2, "made.dear": 3}}


@pytest.fixture(scope="module")
def ranked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pa.Table]:
    """A bundle that ranks, and a table to rank by it."""
    folder = tmp_path_factory.mktemp("ranked")
    config = make_config({"trees": {"kind": "xgboost", "inputs": ["visit.*", "made.dear"], "num_boost_round": 5}})
    config["problem"]["examples"]["group"] = "basket"
    config["features"]["visit"]["features"]["items"]["neutral"] = 1
    asked = {"dear": {"dtype": "bool", "expression": "visit.price > 20"}}
    config["features"]["made"] = {"source": "on_demand", "features": asked}
    config["model"]["rank"] = RANK
    assert list(check(RunSpec.model_validate(config))) == []
    config = RunSpec.model_validate(config).model_dump(mode="json")
    training_set = write_training_set(folder / "training_set.parquet")
    rows = pq.read_table(training_set)
    dear = pa.array([None if one is None else one > 20 for one in rows["visit.price"].to_pylist()])
    pq.write_table(rows.append_column("made.dear", dear), training_set)
    (folder / "bundle").mkdir()
    content = BundleContent(graph=fit(config, training_set), config=config, training_set=training_set, metrics=METRICS)
    write_bundle(folder / "bundle", content, name="sales", version="v1", shown_at=folder)
    basket = pa.array((np.arange(len(rows)) * 7919) % 151)
    names = ("visit.shop", "visit.city", "visit.price", "visit.items", "visit.member")
    return folder / "bundle", pa.table({"basket": basket, **{name: rows[name] for name in names}})


def check_list(shown: list[dict[str, Any]]) -> None:
    """Check one list as it is shown: places without a gap, scores that fall, and no value more often than it may be."""
    assert [one["place"] for one in shown] == list(range(1, len(shown) + 1))
    assert [one["order"] for one in shown] == sorted((one["order"] for one in shown), reverse=True)
    assert 1 <= len(shown) <= 4
    cities = [one["visit.city"] for one in shown if one["visit.city"]]
    assert max((cities.count(one) for one in cities), default=0) <= 2
    dear = [one["visit.price"] > 20 for one in shown if one["visit.price"] is not None]
    assert max(dear.count(True), dear.count(False)) <= 3


def test_frames_and_files_are_ranked_alike(ranked: tuple[Path, pa.Table], tmp_path: Path, monkeypatch: Any) -> None:
    folder, table = ranked
    bundle = Bundle.load(folder)
    places = bundle.rank_frame(table)
    assert places.tolist() == bundle.rank_frame(table.drop_columns(["visit.items"])).tolist()  # of neutral value
    order = bundle.order_scores({one.name: as_array(table[one.name], one, "float64") for one in bundle.inputs})
    rows = table.append_column("place", pa.array(places)).append_column("order", pa.array(order)).to_pylist()
    for basket in range(151):
        mine = [row for row in rows if row["basket"] == basket and row["place"]]
        check_list(sorted(mine, key=lambda row: row["place"]))

    for name, size in (("PART_ROWS", 256), ("JOINED_ROWS", 128), ("SCORED_ROWS", 128)):
        monkeypatch.setattr(score, name, size)
    pq.write_table(table, tmp_path / "table.parquet")
    hardware, output = HardwareSpec(threads=1), tmp_path / "out.parquet"
    job = ScoringJob(folder, "table.parquet", output, tmp_path, None, hardware)  # type: ignore[arg-type]
    score.score_table(job, lambda _: None)
    written = pq.read_table(output)
    assert written.column_names == ["row", "score", "order", "rank"]
    assert [one or 0 for one in written["rank"].to_pylist()] == places.tolist()

    pq.write_table(table.drop_columns(["basket"]), tmp_path / "table.parquet")
    with pytest.raises(UserError, match=r"basket: .*; the model ranks rows within it"):
        score.score_table(job, lambda _: None)
    pq.write_table(table.slice(0, 0), tmp_path / "table.parquet")
    score.score_table(job, lambda _: None)
    assert pq.read_table(output).schema.field("rank").type == pa.int64()


def test_an_order_changes_nothing_that_is_learned() -> None:
    config = make_config()
    plain, ranks = (
        recipes.recipes_of(RunSpec.model_validate({**config, "model": {**config["model"], "rank": rank}}))
        for rank in (None, {"within": "shop", "limit": 3})
    )
    assert [name for name in plain if plain[name].digest != ranks[name].digest] == ["bundle"]


@pytest.mark.parametrize(
    ("rank", "line"),
    [
        ({"within": "basket"}, "model.rank.within: no group or entity 'basket'"),
        ({"within": "shop", "at_most": {"visit.town": 2}}, "model.rank.at_most.visit.town: no input 'visit.town'"),
    ],
)
def test_what_is_wrong_is_one_line(rank: dict[str, Any], line: str) -> None:
    config = make_config()
    config["model"]["rank"] = rank
    (mistake,) = check(RunSpec.model_validate(config))
    assert f"{mistake.key}: {mistake.message}".startswith(line)


def test_a_bundle_that_says_no_order_ranks_nothing(ranked: tuple[Path, pa.Table]) -> None:
    folder, table = ranked
    bundle = Bundle.load(folder)
    bundle.graph.spec = bundle.graph.spec.model_copy(update={"rank": None})
    with pytest.raises(UserError, match="says no rank"):
        bundle.rank_frame(table)


def test_numbers_that_tell_groups_apart_are_not_rounded(ranked: tuple[Path, pa.Table], tmp_path: Path) -> None:
    """Other models are given numbers in their own precision at once, but for what on-demand features are made of."""
    folder, table = ranked
    bundle = Bundle.load(folder)
    job = ScoringJob(folder, "t", tmp_path / "o", tmp_path, None, HardwareSpec(threads=1))  # type: ignore[arg-type]
    scoring = score._Scoring(job, bundle, lambda _: None)
    exact = {name: one.dtype for name, one in scoring._columns(table, None, Plan()).items() if one.dtype != object}
    assert set(exact.values()) == {np.dtype("float64")}
    bundle.graph.spec = bundle.graph.spec.model_copy(update={"rank": None})
    given = {name: one.dtype for name, one in scoring._columns(table, None, Plan()).items() if one.dtype != object}
    assert given == {name: np.dtype("float64" if name == "visit.price" else "float32") for name in exact}
