"""Configurations that stand for more than they write, and values that must not be taken for others."""

from __future__ import annotations

import shlex
import subprocess
import time
from pathlib import Path

import pytest

from proml_kedro.config.overrides import parse
from proml_kedro.config.yaml_size import check_size

LEVELS = range(1, 30)
LAUGHS = "z0: &z0 [x, x]\n" + "".join(f"z{i}: &z{i} [*z{i - 1}, *z{i - 1}]\n" for i in LEVELS)
MERGED = "z0: &z0 {a: 1}\n" + "".join(f"z{i}: &z{i} {{a: *z{i - 1}, b: *z{i - 1}, <<: *z{i - 1}}}\n" for i in LEVELS)
DOUBLED = "z0: x\n" + "".join(f"z{i}: ${{evaluation.z{i - 1}}}${{evaluation.z{i - 1}}}\n" for i in LEVELS)
LISTS = "z0: [x]\n" + "".join(f"z{i}: ['${{..z{i - 1}}}', '${{oc.select:evaluation.z{i - 1}}}']\n" for i in LEVELS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, "conf/evaluation/small.yaml:1: aliases make more than 50,000 values of the"),
        (MERGED, "conf/evaluation/small.yaml:1: aliases make more than 50,000 values of the"),
        ("a: 1\nb: &b [*b]\n", "conf/evaluation/small.yaml:2: an alias holds itself"),
        (DOUBLED, "conf/evaluation/small.yaml:30: evaluation.z29: interpolations lead to each other more than 50,000"),
        (LISTS, "evaluation.z29.0: interpolations lead to each other more than 50,000 times"),
        ("z: " + "[" * 5000 + "]" * 5000, "configuration: values are nested too deeply"),
        ("z: " + "9" * 5000, "conf/evaluation/small.yaml:1: cannot be read: Exceeds the limit"),
    ],
    ids=["aliases", "merged aliases", "circle", "interpolations", "lists of interpolations", "depth", "digits"],
)
def test_a_file_that_stands_for_more_than_any_configuration_is_refused_at_once(lines, edit, text, message):
    edit(evaluation__small=text)
    started = time.process_time()
    (line,) = lines()
    assert time.process_time() - started < 5
    assert message in line


def test_aliases_as_people_write_them_are_read(load, edit):
    edit(evaluation__small="metrics: &all [auc, logloss]\ncompare: {resamples: &few 20}\n")
    assert load().loaded.run.evaluation.metrics == ["auc", "logloss"]


def test_a_file_of_many_megabytes_is_refused(tmp_path: Path):
    file = tmp_path / "large.yaml"
    with file.open("wb") as handle:
        handle.truncate(17 << 20)
    assert "is larger than 16 MB" in str(next(check_size(file, "large.yaml")))


CATALOG = [
    (
        "catalog.store.type=os.system",
        "catalog.store.type: must be 'proml_kedro.datasets.StoreDataset', not 'os.system'",
    ),
    (
        "catalog.tables.type=pandas.CSVDataset",
        "catalog.tables.type: must be 'proml_kedro.datasets.ArtifactDataset', not 'pandas.CSVDataset'",
    ),
    ("catalog.tables=5", "catalog.tables: must be keys and values, not 5"),
    ("~catalog.store", "catalog.store: is missing"),
    ("~catalog", "catalog: is missing"),
    ("catalog=null", "catalog: is missing"),
    ("+catalog.more={type: proml_kedro.datasets.ArtifactDataset}", "catalog.more: unknown key."),
    ("+catalog.tables.versioned=true", "catalog.tables.versioned: unknown key."),
    ("catalog.tables.filepath=5", "catalog.tables.filepath: must be text, not 5"),
    ("catalog.tables.filepath=''", "catalog.tables.filepath: must not be empty"),
    ("catalog.bundle.filepath=${catalog.tables.filepath}", "catalog.bundle.filepath: is that of tables too"),
    ("catalog.store.filepath=elsewhere", "catalog.store.filepath: must be ${data_dir}"),
    ("catalog.tables.filepath='s3://bucket/x'", "catalog.tables.filepath: is not on this machine"),
    ('catalog.tables.filepath="a\nb"', "catalog.tables.filepath: has characters in it"),
    (
        "catalog.bundle.filepath=${catalog.tables.filepath}/x",
        "catalog.bundle.filepath: one lies in the other, this and",
    ),
    ("catalog.tables.filepath=${catalog.bundle.filepath}/x", "one lies in the other, this and that of tables"),
    ("catalog.tables.filepath=${data_dir}", "catalog.tables.filepath: would take the place of the data folder"),
    ("catalog.tables.filepath=${data_dir}/..", "catalog.tables.filepath: would take the place of the data folder"),
    ("catalog.tables.filepath=${data_dir}/store/tables", "'store' of the data folder is not for links"),
    ("catalog.tables.filepath=${data_dir}/x/../feature_store/registry.db", "'feature_store' of the data folder is not"),
]


