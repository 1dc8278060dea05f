"""What Kedro gets from a sound configuration."""

from __future__ import annotations

import tarfile
import threading
import zipfile
from datetime import date

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kedro.config import MissingConfigException, OmegaConfigLoader

from proml_kedro.config import HydraConfigLoader
from proml_kedro.config.overrides import from_params, parse
from proml_kedro.config.show import as_yaml, with_origins
from proml_kedro.errors import UserError
from tiers import examples


def test_serves_kedros_keys(load, conf):
    loader = load()
    parameters = loader["parameters"]
    assert parameters["problem"]["name"] == "shop"
    assert parameters["model"]["name"] == "forest"
    assert parameters["evaluation"]["baseline"]["name"] == "logistic"
    assert parameters["base_path"] == str(conf.parent)
    assert "catalog" not in parameters
    assert "hydra" not in parameters
    assert loader["catalog"]["store"]["filepath"] == "data"
    assert set(loader.keys()) == {"catalog", "parameters", "credentials"}


def test_what_is_written_at_the_top_by_nobody_has_the_specs_defaults(load):
    parameters = load()["parameters"]
    assert parameters["reuse"] is True
    assert parameters["hardware"]["memory"] == "2GB"
    assert parameters["monitoring"]["gate"]["alpha"] == 0.001
    assert "threads" in parameters["hardware"]


def test_a_name_in_the_file_stays(load, edit):
    edit(model__forest="name: big\ncomponents:\n  t: {kind: logistic, inputs: [visit.pages]}\nscore: t\n")
    assert load()["parameters"]["model"]["name"] == "big"


def test_a_model_that_is_not_in_the_project_is_the_shipped_one(load):
    assert load("model=xgboost")["parameters"]["model"]["components"]["trees"]["num_boost_round"] == 400


def test_the_projects_own_file_wins_over_a_shipped_one_of_the_same_name(load, edit):
    edit(model__logistic="components:\n  own: {kind: logistic, inputs: [visit.pages]}\nscore: own\n")
    assert "own" in load()["parameters"]["evaluation"]["baseline"]["components"]


def test_a_caller_may_change_what_it_gets(load):
    loader = load()
    loader["catalog"]["store"]["filepath"] = "elsewhere"
    loader["parameters"]["model"]["components"].clear()
    assert loader["catalog"]["store"]["filepath"] == "data"
    assert loader["parameters"]["model"]["components"]


def test_what_is_set_by_hand_is_served(load):
    loader = load()
    loader["catalog"] = {"x": {"type": "MemoryDataset"}}
    assert loader["catalog"] == {"x": {"type": "MemoryDataset"}}


@pytest.mark.parametrize(
    ("overrides", "path", "value"),
    [
        (["seed=3"], "seed", 3),
        (["model=logistic"], "model.name", "logistic"),
        (["model@evaluation.baseline=null"], "evaluation.baseline", None),
        (["evaluation.baseline=null"], "evaluation.baseline", None),
        (["model.components.trees.params.max_depth=5"], "model.components.trees.params.max_depth", 5),
        (["model.components.trees.params.gamma=0.5"], "model.components.trees.params.gamma", 0.5),
        (["model.components.trees.inputs.0=visit.pages"], "model.components.trees.inputs", ["visit.pages"]),
        (["hardware.threads=2"], "hardware.threads", 2),
        (["+problem.tables.more={source: more.csv}"], "problem.tables.more", {"source": "more.csv"}),
        (["+problem.tables.more.source=more.csv"], "problem.tables.more", {"source": "more.csv"}),
        (["++problem.description='a, b'"], "problem.description", "a, b"),
        (["experiment=deep"], "model.components.trees.params.max_depth", 9),
        (
            ["experiment=deep", "model.components.trees.params.max_depth=2"],
            "model.components.trees.params.max_depth",
            2,
        ),
        (["env=prod"], "seed", 11),
        (["data_dir=${problem.name}/results"], "data_dir", "shop/results"),
        (["hardware={memory: 1GB}"], "hardware.memory", "1GB"),
    ],
)
def test_overrides(load, overrides, path, value):
    found = load(*overrides)["parameters"]
    for part in path.split("."):
        found = found.get(part)
    assert found == value


def test_a_deleted_value_is_gone(load):
    params = load("~model.components.trees.params.max_depth")["parameters"]["model"]["components"]["trees"]["params"]
    assert "max_depth" not in params


def test_env(load):
    assert load(env="prod")["parameters"]["seed"] == 11
    assert load("seed=12", env="prod")["parameters"]["seed"] == 12


def test_another_projects_personal_values_are_not_taken(load, conf):
    (conf / "env" / "local.yaml").unlink()
    loader = load()
    assert loader["parameters"]["seed"] == 7
    assert not [layer for layer in loader.loaded.composition.origins._layers if layer.label.endswith("env/local.yaml")]


def test_credentials_are_outside_of_the_composition(load, conf):
    (conf / "prod").mkdir()
    (conf / "prod" / "credentials.yml").write_text("db: {password: hidden}\n")
    loader = load(env="prod")
    assert loader["credentials"] == {"db": {"password": "hidden"}}
    assert load("env=prod")["credentials"] == {"db": {"password": "hidden"}}
    assert "hidden" not in as_yaml(loader.loaded, resolved=True)
    with pytest.raises(MissingConfigException):
        load()["credentials"]


