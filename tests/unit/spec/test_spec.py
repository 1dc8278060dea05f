"""What each YAML file may say, and what they demand of each other."""

import re
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from proml_kedro.extensions import components as kinds
from proml_kedro.spec import (
    ComponentSpec,
    FeaturesSpec,
    FeatureViewSpec,
    HardwareSpec,
    ModelSpec,
    MonitoringSpec,
    ProblemSpec,
    RunSpec,
)
from proml_kedro.spec.base import format_duration, parse_duration
from proml_kedro.spec.hardware import usable_cpus
from proml_kedro.spec.run import check

PROBLEM = {
    "name": "shop",
    "tables": {"visits": {"source": "visits.csv"}, "orders": {"source": "orders.csv"}},
    "examples": {"table": "visits", "entities": ["customer"], "timestamp": "at"},
    "label": {"expression": "bought"},
    "split": {"validation_from": "2024-02-01", "test_from": "2024-03-01", "timezone": "Europe/Zurich"},
}
FEATURES = {
    "visit": {"source": "request", "features": {"pages": {"dtype": "int"}}},
    "orders": {
        "key": "customer",
        "source": {"table": "orders", "event_time": "at"},
        "features": {
            "spent": {"agg": "sum", "expression": "amount", "windows": ["24h", "7d", "all"]},
            "orders": {"agg": "count", "windows": ["7d"]},
        },
    },
}
QUANTILE = {"expression": "amount", "windows": ["1d"]}
MODEL = {"name": "m", "components": {"one": {"kind": "logistic", "inputs": ["*"]}}, "score": "one"}


def run_of(**changes):
    return RunSpec.model_validate({"problem": PROBLEM, "features": FEATURES, "model": MODEL, **changes})


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("15m", 900), ("3h", 10800), ("7d", 604800), ("2w", 1209600)]
)
def test_durations_are_read(text, seconds):
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "h", "3", "3x", "1.5h", "-1h", "3h2m"])
def test_what_is_no_duration_says_how_to_write_one(text):
    with pytest.raises(ValueError, match="write a number and a unit"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["30s", "15m", "3h", "7d", "90m", "14d"])
def test_durations_are_written_as_they_are_read(text):
    assert format_duration(parse_duration(text)) == text


def test_features_are_named_as_their_windows_are_written():
    assert FeaturesSpec.model_validate(FEATURES).columns() == {
        "visit.pages": "int",
        "orders.spent_24h": "float",
        "orders.spent_7d": "float",
        "orders.spent_all": "float",
        "orders.orders_7d": "int",
    }


def test_patterns_select_in_their_order_and_once():
    features = FeaturesSpec.model_validate(FEATURES)
    assert list(features.select(["orders.*_7d", "*"]))[:3] == ["orders.spent_7d", "orders.orders_7d", "visit.pages"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key": []}, "key is missing"),
        ({"source": "request"}, "no key and no windows"),
        ({"source": {"table": "orders"}}, "need source.event_time"),
        ({"snapshot": "5h"}, "window 24h of 'spent' is not a multiple of snapshot 5h"),
        ({"features": {"x": {"agg": "mean", "windows": ["1d"]}}}, "agg 'mean' needs an expression"),
        ({"features": {"x": {"agg": "count", "windows": ["1 fortnight"]}}}, "cannot read '1 fortnight'"),
        ({"features": {**FEATURES["orders"]["features"], "y": {"dtype": "int"}}}, "put them into two views"),
        ({"features": {"x": {**QUANTILE, "agg": "quantile"}}}, "agg 'quantile' needs q"),
        ({"features": {"x": {**QUANTILE, "agg": "mean", "q": 0.5}}}, "q belongs to agg 'quantile', not to 'mean'"),
        ({"features": {"x": {**QUANTILE, "agg": "quantile", "q": 1.1}}}, "less than or equal to 1"),
        ({"features": {"x": {"agg": "decay", "expression": "a"}}}, "agg 'decay' needs half_life"),
        (
            {"features": {"x": {"agg": "decay", "expression": "a", "half_life": "30m"}}},
            "half_life 30m of 'x' is shorter than snapshot 1h",
        ),
        ({"features": {"x": {**QUANTILE, "agg": "rate", "dtype": "int"}}}, "a rate is float, not int"),
        ({"defaults": {"windows": ["90m"]}, "features": {"x": {"agg": "count"}}}, "window 90m of 'x' is not a mult"),
        ({"defaults": {"window": ["1d"]}}, "Extra inputs"),
        (
            {"defaults": {"windows": ["1d"]}, "features": {"x": {"dtype": "int"}}},
            "defaults.windows is for aggregates",
        ),
        ({"features": {"x": {"agg": "count"}}}, "windows"),
    ],
)
def test_a_view_that_cannot_work_says_why(change, message):
    with pytest.raises(ValidationError, match=message):
        FeatureViewSpec.model_validate({**FEATURES["orders"], **change})


