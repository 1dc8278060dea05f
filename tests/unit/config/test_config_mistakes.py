"""What the user reads when something in the configuration cannot work: every mistake, one line each."""

from __future__ import annotations

import pytest

from proml_kedro.config import HydraConfigLoader
from proml_kedro.errors import UserError

OVERRIDES = [
    ("model=forst", "override 'model=forst': no model 'forst'. Did you mean 'forest'?"),
    ("model=null", "override 'model=null': null chooses no model, and a run needs one. Known: "),
    ("modle=forest", "override 'modle=forest': modle: unknown key. Did you mean 'model'?"),
    ("experiment=dep", "override 'experiment=dep': no experiment 'dep'. Did you mean 'deep'?"),
    ("env=prd", "override 'env=prd': no env 'prd'. Did you mean 'prod'?"),
    ("model@evaluation.baselin=forest", "conf/config.yaml lists no 'model@evaluation.baselin' under defaults"),
    ("mode@evaluation=x", "no group 'mode'. Did you mean 'model'?"),
    ("model=forest,logistic", "a run takes one value, not several"),
    ("seed=1,2", "a run takes one value, not several"),
    ("seed", "cannot read it; write KEY=VALUE"),
    ("seed=[1", "cannot read it; put text with spaces, commas or brackets in quotes"),
    ("seed=x", "override 'seed=x': seed: must be a whole number, not 'x'"),
    ("seed=-1", "override 'seed=-1': seed: must be at least 0, not -1"),
    ("seed=null", "override 'seed=null': seed: must be a whole number, not null"),
    ("reuse=maybe", "reuse: must be true or false, not 'maybe'"),
    ("config_version=9", "config_version: version 9 is unknown to this proml_kedro; it knows version 1"),
    (
        "model.components.trees.params.max_dept=4",
        "override 'model.components.trees.params.max_dept=4': model.components.trees.params.max_dept: unknown key. "
        "Did you mean 'max_depth'?",
    ),
    ("model.components.trees.params.max_depth=deep", "max_depth: must be a whole number, not 'deep'"),
    ("model.components.trees.params.max_depth=65", "max_depth: must be at most 64, not 65"),
    ("model.components.trees.params.max_depth=2.5", "max_depth: must be a whole number, not 2.5"),
    ("model.components.trees.kind=xgbost", "no kind of component 'xgbost'. Did you mean 'xgboost'?"),
    ("model.components.tree.params.max_depth=4", "no 'tree' here. Did you mean 'trees'?"),
    ("model.components.trees.inputs=[visit.pagse]", "inputs.0: no feature or output 'visit.pagse'. Did you mean"),
    ("model.components.trees.inputs=[]", "model.components.trees.inputs: must not be empty"),
    ("model.components.trees.inputs=visit.pages", "model.components.trees.inputs: must be a list, not 'visit.pages'"),
    ("model.score=tree", "override 'model.score=tree': model.score: no component 'tree'. Did you mean 'trees'?"),
    ("model.components.trees=5", "model.components.trees: must be keys and values, not 5"),
    ("+model.seed=1", "override '+model.seed=1': model.seed: unknown key."),
    ("+seed=1", "override '+seed=1': seed: is there already; write it without +"),
    ("~seeed", "override '~seeed': seeed: is not there"),
    ("~problem.label", "override '~problem.label': problem.label: is missing"),
    ("hydra.verbose=true", "Hydra's own settings are not part of the configuration"),
    ("evaluation.metrics=[aucc]", "evaluation.metrics.0: no metric 'aucc'. Did you mean 'auc'?"),
    ("+evaluation.gates={acu: {min: .7}}", "evaluation.gates.acu: no metric 'acu'. Did you mean 'auc'?"),
    ("+evaluation.slices=[visit.pagse]", "evaluation.slices.0: no column 'visit.pagse'. Did you mean 'visit.pages'?"),
    ("+evaluation.gates={auc: {}}", "evaluation.gates.auc: sets no limit; write min, max, min_lift, p, margin"),
    ("+evaluation.gates={auc: {min: .8, max: .7}}", "evaluation.gates.auc: no figure is at least 0.8 and at most 0.7"),
    ("+evaluation.gates={auc: {p: 5}}", "evaluation.gates.auc.p"),
    ("+evaluation.gates={auc: {minlift: .1}}", "evaluation.gates.auc.minlift"),
    ("hardware.precision=float16", "must be 'float32' or 'float64', not 'float16'. Did you mean 'float"),
    ("monitoring.gate.psi=calibratd", "must be a number or 'calibrated', not 'calibratd'. Did you mean 'calibrated'?"),
    ("monitoring.gate.psi=-1", "monitoring.gate.psi: must be more than 0, not -1"),
    (
        "+monitoring.gate.checks.again={kind: nulls, chnge: 0.1}",
        "monitoring.gate.checks.again.chnge: unknown key. Did you mean 'change'?",
    ),
    ("+monitoring.gate.checks.again={kind: nuls}", "checks.again: no drift check 'nuls'. Did you mean 'nulls'?"),
    ("+monitoring.gate.checks.nulls={kind: nulls}", "checks: 'nulls' is a check of every gate; give this one another"),
    ("monitoring.gate.fail_on=[nuls]", "monitoring.gate.fail_on: no drift check 'nuls'. Did you mean 'nulls'?"),
    ("serving.timeout=soon", "serving.timeout: cannot read 'soon' as a duration; write a number and a unit"),
    ("problem.split.test_from=tomorrow", "problem.split.test_from: must be a date or moment, such as 2013-09-01"),
    ("problem.split.test_from=2023-01-01", "problem.split: validation_from 2024-02-01"),
    ("problem.examples.table=visit", "problem.examples.table: no table 'visit'. Did you mean 'visits'?"),
    (
        "features.visit.source=requst",
        "features.visit.source: must be keys and values or 'request' or 'on_demand', not 'requst'.",
    ),
    ("features.customer.source.tabel=x", "features.customer.source.tabel: unknown key. Did you mean 'table'?"),
    (
        "features.visit.features.pages.dtyp=int",
        "features.visit.features.pages.dtyp: unknown key. Did you mean 'dtype'?",
    ),
    ("features.customer.features.visits.window=[1d]", "visits.window: unknown key. Did you mean 'windows'?"),
    ("+problem.tables.a-b={source: x}", "problem.tables.a-b: 'a-b' is not a name: letters, digits and _"),
    ("+model._target_=os.system", "model._target_: not allowed: nothing is called by name"),
    ("+catalog.store._target_=os.system", "catalog.store._target_: not allowed: nothing is called by name"),
    ("extensions=[no_such_module_anywhere]", "extensions.0: cannot import 'no_such_module_anywhere': ModuleNotFound"),
    ("data_dir=${dat}", "data_dir: ${dat} leads nowhere: no key 'dat'."),
    ("problem.description=${nope:1}", "problem.description: unknown resolver 'nope'"),
    ("problem.description=${oc.env:NO_SUCH_VARIABLE}", "environment variable 'NO_SUCH_VARIABLE' is not set"),
    ("problem.description='${'", "problem.description: cannot be set to this value"),
    ("problem.description=???", "problem.description: must be given; nothing sets it yet"),
    ("problem.description=${problem.description}", "problem.description: leads back to itself"),
    ("hydra/launcher=joblib", "hydra/launcher: Hydra's own settings are not part of the configuration"),
    ("hydra.job.chdir=true", "hydra.job.chdir: Hydra's own settings are not part of the configuration"),
]