def test_broken_credentials_are_not_quoted(load, conf):
    (conf / "local").mkdir()
    (conf / "local" / "credentials.yml").write_text("db: {password: 'hidden}\n")
    with pytest.raises(UserError) as caught:
        load()["credentials"]
    assert str(caught.value).startswith("local/credentials.yml:")
    assert "hidden" not in str(caught.value)


def test_kedros_own_loader_does_not_take_the_environment_away(load, conf, monkeypatch, tmp_path):
    """Of a configuration of its own: that one is composed now, and composing puts the resolver back."""
    monkeypatch.setenv("SHOP_OWNER", "me")
    OmegaConfigLoader(str(tmp_path))
    assert load("problem.description=${oc.env:SHOP_OWNER}")["parameters"]["problem"]["description"] == "me"


def test_extensions_beside_conf_are_imported_first(load, conf, edit):
    (conf.parent / "shop_extension_for_test.py").write_text(
        "from proml_kedro.models.logistic.component import Logistic\n"
        "from proml_kedro.extensions import components\n"
        "components.register('shop_kind_for_test')(type('Shop', (Logistic,), {}))\n"
    )
    component = "{components: {a: {kind: shop_kind_for_test, inputs: [visit.pages]}}, score: a}"
    with pytest.raises(UserError, match="no kind of component"):
        load(f"model={component}", "~model.components.trees").loaded  # noqa: B018
    try:
        loader = load(f"model={component}", "~model.components.trees", "extensions=[shop_extension_for_test]")
        with pytest.raises(UserError, match="kind"):  # Logistic's spec wants its own kind: so it was found
            loader.loaded  # noqa: B018
    finally:
        from proml_kedro.extensions import components

        components._objects.pop("shop_kind_for_test", None)


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
@pytest.mark.parametrize("inside", ["conf/", ""])
def test_an_archive_does_as_well(conf, tmp_path, kind, inside):
    archive = tmp_path / f"packed.{kind}"
    files = [file for file in conf.rglob("*") if file.is_file()]
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as zipped:
            for file in files:
                zipped.write(file, inside + file.relative_to(conf).as_posix())
    else:
        with tarfile.open(archive, "w:gz") as tar:
            for file in files:
                tar.add(file, inside + file.relative_to(conf).as_posix())
    loader = HydraConfigLoader(archive)
    assert loader["parameters"]["seed"] == 7
    assert loader["parameters"]["base_path"] == str(tmp_path)


def test_an_archive_cannot_write_outside_of_its_folder(tmp_path):
    archive = tmp_path / "evil.tar.gz"
    (tmp_path / "config.yaml").write_text("seed: 1\n")
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "config.yaml", "../../outside.yaml")
    with pytest.raises(UserError, match="cannot unpack"):
        HydraConfigLoader(archive).loaded  # noqa: B018


def test_threads_do_not_disturb_each_other(load):
    seen: dict[int, int] = {}

    def compose(seed: int) -> None:
        model = "logistic" if seed % 2 else "forest"
        parameters = load(f"seed={seed}", f"model={model}")["parameters"]
        assert parameters["model"]["name"] == model
        seen[seed] = parameters["seed"]

    threads = [threading.Thread(target=compose, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {seed: seed for seed in range(8)}


TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20).filter(lambda text: "${" not in text)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.from_regex(r"\A[a-z][a-z_]{0,8}\Z"), inner, min_size=1, max_size=3)
    ),
    max_leaves=6,
)