def test_windows_are_written_once_for_a_view():
    features = {
        "spent": {"agg": "sum", "expression": "amount"},
        "orders": {"agg": "count", "windows": ["all"]},
        "faded": {"agg": "decay", "expression": "amount", "half_life": "3h"},
        "shop": {"agg": "last", "expression": "shop", "dtype": "str"},
    }
    view = FeatureViewSpec.model_validate(
        {**FEATURES["orders"], "defaults": {"windows": ["24h", "7d"]}, "features": features}
    )
    assert view.columns() == {
        "spent_24h": "float",
        "spent_7d": "float",
        "orders_all": "int",
        "faded_all": "float",
        "shop_24h": "str",
        "shop_7d": "str",
    }
    assert FeatureViewSpec.model_validate(view.model_dump(mode="json")) == view


def test_days_begin_in_the_split_time_zone():
    validation, test = ProblemSpec.model_validate(PROBLEM).split.boundaries
    assert validation.astimezone(UTC) == datetime(2024, 1, 31, 23, tzinfo=UTC)
    assert test.astimezone(UTC) == datetime(2024, 2, 29, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test_from": "2024-01-01"}, "is not before test_from"),
        ({"timezone": "Europe/Zuerich"}, "Did you mean 'Europe/Zurich'?"),
    ],
)
def test_a_split_that_cannot_work_says_why(change, message):
    with pytest.raises(ValidationError, match=message):
        ProblemSpec.model_validate({**PROBLEM, "split": {**PROBLEM["split"], **change}})


def test_threads_leave_one_processor_to_the_system():
    assert HardwareSpec().threads == max(1, usable_cpus() - 1)
    assert HardwareSpec(threads=3).threads == 3


def test_a_kind_brings_its_own_keys():
    with pytest.raises(ValidationError, match="no kind of component 'xgbost'"):
        ModelSpec.model_validate({**MODEL, "components": {"one": {"kind": "xgbost", "inputs": ["*"]}}})
    with pytest.raises(ValidationError, match="num_boost_round"):
        ModelSpec.model_validate(
            {**MODEL, "components": {"one": {"kind": "xgboost", "inputs": ["*"], "num_boost_round": 0}}}
        )


def test_a_model_survives_being_written_and_read():
    spec = run_of().model
    assert ModelSpec.model_validate(spec.model_dump(mode="json")) == spec


def test_reference_and_current_differ():
    side = {"split": "test", "last": "7d"}
    with pytest.raises(ValidationError, match="the same rows"):
        MonitoringSpec.model_validate({"reference": side, "current": side})


def test_a_run_that_fits_together_has_no_mistakes():
    assert check(run_of()) == []


def components(**inputs):
    return {**MODEL, "components": {name: {"kind": "logistic", "inputs": one} for name, one in inputs.items()}}