@pytest.mark.parametrize(("override", "message"), OVERRIDES, ids=[one for one, _ in OVERRIDES])
def test_one_override_that_is_wrong_is_one_line(lines, override, message):
    found = lines(override)
    assert len(found) == 1, found
    assert message in found[0]
    assert found[0].startswith((f"override '{override}'", "conf/")), found[0]


def test_of_a_number_or_a_schedule_that_is_misspelt_only_the_spelling_is_told(lines):
    net = (
        "{kind: deep, inputs: ['*'], graph: {a: {block: mlp, of: numbers, units: [4]}}, head: {of: a}, training: {%s}}"
    )
    (found,) = lines("+model.components.net=" + net % "learning_rate: {schedule: cosin, start: 0.1}")
    assert "schedule: must be 'cosine', 'linear' or 'exponential', not 'cosin'. Did you mean 'cosine'?" in found


def test_all_mistakes_are_told_at_once(lines):
    wrong = ["seed", "model=forst", "seed=x", "reuse=maybe", "hardware.threads=none", "problem.label.task=x", "foo=1"]
    found = lines(*wrong)
    assert len(found) == len(wrong)
    assert {line.split(": ")[0] for line in found} == {f"override '{override}'" for override in wrong}


def test_nothing_is_said_about_values_of_a_file_that_was_not_found(lines):
    assert len(lines("model=logstic", "model.components.linear.penalty=2")) == 1