@pytest.mark.parametrize(("override", "message"), CATALOG, ids=[one for one, _ in CATALOG])
def test_the_catalog_holds_what_it_may_hold(lines, override, message):
    (line,) = lines(override)
    assert message in line


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("", "is empty; name a folder for results, such as data"),
        ("' '", "is empty"),
        ("/", "/ holds more than results"),
        (".", "holds more than results"),
        ("..", "holds more than results"),
        ("src", "holds more than results"),
        ("src/proml_kedro/x", "lies in"),
        ("README.md", "README.md is a file"),
        ("README.md/data", "README.md is a file"),
        ("'~/data'", "~ is not replaced here"),
        ("'s3://bucket/data'", "is not on this machine"),
        ('"a\nb"', "has characters in it"),
        ("x" * 5000, "cannot be a folder: File name too long"),
        ("/".join(["x" * 50] * 8), "the path is too long: 350 bytes are the most"),
        (f"'{'é' * 110}'", "and 200 of each folder's name"),
    ],
)
def test_results_are_never_kept_among_the_projects_own_files(lines, monkeypatch, folder, message):
    monkeypatch.chdir(Path(__file__).parents[3])
    (line,) = lines(f"data_dir={folder}")
    assert "data_dir: " in line
    assert message in line


def test_results_are_not_kept_in_the_configuration_or_around_it(lines, conf):
    assert f"lies in {conf}" in lines(f"data_dir={conf}/data")[0]
    assert f"{conf.parent} holds more than results" in lines(f"data_dir={conf.parent}")[0]


@pytest.mark.parametrize("value", ["a, b", "[a", "it's", 'say "hi", you', "a=b, c", "c:\\x, y\\", "a,b", "${x", "(a"])
def test_the_advice_works_when_it_is_pasted_into_a_shell(value):
    (mistake,) = parse([f"problem.description={value}"])[1]
    advice = mistake.message.rpartition(" text as " if " text as " in mistake.message else "in quotes: ")[2]
    (pasted,) = shlex.split(advice)
    shell = subprocess.run(["sh", "-c", f"printf %s {advice}"], capture_output=True, text=True, check=True)
    assert shell.stdout == pasted
    (override,) = parse([pasted])[0]
    assert (override.key, override.value) == ("problem.description", value)


VALUES = [
    ("seed=true", "seed: must be a whole number, not true"),
    ("monitoring.gate.psi=true", "monitoring.gate.psi: must be a number, not true"),
    ("+monitoring.gate.columns.score=true", "monitoring.gate.columns: score: must be a number, not true"),
    ("monitoring.gate.alpha=nan", "monitoring.gate.alpha: must be a number, not nan"),
    ("serving.timeout=0s", "serving.timeout: must be more than 0s"),
    ("serving.timeout=true", "serving.timeout: must be a duration, such as 30s, 15m, 3h, 7d or 2w, not true"),
    ("serving.timeout=30", "serving.timeout: 30 has no unit; write a number and a unit: 30s"),
    ("serving.timeout=99999999w", "serving.timeout: '99999999w' is longer than any calendar"),
    ("monitoring.current.last=0", "monitoring.current.last: must be more than 0s"),
    (
        "problem.split.validation_from=20240201",
        "20240201 is a number and would mean seconds since 1970; write a date: 2024",
    ),
    ("problem.split.validation_from='20240201'", "seconds since 1970; write a date: 2024-02-01"),
    ("problem.split.validation_from=1.7e9", "seconds since 1970; write a date: 2013-09-01 or"),
    ("problem.split.validation_from=true", "must be a date or moment, such as 2013-09-01, not true"),
    (
        "+model.components.trees.params={eta: 0.1, learning_rate: 0.2}",
        "params.learning_rate: 'eta' is another name of it and is given too; leave one of them out",
    ),
    ("seed=" + "1" * 5000, "cannot read it; values are nested too deeply, or a number is too long"),
    ("seed=[" + "1," * 5000 + "1]", "holds more than 1,000 values"),
    ("seed=" + "[1," * 5000, "holds more than 1,000 values; write them into a file of conf"),
]


@pytest.mark.parametrize(("override", "message"), VALUES, ids=[one[:60] for one, _ in VALUES])
def test_a_value_is_never_taken_for_another_one(lines, override, message):
    (line,) = lines(override)
    assert message in line