@given(value=VALUES)
@settings(examples(10, 25), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_runtime_parameter_survives(load, value):
    """Metadata may hold anything, so it shows what arrived."""
    loader = load(catalog={"store": {"metadata": {"value": value}}})
    found = loader.loaded.values["catalog"]["store"]["metadata"]["value"]
    assert found == value
    assert type(found) is type(value)


@given(text=TEXT)
@settings(max_examples=100, deadline=None)
def test_text_in_quotes_survives_the_grammar_of_the_command_line(text):
    from hydra.core.override_parser.types import Quote, QuotedString

    changes, mistakes = parse([f"problem.description={QuotedString(text, Quote.single).with_quotes()}"])
    assert not mistakes
    assert changes[0].value == text


def test_runtime_parameters_of_every_form():
    changes, mistakes = from_params(
        {"model": "mlp", "problem": {"split": {"test_from": date(2024, 5, 1)}}, "+a": (1, 2), "b": {1}, "~c": None}
    )
    assert [(one.key, one.value, one.mode) for one in changes] == [
        ("model", "mlp", "set"),
        ("problem.split.test_from", "2024-05-01", "set"),
        ("a", [1, 2], "add"),
        ("c", None, "delete"),
    ]
    assert [mistake.key for mistake in mistakes] == ["b"]


def test_a_resolved_configuration_repeats_a_run(load, tmp_path):
    first = load("model.components.trees.params.max_depth=4", "seed=5")
    bundle = tmp_path / "proml.yaml"
    config = first.loaded.run.model_dump(mode="json")
    bundle.write_text(yaml.safe_dump({"name": "x", "config": config}))
    again = load(resolved=str(bundle))
    assert again.loaded.run == first.loaded.run
    assert again["catalog"] == first["catalog"]
    line = next(i for i, text in enumerate(bundle.read_text().splitlines(), start=1) if "max_depth" in text)
    assert again.where("model.components.trees.params.max_depth") == f"{bundle}:{line}"


def test_what_show_prints_is_a_resolved_configuration(load, tmp_path):
    first = load("seed=5")
    file = tmp_path / "shown.yaml"
    file.write_text(as_yaml(first.loaded, resolved=True))
    assert load(resolved=str(file)).loaded.run == first.loaded.run


@pytest.mark.parametrize("resolved", [False, True])
def test_origins_of_every_value(load, resolved):
    text = with_origins(load("model.components.trees.params.max_depth=4").loaded, resolved)
    assert "model.components.trees.params.max_depth: 4" in text
    assert "# override 'model.components.trees.params.max_depth=4'" in text
    assert "# conf/problem/shop.yaml:2" in text
    assert "# proml_kedro/conf/model/logistic.yaml" in text
    values = yaml.safe_load(text)
    assert values["seed"] == 7
    assert values["problem.name"] == "shop"


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("seed", "conf/config.yaml:12"),
        ("problem.tables.visits.source", "conf/problem/shop.yaml:2"),
        ("problem.tables.visits.nothing", "conf/problem/shop.yaml:2"),
        ("problem.split.test_from", "conf/problem/shop.yaml:10"),
        ("problem.name", "conf/problem/shop.yaml:1"),
        ("model.components.trees.inputs.0", "conf/model/forest.yaml:4"),
        ("evaluation.baseline.score", "proml_kedro/conf/model/logistic.yaml:4"),
        ("evaluation.compare.confidence", "conf/evaluation/small.yaml:3"),
        ("reuse", "conf/config.yaml:1"),
        ("", None),
    ],
)
def test_where_a_key_was_written(load, key, place):
    assert load().where(key) == place


def test_the_last_one_to_write_a_key_is_where_it_is_from(load):
    loader = load("model.components.trees.params={max_depth: 4}", env="prod")
    assert loader.where("seed") == "conf/env/prod.yaml:2"
    assert loader.where("model.components.trees.params.max_depth").startswith("override 'model")
    assert loader.where("model.components.trees.kind") == "conf/model/forest.yaml:3"
    assert load("experiment=deep").where("model.components.trees.params.max_depth") == "conf/experiment/deep.yaml:2"


UNTRUSTED = [
    {"catalog": {"store": {"type": "os.system"}}},
    {"hydra": {"searchpath": ["/tmp"]}},
    {"extensions": ["os"]},
    {"problem": {"label": {"expression": "read_text('/etc/passwd')"}}},
    {"features": {"visit": {"features": {"pages": {"expression": "1"}}}}},
    {"seed": "${oc.env:HOME}"},
    {"+model@catalog": "logistic"},
    {"monitoring": {"current": {"path": "/etc/passwd"}}},
    {"data_dir": "/"},
    {"overrides": ["catalog.store.type=os.system"]},
    {"overrides": ["+model@catalog=logistic"]},
    {"resolved": "/etc/passwd"},
]


@pytest.mark.parametrize("params", UNTRUSTED, ids=str)
def test_a_request_may_not_run_code_or_read_files(load, params):
    with pytest.raises(UserError, match="not allowed in a request"):
        load(untrusted=True, **params).loaded  # noqa: B018


def test_a_request_may_not_lead_the_catalog_elsewhere(load, edit):
    edit(catalog__here='defaults: [default]\nstore: {type: "${model.description}"}\n', model__forest=FOREST)
    assert load(untrusted=True)["catalog"]["store"]["type"] == "proml_kedro.datasets.StoreDataset"
    with pytest.raises(UserError, match="StoreDataset', not 'os"):
        load(untrusted=True, model={"description": "os.system"}).loaded  # noqa: B018


FOREST = """
description: proml_kedro.datasets.StoreDataset
components: {trees: {kind: xgboost, inputs: ["*"]}}
score: trees
"""


def test_a_request_may_choose_and_change_values(load):
    parameters = load(untrusted=True, model="logistic", seed=9)["parameters"]
    assert (parameters["model"]["name"], parameters["seed"]) == ("logistic", 9)


def test_an_optional_environment_may_be_nowhere(tmp_path, monkeypatch):
    """An installed package ships no environments; a project's config.yaml may name one all the same."""
    import shutil

    from proml_kedro.config import folders

    shutil.copytree(folders.shipped(), tmp_path / "shipped", ignore=shutil.ignore_patterns("env", "local"))
    shutil.copytree(folders.shipped(), tmp_path / "conf", ignore=shutil.ignore_patterns("env", "local"))
    monkeypatch.setattr(folders, "shipped", lambda: tmp_path / "shipped")
    assert HydraConfigLoader(tmp_path / "conf").loaded.run.problem.name == "flight_delays"