def test_parameters_of_kedro_are_checked_as_strictly(lines):
    assert lines(model={"components": {"trees": {"params": {"max_dept": 4}}}}) == [
        "override 'model.components.trees.params.max_dept=4': model.components.trees.params.max_dept: unknown key. "
        "Did you mean 'max_depth'?"
    ]
    assert lines(model="forst")[0].startswith("override 'model=forst': no model 'forst'.")


def test_an_unknown_env(lines):
    assert lines(env="prd") == ["--env prd: no env 'prd'. Did you mean 'prod'?"]


FILES = [
    (
        {"model__forest": "components:\n  trees: {kind: xgboost, inputs: ['*'], param: {}}\nscore: trees\n"},
        ["conf/model/forest.yaml:2: model.components.trees.param: unknown key. Did you mean 'params'?"],
    ),
    (
        {"model__forest": "components:\n  trees: {inputs: ['*']}\nscore: trees\n"},
        ["conf/model/forest.yaml:2: model.components.trees: kind is missing; known: "],
    ),
    (
        {"model__forest": "components:\n\ttrees: 1\n"},
        ["conf/model/forest.yaml:2: not valid YAML: found character '\\t' that cannot start any token"],
    ),
    (
        {"model__forest": "score: a\nscore: b\n", "problem__shop": "tables: [\n"},
        [
            "conf/model/forest.yaml:2: not valid YAML: found duplicate key score",
            "conf/problem/shop.yaml:2: not valid YAML: expected the node content, but found '<stream end>'",
        ],
    ),
    ({"problem__shop": "- a\n- b\n"}, ["conf/problem/shop.yaml:1: problem: must be keys and values, not a list"]),
    (
        {"model__forest": "description: ${a\ncomponents: {}\nscore: a\n"},
        ["conf/model/forest.yaml:1: cannot read an interpolation:"],
    ),
    (
        {"config": "defaults:\n  - problem: shp\n  - model: forst\n  - serving: nope\n  - _self_\n"},
        [
            "conf/config.yaml:2: no problem 'shp'. Did you mean 'shop'?",
            "conf/config.yaml:3: no model 'forst'. Did you mean 'forest'?",
            "conf/config.yaml:4: no serving 'nope'. Known: default.",
        ],
    ),
    (
        {"config": "defaults:\n  - problem: null\n  - model: [a, b]\n  - _self_\n"},
        [
            "conf/config.yaml:2: null chooses no problem, and a run needs one. Known: flight_delays",
            "conf/config.yaml:3: no model '[…]'.",
        ],
    ),
    (
        {"evaluation__small": "defaults:\n  - /model@baseline: logstic\n"},
        ["conf/evaluation/small.yaml:2: no model 'logstic'. Did you mean 'logistic'?"],
    ),
    (
        {"env__local": "seed: 3\n"},
        ["conf/env/local.yaml:1: env: unknown key. The first line of a file in conf/env must be '# @package"],
    ),
    (
        {"catalog__here": 'defaults: [default]\nstore: {filepath: "${dat_dir}/x"}\n'},
        ["conf/catalog/here.yaml:2: catalog.store.filepath: ${dat_dir} leads nowhere: no key 'dat_dir'. Did you mean"],
    ),
    (
        {"problem__shop": "tables: {visits: {source: 3}}\n"},
        [
            "conf/problem/shop.yaml:1: problem.tables.visits.source: must be text, not 3",
            "conf/problem/shop.yaml:1: problem.examples: is missing",
            "conf/problem/shop.yaml:1: problem.label: is missing",
            "conf/problem/shop.yaml:1: problem.split: is missing",
        ],
    ),
    (
        {"problem__shop": "tables: {visits: {source: off}}\n"},
        [
            "conf/problem/shop.yaml:1: problem.tables.visits.source: must be text, not false; YAML takes off, no and "
            "false for that without quotes",
            "conf/problem/shop.yaml:1: problem.examples: is missing",
            "conf/problem/shop.yaml:1: problem.label: is missing",
            "conf/problem/shop.yaml:1: problem.split: is missing",
        ],
    ),
]


