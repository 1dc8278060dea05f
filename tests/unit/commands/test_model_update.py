"""`kedro model update`: a bundle learns from labelled rows in a file."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from proml_kedro.bundle import Bundle, BundleContent, write_bundle
from proml_kedro.cli import cli
from proml_kedro.engine.session import connect
from proml_kedro.errors import UserError
from proml_kedro.scoring.known_rows import Learned, count_rows
from proml_kedro.spec import HardwareSpec
from small import METRICS, fit, make_bundle, make_config, write_training_set

MIXED = {
    "before": {"kind": "logistic", "inputs": ["visit.price"]},
    "personal": {
        "kind": "mixed",
        "inputs": ["before.margin", "shop", "visit.city"],
        "offset": "before.margin",
        "fixed": ["visit.city"],
        "random_effects": [{"entity": "shop", "variance": 0.5}],
    },
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("update")
    config, training_set = make_config(MIXED), write_training_set(folder / "training_set.parquet")
    made = folder / "bundle"
    made.mkdir()
    content = BundleContent(
        graph=fit(config, training_set),
        config=config,
        training_set=training_set,
        metrics=METRICS,
        lineage={"training_set": "0123456789abcdef"},
    )
    write_bundle(made, content, name="sales-mixed", version="v1", shown_at=Path("data/sales/mixed/bundle"))
    return made


@pytest.fixture
def rows(tmp_path):
    """Shop 3 sells in every visit, and so does a new one."""
    count = 40
    columns = {
        "shop": np.where(np.arange(count) % 2, 3, 99),
        "amount": np.ones(count),
        "visit.city": ["Lima"] * count,
        "visit.price": np.full(count, 20.0),
    }
    file = tmp_path / "rows.parquet"
    pq.write_table(pa.table(columns), file)
    return file


def run(*words):
    return CliRunner().invoke(cli, ["model", "update", *map(str, words)])


def test_entities_with_new_rows_are_estimated_anew(bundle, rows, tmp_path):
    out = tmp_path / "out"
    result = run(bundle, "--rows", rows, "-o", out, "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)["personal"]
    assert (facts["rows"], facts["changed"], facts["added"], facts["label"]) == (40, {"shop": 2}, {"shop": 1}, 40.0)
    old, new = Bundle.load(bundle), Bundle.load(out)  # proves checksums and golden rows
    effects = {name: one.graph.components["personal"] for name, one in (("old", old), ("new", new))}
    before, after = (one.effects_of({"shop": "3"})[0] for one in effects.values())
    assert after.value > before.value + 0.3
    assert after.error < before.error
    assert after.rows == before.rows + 20
    assert effects["new"].effects_of({"shop": "99"})[0].known
    others = [one.effects_of({"shop": "5"})[0] for one in effects.values()]
    assert others[0].value == others[1].value
    assert new.version == "v1.u1"
    assert new.manifest.lineage["updates"][0]["of"] == old.digest
    assert "Goes on from `sales-mixed:v1` with 40 labelled rows" in (out / "card.md").read_text()
    assert str(out / "proml.yaml") in (out / "run.yml").read_text()


def test_a_second_update_goes_on_from_the_first_and_refuses_its_rows(bundle, rows, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    said = run(bundle, "--rows", rows, "-o", first)
    assert said.exit_code == 0, said.output
    assert "personal: learned from 40 rows\n  shop: 2 entities, 1 of them new\n  labels add up to 40" in said.stdout
    again = run(first, "--rows", rows, "-o", second)
    assert again.exit_code == 2
    assert f"{rows}: personal: has learned from these rows in update 1 already" in again.stderr
    assert not second.exists()
    pq.write_table(pq.read_table(rows).slice(0, 10), rows)
    assert run(first, "--rows", rows, "-o", second).exit_code == 0
    assert Bundle.load(second).version == "v1.u2"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["first", "rows.parquet", "second"]


def test_what_cannot_be_learned_from_is_one_line(bundle, rows, tmp_path):
    out = tmp_path / "out"
    table = pq.read_table(rows)
    cases = [
        (table.drop_columns(["amount"]), [], "the label needs `amount > 0`: no column 'amount'"),
        (table.slice(0, 0), [], "has no row with a label"),
        (table.drop_columns(["visit.price"]), [], "visit.price: "),
        (table, ["--component", "before"], "option --component: 'before' is no component that learns from new rows"),
    ]
    for content, more, message in cases:
        pq.write_table(content, rows)
        result = run(bundle, "--rows", rows, "-o", out, *more)
        assert result.exit_code == 2, result.output
        assert message in result.stderr
        assert result.stderr.count("\n") <= 2
        assert not out.exists()
    texts = tmp_path / "rows.csv"
    texts.write_text("shop,amount,visit.city,visit.price\n3,1,Lima,20\n3,1,Lima,many\n")
    result = run(bundle, "--rows", texts, "-o", out)
    assert (result.exit_code, out.exists()) == (2, False)
    assert "1 of 2 cells of 'visit.price' are no numbers" in result.stderr
    out.mkdir()
    assert "is there already; name a new folder" in run(bundle, "--rows", rows, "-o", out).stderr


def test_a_model_without_effects_of_entities_learns_nothing(rows, tmp_path):
    trees = make_bundle(tmp_path / "trees")
    result = run(trees, "--rows", rows, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "no component of it learns from new rows" in result.stderr


def dated(rows, moments, **columns):
    """The rows, the first of them at the given moments, which is as many as stay."""
    table = pq.read_table(rows).slice(0, len(moments))
    for name, values in {"visited_at": pa.array(moments, pa.timestamp("us", "UTC")), **columns}.items():
        table = table.append_column(name, values)
    pq.write_table(table, rows)


def test_rows_of_a_time_that_was_learned_from_are_refused(bundle, rows, tmp_path):
    """The model of small.py is fitted up to 2024-03-01; rows without a moment say that nobody can tell."""
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    whole = pq.read_table(rows)
    dated(rows, [datetime(2024, 2, 29, 23, 59), datetime(2024, 3, 1), datetime(2024, 3, 5)])
    result = run(bundle, "--rows", rows, "-o", first)
    assert (result.exit_code, first.exists()) == (2, False)
    assert f"{rows}: 1 of 3 rows are of a time that the model has learned from (fitted to what came before " in (
        result.stderr
    )
    assert "2024-03-01 00:00 UTC), and would count double; leave them out, or say" in result.stderr
    late = run(bundle, "--rows", rows, "-o", first, "--late-labels", "--json")
    assert late.exit_code == 0, late.output
    assert json.loads(late.stdout)["personal"]["rows_before_end"] == 1

    pq.write_table(whole, rows)
    dated(rows, [datetime(2024, 3, 4), datetime(2024, 3, 5), datetime(2024, 3, 5, 1), datetime(2024, 3, 6)])
    again = run(first, "--rows", rows, "-o", second)
    assert again.exit_code == 2
    assert "2 of 4 rows are of a time that the model has learned from" in again.stderr
    assert "updated up to 2024-03-05 00:00 UTC" in again.stderr
    pq.write_table(pq.read_table(rows).slice(2), rows)
    after = run(first, "--rows", rows, "-o", second)
    assert after.exit_code == 0, after.output
    assert "nobody can tell" not in after.stdout

    pq.write_table(whole, rows)
    assert (
        "nobody can tell whether the model was fitted to these rows" in run(bundle, "--rows", rows, "-o", third).stdout
    )


def test_where_the_split_does_not_go_by_time_the_end_of_updates_counts():
    learned = Learned(None, datetime(2024, 3, 5, tzinfo=UTC))
    with connect(HardwareSpec(threads=1, memory="300MB")) as session:
        rows = session.relation(
            "(SELECT TIMESTAMPTZ '2024-03-04 00:00+00' + INTERVAL (i) DAY AS seen_at FROM range(4) t(i))"
        )
        facts = count_rows(session, rows, "true", "seen_at", learned)
    assert (facts.rows, facts.before, facts.latest) == (4, 2, datetime(2024, 3, 7, tzinfo=UTC))
    assert "nobody can tell" in " ".join(facts.told())
    with pytest.raises(UserError, match="2 of 4 rows are of a time"):
        facts.check(late_labels=False)


def test_rows_that_stand_there_twice_are_counted(bundle, rows, tmp_path):
    dated(rows, [datetime(2024, 3, day) for day in (1, 2, 3, 4)])
    table = pq.read_table(rows)
    pq.write_table(pa.concat_tables([table, table.slice(1, 2)]), rows)
    result = run(bundle, "--rows", rows, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "2 of 6 rows equal another one in every column, and count once more each" in result.stdout
    pq.write_table(table, rows)
    assert "equal another" not in run(bundle, "--rows", rows, "-o", tmp_path / "once").stdout