@pytest.mark.parametrize(
    ("changes", "mistake"),
    [
        (
            {"problem": {**PROBLEM, "examples": {**PROBLEM["examples"], "table": "visit"}}},
            "problem.examples.table: no table 'visit'. Did you mean 'visits'?",
        ),
        (
            {"features": {**FEATURES, "orders": {**FEATURES["orders"], "key": "client"}}},
            "features.orders.key: no entity 'client'. Known: customer.",
        ),
        (
            {"features": {**FEATURES, "orders": {**FEATURES["orders"], "source": {"table": "o", "event_time": "at"}}}},
            "features.orders.source.table: no table 'o'. Known: orders, visits.",
        ),
        (
            {"model": components(one=["visit.pges"])},
            "model.components.one.inputs.0: no feature or output 'visit.pges'. Did you mean 'visit.pages'?",
        ),
        (
            {"model": components(one=["*", "two.margn"], two=["*"])},
            "model.components.one.inputs.1: no feature or output 'two.margn'. Did you mean 'two.margin'?",
        ),
        (
            {"model": components(one=["two.margin"], two=["one.margin"])},
            "model.components: components need each other in a circle: one -> two -> one",
        ),
        (
            {"model": {**components(one=["*"], visit=["*"])}},
            "model.components.visit: a feature view has this name too; call the component something else",
        ),
        (
            {"evaluation": {"compare": {"cluster_by": "dya"}}},
            "evaluation.compare.cluster_by: no cluster 'dya'. Did you mean 'day'?",
        ),
        (
            {"model": {**MODEL, "training": {"cross_fit": {"group": "custmer"}}}},
            "model.training.cross_fit.group: no column 'custmer'. Did you mean 'customer'?",
        ),
        (
            {"model": {**MODEL, "training": {"warm_start": "bundle"}}},
            "model.training.warm_start: no component of the model can start from an earlier one",
        ),
        (
            {"evaluation": {"baseline": components(one=["nothing.*"])}},
            "evaluation.baseline.components.one.inputs.0: no feature or output 'nothing.*'.",
        ),
        (
            {"monitoring": {"gate": {"columns": {"scor": 0.2}}}},
            "monitoring.gate.columns.scor: no feature 'scor'. Did you mean 'score'?",
        ),
    ],
)
def test_names_must_exist_where_they_point(changes, mistake):
    assert any(str(one).startswith(mistake) for one in check(run_of(**changes))), list(
        map(str, check(run_of(**changes)))
    )


GENERATOR = {"kind": "job_search"}


@pytest.mark.parametrize(
    ("generator", "source", "key", "message"),
    [
        (None, "generated:jobs", "tables.visits.source", "the problem has no generator"),
        (GENERATOR, "generated:job", "tables.visits.source", "no generated table 'job'. Did you mean 'jobs'?"),
        (GENERATOR, "visits.csv", "generator", "no table reads from it"),
    ],
)
def test_generated_tables_have_a_generator_that_makes_them(generator, source, key, message):
    problem = {**PROBLEM, "generator": generator, "tables": {**PROBLEM["tables"], "visits": {"source": source}}}
    first, *_ = check(run_of(problem=problem))
    assert first.key == f"problem.{key}"
    assert message in first.message


def test_generated_tables_are_read_from_where_they_were_written():
    tables = {"visits": {"source": "generated:impressions"}, "orders": {"source": "orders.csv"}}
    problem = ProblemSpec.model_validate({**PROBLEM, "generator": GENERATOR, "tables": tables})
    assert problem.generated() == {"visits": "impressions"}
    moved = problem.with_sources({"visits": "/made/impressions.parquet"})
    assert {name: one.source for name, one in moved.tables.items()} == {
        "visits": "/made/impressions.parquet",
        "orders": "orders.csv",
    }


COUNT = {**PROBLEM, "label": {"expression": "orders", "task": "count"}}
GROUPED = {**PROBLEM, "examples": {**PROBLEM["examples"], "group": "search"}}