@pytest.mark.parametrize(
    ("files", "expected"), FILES, ids=["+".join(files) + f"-{i}" for i, (files, _) in enumerate(FILES)]
)
def test_mistakes_in_files(lines, edit, files, expected):
    edit(**files)
    found = lines()
    assert len(found) == len(expected), found
    for line, start in zip(found, expected, strict=True):
        assert line.startswith(start)


def test_features_follow_the_problem(lines, edit):
    edit(problem__other="tables: {}\n")
    assert lines("problem=other") == [
        "conf/config.yaml:3: no features 'other'. Known: flight_delays, job_histories, job_recommendations, shop."
    ]


def test_a_file_that_is_no_text(lines, conf):
    (conf / "model" / "forest.yaml").write_bytes(b"\xff\xfe\x00")
    assert lines() == ["conf/model/forest.yaml:1: not a text file in UTF-8"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "there is no folder"),
        ("s3://bucket/conf", "is not on this machine"),
        (".", "there is no config.yaml in"),
        ("file.txt", "is neither a folder nor a .tar.gz or .zip file"),
    ],
)
def test_there_is_no_configuration(tmp_path, source, message):
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(UserError, match=message) as caught:
        HydraConfigLoader(source if "://" in source else tmp_path / source).loaded  # noqa: B018
    assert len(str(caught.value).splitlines()) == 1


RESOLVED = [
    ({"resolved": "nowhere.yaml"}, "override 'resolved=nowhere.yaml': there is no file nowhere.yaml"),
    ({"resolved": "conf/config.yaml", "seed": 1}, "a resolved configuration is taken whole; leave out seed"),
    ({"resolved": "conf/config.yaml", "overrides": ["seed=1"]}, "leave out overrides"),
    ({"resolved": "list.yaml"}, "list.yaml:1: must hold keys and values"),
    ({"resolved": "broken.yaml"}, "broken.yaml:2: not valid YAML"),
]


@pytest.mark.parametrize(("params", "message"), RESOLVED, ids=str)
def test_a_resolved_configuration_that_is_none(lines, conf, params, message):
    (conf.parent / "list.yaml").write_text("- a\n")
    (conf.parent / "broken.yaml").write_text("a: [\n")
    found = lines(**params)
    assert len(found) == 1
    assert message in found[0]


def test_mistakes_in_a_resolved_configuration_have_their_lines(lines, conf):
    (conf.parent / "old.yaml").write_text("name: x\nconfig:\n  config_version: 3\n  sed: 4\n")
    found = lines(resolved="old.yaml")
    file = conf.parent / "old.yaml"
    assert f"{file}:3: config_version: version 3 is unknown to this proml_kedro; it knows version 1" in found
    assert f"{file}:4: sed: unknown key. Did you mean 'seed'?" in found


