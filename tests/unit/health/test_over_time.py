"""`kedro health report`: figures are those of scikit-learn on rows joined by hand, and no label counts early."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from proml_kedro.bundle import Bundle
from proml_kedro.commands.health_report import health_report_command
from proml_kedro.errors import UserError
from proml_kedro.health.over_time.report import Asked, report_health
from proml_kedro.health.over_time.write import sections
from proml_kedro.models.columns import read_columns
from proml_kedro.results.health import HealthReport
from proml_kedro.spec.model_health import HealthSpec
from small import make_bundle, write_training_set

TAG = "sales-xgboost:v1"
WEEK = timedelta(days=7)
MONDAY = datetime(2024, 4, 1, tzinfo=UTC)
NOW = MONDAY + 10 * WEEK
ROWS, WEEKS = 3000, 4


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def log(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """Four weeks of rows like those of training, with the model's score, three rows a request."""
    rows = write_training_set(tmp_path_factory.mktemp("rows") / "rows.parquet", ROWS)
    loaded, table = Bundle.load(bundle), pq.read_table(rows)
    score = loaded.score(read_columns(rows, loaded.inputs, precision="float64"))
    at = [MONDAY + WEEKS * WEEK * (number // 3 / (ROWS / 3)) for number in range(ROWS)]
    features = {f"features.{one.name}": table[one.name] for one in loaded.inputs}
    return pa.table(
        {
            "request_id": [f"r{number // 3}" for number in range(ROWS)],
            "row": pa.array([number % 3 for number in range(ROWS)], pa.int32()),
            "received_at": pa.array(at, pa.timestamp("us", "UTC")),
            "as_of": pa.array(at, pa.timestamp("us", "UTC")),
            "bundle": [TAG] * ROWS,
            "status": pa.array([200] * ROWS, pa.int16()),
            "score": score,
            "keys.shop": table["shop"],
            **features,
        }
    )


@pytest.fixture(scope="module")
def labels(log: pa.Table) -> dict[str, Any]:
    """What happened, known some hours to twelve days later."""
    generator = np.random.default_rng(3)
    score, at = log["score"].to_numpy(), log["received_at"].to_pylist()
    return {
        "request_id": log["request_id"].to_pylist(),
        "row": log["row"].to_pylist(),
        "label": (generator.random(ROWS) < score).astype(int).tolist(),
        "known_at": [
            one + timedelta(hours=late) for one, late in zip(at, generator.uniform(1, 288, ROWS), strict=True)
        ],
    }


@pytest.fixture
def report(bundle: Path, log: pa.Table, tmp_path: Path) -> Callable[..., HealthReport]:
    def report(
        labels: dict[str, Any] | None, at: datetime = NOW, rows: pa.Table | None = None, **health: Any
    ) -> HealthReport:
        pq.write_table(log if rows is None else rows, tmp_path / "predictions-1.parquet")
        if labels is not None:
            pq.write_table(pa.table(labels), tmp_path / "labels.parquet")
        file = None if labels is None else tmp_path / "labels.parquet"
        return report_health(Asked(bundle, tmp_path / "predictions-1.parquet", file, at, HealthSpec(**health)))

    return report


def by_hand(
    log: pa.Table, labels: dict[str, Any], known: Callable[[int], bool]
) -> dict[int, tuple[list[int], list[float]]]:
    """Labels and scores of each week, joined in Python."""
    found = {one: number for number, one in enumerate(zip(labels["request_id"], labels["row"], strict=True))}
    weeks: dict[int, tuple[list[int], list[float]]] = {}
    for one in log.select(["request_id", "row", "received_at", "score"]).to_pylist():
        number = found[one["request_id"], one["row"]]
        if known(number):
            week = weeks.setdefault((one["received_at"] - MONDAY) // WEEK, ([], []))
            week[0].append(labels["label"][number])
            week[1].append(one["score"])
    return weeks


def test_figures_are_those_of_scikit_learn(report, log, labels):
    from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

    found = report(labels)
    weeks = by_hand(log, labels, lambda number: True)
    assert [one.begin for one in found.periods] == [MONDAY + number * WEEK for number in range(WEEKS)]
    for number, one in enumerate(found.periods):
        label, score = weeks[number]
        assert (one.requests, one.labelled, one.coverage) == (len(label), len(label), 1.0)
        assert one.figures["auc"].value == pytest.approx(roc_auc_score(label, score), abs=1e-12)
        assert one.figures["logloss"].value == pytest.approx(log_loss(label, score), abs=1e-12)
        assert one.figures["brier"].value == pytest.approx(brier_score_loss(label, score), abs=1e-12)
        assert one.label_mean == pytest.approx(np.mean(label))
        assert one.figures["auc"].low < one.figures["auc"].value < one.figures["auc"].high
        assert not one.estimated


@pytest.mark.parametrize(
    "days", [pytest.param(9, marks=pytest.mark.slow), 17, pytest.param(26, marks=pytest.mark.slow)]
)
def test_a_label_counts_from_known_at_only(report, log, labels, days):
    """The report of a moment is the one that was made then, whatever is in the table by now."""
    at = MONDAY + timedelta(days=days, hours=5)
    now = report(labels, at, min_coverage=0, min_labels=10)
    seen = [number for number in range(ROWS) if labels["known_at"][number] <= at]
    then = {name: [values[number] for number in seen] for name, values in labels.items()}
    early = log.filter(pc.less_equal(log["received_at"], pa.scalar(at, pa.timestamp("us", "UTC"))))
    before = report(then, at, early, min_coverage=0, min_labels=10)
    assert now.periods == before.periods
    weeks = by_hand(log, labels, lambda number: labels["known_at"][number] <= at)
    for number, one in enumerate(now.periods):
        label = weeks.get(number, ([], []))[0]
        assert (one.labelled, one.label_mean) == (len(label), pytest.approx(np.mean(label)) if label else None)


@pytest.mark.slow
def test_the_newest_label_that_is_known_counts(report, labels):
    turned = {name: [*values, *values] for name, values in labels.items()}
    turned["label"] = [*labels["label"], *(1 - one for one in labels["label"])]
    turned["known_at"] = [*labels["known_at"], *(one + timedelta(days=40) for one in labels["known_at"])]
    plain = report(labels)
    assert report(turned, MONDAY + timedelta(days=35)).periods == report(labels, MONDAY + timedelta(days=35)).periods
    late = report(turned, MONDAY + 20 * WEEK)
    for one, other in zip(late.periods, plain.periods, strict=True):
        assert one.figures["auc"].value == pytest.approx(1 - other.figures["auc"].value)
    assert late.verdict == "worse"


@pytest.mark.slow
def test_a_day_is_its_end(report, labels):
    """A label of the third of April was not known when that day began."""
    days = {**labels, "known_at": [one.date() for one in labels["known_at"]]}
    text = {**labels, "known_at": [one.date().isoformat() for one in labels["known_at"]]}
    at = MONDAY + timedelta(days=9)
    counted = [report(one, at, min_labels=10, min_coverage=0).periods for one in (days, text)]
    assert counted[0] == counted[1]
    over = sum(one + timedelta(days=1) <= at.date() for one in days["known_at"])
    assert sum(one.labelled for one in counted[0]) == over


def test_what_is_too_young_or_comes_too_late_does_not_count(report, log, labels):
    """Positives are known at once and the others after ten days: a young period would look better than it is."""
    slow = {**labels, "known_at": []}
    for one, label in zip(log["received_at"].to_pylist(), labels["label"], strict=True):
        slow["known_at"].append(one + timedelta(days=0.1 if label else 10))
    at = MONDAY + 3 * WEEK - timedelta(seconds=1)
    young = report(slow, at, min_coverage=0).periods[2]
    assert young.label_mean == 1.0, "which is what matures_after is for"
    settled = report(slow, at, matures_after="10d")
    assert [one.labelled == one.mature for one in settled.periods] == [True] * 3
    assert [one.mature for one in settled.periods] == [750, pytest.approx(429, abs=3), 0]
    assert settled.periods[2].not_judged == "too young"
    late = report(slow, at, matures_after="5d")
    assert any("known later than matures_after" in notice for notice in late.notices)
    assert late.periods[0].label_mean == 1.0
    assert "labels of" in late.periods[0].not_judged, "coverage shows that the others are missing"


@pytest.mark.slow
def test_keys_and_moment_do_as_well_as_requests(report, log, labels):
    keyed = {
        "shop": log["keys.shop"].to_pylist(),
        "as_of": log["as_of"],
        "label": labels["label"],
        "known_at": labels["known_at"],
    }
    three = pa.array([one + timedelta(seconds=number % 3) for number, one in enumerate(log["as_of"].to_pylist())])
    rows = log.set_column(log.column_names.index("as_of"), "as_of", three)
    keyed["as_of"] = three
    assert [one.figures for one in report(keyed, rows=rows).periods] == [one.figures for one in report(labels).periods]


def test_an_estimate_is_near_what_labels_tell_and_withheld_from_broken_inputs(report, log, labels):
    truth = report(labels).periods[3]
    early = report(labels, MONDAY + 4 * WEEK)
    last = early.periods[3]
    assert "labels of" in last.not_judged
    assert not last.figures
    assert last.estimated["auc"] == pytest.approx(truth.figures["auc"].value, abs=0.03)
    assert last.estimated["logloss"] == pytest.approx(truth.figures["logloss"].value, abs=0.03)
    assert early.periods[0].figures
    assert not early.periods[0].estimated
    place = log.column_names.index("features.visit.price")
    week = np.array([(one - MONDAY) // WEEK for one in log["received_at"].to_pylist()])
    broken = np.where(week == 3, np.nan, log["features.visit.price"].to_numpy(zero_copy_only=False))
    rows = log.set_column(place, "features.visit.price", pa.array(broken, from_pandas=True))
    withheld = report(labels, MONDAY + 4 * WEEK, rows)
    assert (withheld.periods[3].estimated, withheld.periods[3].inputs) == ({}, "drift")
    assert withheld.periods[3].not_estimated.startswith("withheld: drifted")
    assert withheld.missing["visit.price"][3] == 1.0
    assert withheld.missing["visit.price"][0] == pytest.approx(np.isnan(broken[week == 0]).mean())


@pytest.mark.slow
def test_worse_is_told_from_chance(report, log, labels):
    """The evaluation said .8; the scores are worth a little more, and .5 once they are mixed up."""
    assert report(labels).expected == {"auc": 0.8, "logloss": 0.5}
    score = log["score"].to_numpy().copy()
    score[2000:] = np.random.default_rng(0).permutation(score[2000:])
    mixed = report(labels, rows=log.set_column(log.column_names.index("score"), "score", pa.array(score)))
    assert [one.figures["auc"].worse for one in mixed.periods][-1]
    assert mixed.verdict == "worse"
    assert mixed.words.startswith("auc is worse than expected in")


@pytest.mark.slow
def test_slices_are_parts_of_all_labels(report, log, labels):
    from sklearn.metrics import roc_auc_score

    found = report(labels, slices=["visit.city"]).slices
    city = np.array([one or "missing" for one in log["features.visit.city"].to_pylist()])
    assert {one.value for one in found} == set(city)
    for one in found:
        rows = city == one.value
        truth = roc_auc_score(np.array(labels["label"])[rows], log["score"].to_numpy()[rows])
        assert (one.rows, one.figure.value) == (rows.sum(), pytest.approx(truth))


@pytest.mark.slow
def test_what_is_logged_twice_or_by_others_counts_once_or_not(report, log, labels):
    plain = report(labels)
    position = log.column_names.index("bundle")
    other = log.slice(0, 700).set_column(position, "bundle", pa.array(["other:1"] * 700))
    failed = log.slice(0, 90).set_column(log.column_names.index("status"), "status", pa.array([503] * 90, pa.int16()))
    failed = failed.set_column(0, "request_id", pa.array([f"f{number // 3}" for number in range(90)]))
    found = report(labels, rows=pa.concat_tables([log, log.slice(100, 50), other, failed]))
    assert [one.figures for one in found.periods] == [one.figures for one in plain.periods]
    assert [one.failed for one in found.periods] == [90, 0, 0, 0]
    assert "50 rows stand in the log more than once and are counted once" in found.notices
    assert "700 rows are of other models" in found.notices
    again = log.slice(0, 3).set_column(2, "received_at", pa.array([MONDAY + timedelta(hours=1)] * 3))
    twice = report(labels, rows=pa.concat_tables([log, again]))
    assert twice.periods[0].labelled == plain.periods[0].labelled - 3, "whose label it is cannot be told"
    assert any("a request_id that several requests bear" in notice for notice in twice.notices)
    strange = {name: [*values, *values[:5]] for name, values in labels.items()}
    strange["request_id"][-5:] = ["nobody's"] * 5
    strange["row"][-5:] = range(5)
    assert "5 labels are of no scored prediction of the model in the log" in report(strange).notices


def test_labels_of_later_are_not_strange_and_empty_ones_are_said(report, log, labels):
    """A label that is not known yet is of a prediction that is not looked at yet, rather than of none."""
    at = MONDAY + 2 * WEEK
    notices = report(labels, at=at).notices
    assert not any("of no scored prediction" in notice for notice in notices)
    later = sum(one > at for one in labels["known_at"])
    assert any(notice.startswith(f"{later:,} labels become known after") for notice in notices)
    empty = {**labels, "label": [None] * 7 + labels["label"][7:]}
    assert "7 rows of the labels have no label, and say nothing" in report(empty).notices


def test_latency_is_of_requests(report, log, labels):
    """A request counts once; shadows do not, nor does a log of before that holds no times."""
    generator = np.random.default_rng(1)
    names = log["request_id"].to_pylist()
    took = dict(zip(dict.fromkeys(names), generator.exponential(0.02, len(set(names))).tolist(), strict=True))
    timed = log.append_column("seconds", pa.array([took[name] for name in names]))
    timed = timed.append_column("answered", pa.array([True] * len(names)))
    shadow = timed.slice(0, 200).set_column(timed.column_names.index("answered"), "answered", pa.array([False] * 200))
    shadow = shadow.set_column(0, "request_id", pa.array([f"s{number}" for number in range(200)]))
    shadow = shadow.set_column(shadow.column_names.index("seconds"), "seconds", pa.array([9.0] * 200))
    found = report(labels, rows=pa.concat_tables([timed, shadow]))
    for number, one in enumerate(found.periods):
        week = {
            name: took[name]
            for name, at in zip(names, log["received_at"].to_pylist(), strict=True)
            if (at - MONDAY) // WEEK == number
        }
        expected = np.quantile(list(week.values()), [0.5, 0.95, 0.99])
        assert list(one.latency.values()) == pytest.approx(expected.tolist())
    assert "milliseconds from request to answer" in [heading for heading, _ in sections(found)]
    plain = report(labels)
    assert [one.latency for one in plain.periods] == [{}] * WEEKS


def contradict(labels: dict[str, Any]) -> None:
    for name, values in labels.items():
        values.append(1 - values[0] if name == "label" else values[0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda one: one.pop("known_at"), "no column 'known_at'"),
        (lambda one: one.pop("row"), "requests alone, and 1,000 of these have several rows; add their column 'row'"),
        (lambda one: one.pop("request_id"), "neither a column 'request_id' nor the columns 'shop', 'as_of'"),
        (lambda one: one.update(label=[0.7, *one["label"][1:]]), "1 labels are no truth values"),
        (lambda one: one.update(label=["maybe", *map(str, one["label"][1:])]), "label: 1 cells are no truth values"),
        (lambda one: one.update(known_at=[None, *one["known_at"][1:]]), "1 labels have no 'known_at'"),
        (lambda one: one.update(known_at=["soon"] * ROWS), "known_at: 3,000 cells are no moments"),
        (lambda one: one.update(request_id=[None, *one["request_id"][1:]]), "1 labels have no value in request_id"),
        (lambda one: contradict(one), "1 labels contradict another one"),
    ],
)  # fmt: skip
def test_labels_that_are_wrong_are_refused(report, labels, change, words):
    changed = {name: list(values) for name, values in labels.items()}
    change(changed)
    with pytest.raises(UserError) as error:
        report(changed)
    assert words in str(error.value)
    assert len(error.value.mistakes) == 1


@pytest.mark.slow
def test_numbers_text_and_truth_values_are_the_same_labels(report, labels):
    plain = report(labels)
    values = labels["label"]
    words = ["yes" if one else "no" for one in values]
    for written in (list(map(float, values)), [f"{one}.0" for one in values], list(map(bool, values)), words):
        assert report({**labels, "label": written}) == plain
    some = [float("nan") if number % 2 else float(one) for number, one in enumerate(labels["label"])]
    assert sum(one.labelled for one in report({**labels, "label": some}).periods) == ROWS / 2


@pytest.mark.slow
def test_logs_that_cannot_be_judged(report, log, labels):
    with pytest.raises(UserError, match="it is no log of predictions"):
        report(labels, rows=log.drop_columns(["status"]))
    with pytest.raises(UserError, match="all of its 3,000 rows are later"):
        report(labels, MONDAY - WEEK)
    with pytest.raises(UserError, match=r"it has no rows of sales-xgboost:v1$"):
        report(labels, rows=log.slice(0, 0))
    with pytest.raises(UserError, match="take longer ones by --every"):
        report(labels, every="10m")
    with pytest.raises(UserError, match="Did you mean 'visit\\.city'"):
        report(labels, slices=["visit.citi"])
    with pytest.raises(UserError, match="cluster"):
        report(labels, cluster_by="moon")


def test_one_row_and_no_labels(report, log, labels):
    one = report(None, rows=log.slice(0, 1))
    assert (one.verdict, one.periods[0].labelled) == ("unknown", 0)
    assert one.words == "cannot be told: 0 of 1 periods with enough labels"
    gap = pa.concat_tables([log.slice(0, 600), log.slice(2400)])
    found = report(labels, rows=gap)
    assert [bool(one.requests) for one in found.periods] == [True, False, False, True] or found.periods[1].requests < 20
    assert any(one.not_judged == "no predictions" for one in found.periods)


def test_the_command(bundle, log, labels, tmp_path):
    (tmp_path / "log").mkdir()
    for number in range(2):
        pq.write_table(log.slice(1500 * number, 1500), tmp_path / "log" / f"predictions-{number}.parquet")
    pa.csv.write_csv(
        pa.table({**labels, "known_at": [one.isoformat() for one in labels["known_at"]]}), tmp_path / "l.csv"
    )

    def run(*arguments: str) -> Any:
        command = ["--reference", str(bundle), "--log", str(tmp_path / "log"), "--labels", str(tmp_path / "l.csv")]
        return CliRunner().invoke(health_report_command(), [*command, *arguments], standalone_mode=False)

    done = run("--at", "2024-06-01", "-o", str(tmp_path / "out"), "--slice", "shop")
    assert done.exit_code == 0
    assert done.output.startswith(f"{TAG}: auc is as expected in 4 of 4 periods")
    written = json.loads((tmp_path / "out" / "health.json").read_text())
    assert HealthReport.read(tmp_path / "out").as_dict() == written
    assert [round(one["figures"]["auc"]["value"], 3) for one in written["periods"]]
    assert "**auc is as expected" in (tmp_path / "out" / "health.md").read_text()
    assert json.loads(run("--json", "--at", "2024-06-01").output)["verdict"] == "as expected"
    assert run("--at", "2024-04-02", "--strict").exception.code == 3
    assert "option --every" in str(run("--every", "soon").exception)
    assert "no moment" in str(run("--at", "soon").exception)