@pytest.mark.parametrize(
    ("problem", "evaluation", "key", "message"),
    [
        (
            COUNT,
            {"metrics": ["rmse", "auc"]},
            "metrics.1",
            "'auc' is not for a label of task 'count'; there are poisson",
        ),
        (PROBLEM, {"metrics": ["rmse"]}, "metrics.0", "'rmse' is not for a label of task 'binary'; there are auc"),
        (GROUPED, {"ranking": {"relevant": 2}}, "ranking.relevant", "is for labels that are numbers"),
        (PROBLEM, {"ranking": {}}, "ranking.within", "name their column in problem.examples.group, or take day"),
        (PROBLEM, {"ranking": {"within": "custmer"}}, "ranking.within", "Did you mean 'customer'?"),
        (PROBLEM, {"compare": {"cluster_by": "group"}}, "compare.cluster_by", "the problem has no groups"),
        (PROBLEM, {"compare": {"cluster_by": "dya"}}, "compare.cluster_by", "Did you mean 'day'?"),
    ],
)
def test_an_evaluation_fits_the_problem(problem, evaluation, key, message):
    model = {**MODEL, "components": {"one": {"kind": "any_task", "inputs": ["*"]}}}
    with any_task():
        (mistake,) = check(run_of(problem=problem, evaluation=evaluation, model=model))
    assert mistake.key == f"evaluation.{key}"
    assert message in mistake.message


@contextmanager
def any_task():
    """A kind of component that learns every task."""

    class AnyTask(ComponentSpec):
        tasks = frozenset({"binary", "regression", "count"})

    with kinds.temporary("any_task", AnyTask):
        yield


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("ndgc@10", "no ranking metric 'ndgc@10'. Did you mean 'ndcg@10'?"),
        ("ndcg", "'ndcg' does not say how many rows of a group to look at; write ndcg@10"),
        ("ndcg@0", "does not say how many"),
        ("mrr@x", "no ranking metric 'mrr@x'"),
    ],
)
def test_ranking_metrics_say_what_is_wrong(metric, message):
    with pytest.raises(ValidationError, match=re.escape(message)):
        run_of(problem=GROUPED, evaluation={"ranking": {"metrics": [metric]}})


def test_orders_are_judged_where_there_are_groups_and_nobody_says_otherwise():
    grouped, plain = (run_of(problem=problem).problem for problem in (GROUPED, PROBLEM))
    silent = run_of().evaluation
    assert silent.ranking_for(grouped).metrics == ["ndcg@10", "mrr", "precision@1"]
    assert silent.ranking_for(plain) is None
    assert run_of(problem=GROUPED, evaluation={"ranking": {"metrics": []}}).evaluation.ranking_for(grouped) is None


def test_a_task_has_its_metrics():
    assert run_of().evaluation.metrics_for("count")[0] == "poisson_deviance"
    assert run_of(evaluation={"metrics": ["mae"]}).evaluation.metrics_for("regression") == ("mae",)


@pytest.mark.parametrize(("dtype", "neutral"), [("int", 1), ("float", 2), ("float", 0.5), ("str", "x"), ("bool", True)])
def test_a_neutral_value_is_of_the_type_of_its_feature(dtype, neutral):
    view = {"source": "request", "features": {"position": {"dtype": dtype, "neutral": neutral}}}
    found = FeaturesSpec.model_validate({"visit": view}).neutral()
    assert found == {"visit.position": neutral}
    assert type(found["visit.position"]) is type(neutral)


@pytest.mark.parametrize(("dtype", "neutral"), [("int", "1"), ("int", 1.5), ("str", 1), ("bool", 1), ("int", True)])
def test_a_neutral_value_of_another_type_is_refused(dtype, neutral):
    view = {"source": "request", "features": {"position": {"dtype": dtype, "neutral": neutral}}}
    with pytest.raises(ValidationError, match="is not of type"):
        FeaturesSpec.model_validate({"visit": view})