def test_an_extension_that_fails_is_a_mistake(lines, conf):
    (conf.parent / "extension_that_fails.py").write_text("1 / 0\n")
    found = lines("extensions=[extension_that_fails]")
    assert len(found) == 1
    assert "cannot import 'extension_that_fails': ZeroDivisionError: division by zero" in found[0]


def test_an_alias_that_holds_itself_is_a_mistake(tmp_path):
    import shutil

    from proml_kedro.config import HydraConfigLoader
    from proml_kedro.config.folders import shipped
    from proml_kedro.errors import UserError

    shutil.copytree(shipped(), tmp_path / "conf")
    file = tmp_path / "conf" / "evaluation" / "default.yaml"
    file.write_text(file.read_text() + "\nnames: &a [*a]\n")
    with pytest.raises(UserError, match="an alias holds itself"):
        _ = HydraConfigLoader(tmp_path / "conf").loaded


EFFECTS = """\
components:
  personal:
    kind: mixed
    inputs: [visit.pages, visit.device]
    random_effects:
      - {entity: visit.device}
score: personal
"""
KEY = "model.components.personal.random_effects"


def test_a_long_override_is_named_by_its_ends(edit, lines):
    edit(model__forest=EFFECTS)
    effects = ",".join(["{entity: visit.device, features: [intercept, visit.pages], min_rows: 5}"] * 4)
    (line,) = lines(f"{KEY}=[{effects},{{entity: visit.device, min_row: 5}}]")
    shown, colon, rest = line.partition("': ")
    assert shown.startswith(f"override '{KEY}=[{{entity")
    assert shown.endswith("…sit.device, min_row: 5}]")
    assert len(shown + colon) <= 95
    assert rest == f"{KEY}.4.min_row: unknown key. Did you mean 'min_rows'?"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (f"{KEY}={{entity: a}}", f"{KEY}: must be a list, not keys and values"),
        ("model.components={personal: {random_effects: {entity: a}}}", f"{KEY}: must be a list, not keys and values"),
        ("model.components.personal=[a]", "model.components.personal: must be keys and values, not a list"),
        (f"{KEY}.0=[a]", f"{KEY}.0: must be keys and values, not a list"),
        (f"{KEY}=[{{features: [intercept]}}]", f"{KEY}.0.entity: is missing"),
        (f"{KEY}=[]", f"{KEY}: must not be empty"),
        (
            f"{KEY}=[{{kind: factors, entity: [a, b], features: [c]}}]",
            f"{KEY}.0.features: unknown key. Known: entity, kind, min_rows, rank.",
        ),
    ],
)
def test_a_mistake_inside_the_value_of_an_override_is_that_of_the_override(edit, lines, override, message):
    edit(model__forest=EFFECTS)
    (line,) = lines(override)
    where, _, rest = line.partition("': ")
    assert where.startswith(f"override '{override[:40]}")
    assert rest == message


def test_a_list_of_a_later_file_replaces_that_of_an_earlier_one(edit, lines):
    edit(
        model__forest=EFFECTS,
        experiment__deep=f"# @package _global_\n{KEY.replace('.', ': {', 3)}: [{{min_rows: 3}}]}}}}}}\n",
    )
    assert lines("experiment=deep") == [f"conf/experiment/deep.yaml:2: {KEY}.0.entity: is missing"]


def test_mistakes_of_a_file_are_told_in_the_order_of_its_lines(edit, lines):
    text = "scor: trees\ncomponents:\n  trees: {kind: xgboost, param: {}, inputs: ['*']}\nscore: tree\nname: 5\n"
    edit(model__forest=text)
    found = [line.partition(": ")[0] for line in lines("seed=x", "reuse=maybe") if line.startswith("conf/model")]
    assert found == sorted(found)
    assert len(set(found)) > 2
