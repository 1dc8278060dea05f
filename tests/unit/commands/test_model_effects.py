"""`kedro model effects` on a bundle with a mixed model, and on what it cannot show."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from proml_kedro import summary
from proml_kedro.artifacts import Artifact
from proml_kedro.bundle import BundleContent, write_bundle
from proml_kedro.cli import cli
from proml_kedro.results import FitSummary, Places
from proml_kedro.spec import RunSpec
from small import CITIES, METRICS, fit, make_bundle, make_config, write_training_set

MIXED = {
    "personal": {
        "kind": "mixed",
        "inputs": ["shop", "visit.city", "visit.price"],
        "fixed": ["visit.price", "visit.city"],
        "random_effects": [
            {"entity": "shop", "features": ["intercept", "visit.price"]},
            {"entity": ["shop", "visit.city"]},
        ],
    }
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed")
    config, training_set = make_config(MIXED), write_training_set(folder / "training_set.parquet")
    made = folder / "bundle"
    made.mkdir()
    write_bundle(
        made,
        BundleContent(
            graph=fit(config, training_set),
            config=config,
            training_set=training_set,
            metrics=METRICS,
            lineage={"training_set": "0123456789abcdef"},
        ),
        name="sales-mixed",
        version="v1",
        shown_at=Path("data/sales/mixed/bundle"),
    )
    return made


def run(*words):
    return CliRunner().invoke(cli, ["model", "effects", *map(str, words)])


def test_an_entity_is_shown_beside_the_population(bundle):
    result = run(bundle, "--entity", "shop=7")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("personal\neffect")
    assert [line.split()[:3] for line in result.stdout.splitlines()[2:]] == [
        ["shop", "7", "intercept"],
        ["shop", "7", "visit.price"],
    ]
    found = json.loads(run(bundle, "--entity", "shop=7", "--json").stdout)["personal"]["entities"]
    assert [one["feature"] for one in found] == ["intercept", "visit.price"]
    for one in found:
        assert one["known"]
        assert one["rows"] > 10
        assert 0 < one["error"] <= one["population"] * 1.05
        assert one["deviations"] == pytest.approx(one["value"] / one["population"])
        assert 0 <= one["quantile"] < 1


def test_of_several_entities_their_combination_is_shown_too(bundle):
    found = json.loads(run(bundle, "--entity", "shop=7", "--entity", "visit.city=Lima", "--json").stdout)["personal"][
        "entities"
    ]
    assert [one["effect"] for one in found] == ["shop", "shop", "shop x visit.city"]
    assert found[2]["entity"] == "7 x Lima"


def test_without_an_entity_those_that_differ_most_are_shown(bundle):
    found = json.loads(run(bundle, "--top", 3, "--json").stdout)["personal"]["entities"]
    assert len(found) == 9
    intercepts = [abs(one["value"]) for one in found[:3]]
    assert intercepts == sorted(intercepts, reverse=True)
    every = json.loads(run(bundle, "--top", 1000, "--json").stdout)["personal"]["entities"]
    assert intercepts[0] == max(
        abs(one["value"]) for one in every if one["effect"] == "shop" and one["feature"] == "intercept"
    )


def test_without_an_entity_everybody_is_shown_first(bundle):
    text = run(bundle, "--top", 2).stdout
    fixed, population, figures, entities = text.removeprefix("personal\n").split("\n\n")
    likelihood, explained = figures.splitlines()
    assert re.fullmatch(r"log likelihood -\d+\.\d\d \(variational bound\)", likelihood)
    assert re.search(r"fixed effects explain \d+\.\d%, with random ones \d+\.\d% .* share \d+\.\d% \(ICC\)", explained)
    assert [line.split()[0] for line in fixed.splitlines()] == [
        "fixed",
        "intercept",
        "visit.price",
        "missing",
        *["visit.city"] * 2,
        "visit.city:",
    ]
    assert [line.split()[0] for line in population.splitlines()] == ["random", "shop", "shop", "shop"]
    assert len(entities.splitlines()) == 7


def test_everybody_as_json(bundle):
    found = json.loads(run(bundle, "--json").stdout)["personal"]
    prices = pq.read_table(bundle.parent / "training_set.parquet", columns=["visit.price"])["visit.price"].to_numpy()
    price = next(one for one in found["fixed"] if one["name"] == "visit.price")
    assert price["value"] > 4 * price["error"] > 0
    assert price["per_unit"] == pytest.approx(price["value"] / np.nanstd(prices), rel=0.1)
    assert {one["level"] for one in found["fixed"] if one["name"] == "visit.city"} >= set(CITIES)
    assert [len(one["correlations"]) for one in found["population"]] == [0, 1, 0]
    assert found["population"][1]["unit"] == pytest.approx(price["value"] / price["per_unit"])
    assert [one["feature"] for one in found["population"]] == ["intercept", "visit.price", "intercept"]
    assert found["population"][0]["entities"] == 40


def test_an_unknown_entity_falls_back_to_the_population(bundle):
    result = run(bundle, "--entity", "shop=nowhere")
    assert result.exit_code == 0
    assert "shop 'nowhere' is not known: it is scored as the population" in result.stderr
    one = json.loads(run(bundle, "--entity", "shop=nowhere", "--json").stdout)["personal"]["entities"][0]
    assert (one["known"], one["value"], one["rows"]) == (False, 0.0, 0.0)
    assert one["error"] == one["population"]


def test_an_entity_that_is_no_utf8_is_not_known(bundle):
    name = os.fsdecode(b"M\xfcller")
    result = run(bundle, "--entity", f"shop={name}")
    assert result.exit_code == 0, result.output
    assert [line.split()[1] for line in result.stdout.splitlines()[2:]] == [r"M\udcfcller"] * 2
    assert r"shop 'M\udcfcller' is not known" in result.stderr
    one = json.loads(run(bundle, "--entity", f"shop={name}", "--json").stdout)["personal"]["entities"][0]
    assert (one["known"], one["entity"]) == (False, name)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--entity", "shopp=7"], "option --entity: no entity 'shopp'. Did you mean 'shop'?"),
        (["--entity", "shop"], "option --entity: 'shop' is no NAME=VALUE; an entity is written member_id=42"),
        (
            ["--entity", "visit.city=Lima"],
            "option --entity: no effect is of visit.city alone; give further ones of: shop, visit.city",
        ),
        (["--entity", "shop="], "option --entity: 'shop=' is no NAME=VALUE; an entity is written member_id=42"),
        (["--entity", "shop=7", "--entity", "shop=8"], "option --entity: 'shop' is given twice; one entity is shown"),
        (["--component", "personel"], "no component with effects 'personel'. Did you mean 'personal'?"),
        (["--top", "0"], "Invalid value for '--top'"),
    ],
)
def test_mistakes_are_one_line(bundle, words, message):
    result = run(bundle, *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_folder_that_is_no_bundle_is_refused(tmp_path):
    result = run(tmp_path)
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_bundle_without_mixed_models_has_nothing_to_show(tmp_path):
    result = run(make_bundle(tmp_path))
    assert result.exit_code == 2
    assert "no component of this bundle has effects of entities" in result.stderr


def test_what_cannot_be_estimated_is_in_the_card_the_summary_and_the_json(tmp_path, capsys):
    config = {**MIXED["personal"], "max_iterations": 1}
    config, training_set = make_config({"personal": config}), write_training_set(tmp_path / "training_set.parquet")
    graph, folder = fit(config, training_set), tmp_path / "bundle"
    folder.mkdir()
    content = BundleContent(graph=graph, config=config, training_set=training_set, metrics=METRICS)
    write_bundle(folder, content, name="sales-mixed", version="v1", shown_at=folder)
    start = "stopped after 1 steps without converging"
    assert f"\n- The fit of personal: {start}" in (folder / "card.md").read_text()
    assert json.loads(run(folder, "--json").stdout)["personal"]["notes"][0].startswith(start)
    assert run(folder).stderr.startswith(f"personal: {start}")
    FitSummary.of(graph.summary()).write(tmp_path)
    spec = RunSpec.model_validate(config)
    summary.show({"trained_model": Artifact(tmp_path, "0")}, spec, Places("data", "sales", "mixed"), {})
    assert f"Model: personal: {start}" in capsys.readouterr().out


def test_contrasts_are_shown_in_raw_units(bundle):
    effects = {
        one["level"] or one["name"]: one for one in json.loads(run(bundle, "--json").stdout)["personal"]["fixed"]
    }
    words = ("--contrast", "visit.city = Lima - visit.city = Oslo", "--contrast", "10 * visit.price")
    (cities, price) = json.loads(run(bundle, *words, "--json").stdout)["personal"]
    assert cities["value"] == pytest.approx(effects["Lima"]["value"] - effects["Oslo"]["value"])
    assert price["value"] == pytest.approx(10 * effects["visit.price"]["per_unit"])
    assert price["error"] == pytest.approx(10 * effects["visit.price"]["per_unit_error"])
    text = run(bundle, *words).stdout.splitlines()
    assert text[0] == "personal"
    assert text[2].split()[:4] == ["visit.city", "=", "Lima", "-"]
    refused = run(bundle, "--contrast", "Lima - Osloo")
    assert refused.exit_code == 2
    assert "option --contrast: no fixed effect 'Osloo'. Did you mean 'Oslo'?" in refused.stderr


@pytest.fixture(scope="module")
def fits(tmp_path_factory):
    """Three bundles of the same rows: of one effect, of one more fixed effect, and of one more with a penalty."""
    folder = tmp_path_factory.mktemp("fits")
    training_set, made = write_training_set(folder / "training_set.parquet"), []
    plain = {"kind": "mixed", "inputs": ["shop", "visit.price"], "random_effects": [{"entity": "shop"}]}
    likelihood = {"method": "laplace", "penalty": 0.0}
    for name, more in (
        ("small", likelihood),
        ("large", {**likelihood, "fixed": ["visit.price"]}),
        ("penalised", {"fixed": ["visit.price"]}),
    ):
        config = make_config({"personal": {**plain, **more}})
        made.append(folder / name)
        made[-1].mkdir()
        content = BundleContent(
            graph=fit(config, training_set), config=config, training_set=training_set, metrics=METRICS
        )
        write_bundle(made[-1], content, name=name, version="v1", shown_at=made[-1])
    return made


def test_two_bundles_are_compared_by_their_log_likelihoods(fits):
    small, large, penalised = fits
    lines = run(small, large).stdout.splitlines()
    assert lines[0].split() == ["fit", "laplace", "log", "likelihood", "parameters", "AIC", "BIC"]
    assert [line.split()[2] for line in lines[1:3]] == ["2", "4"]  # a price, and its being missing
    assert lines[3].startswith("likelihood ratio")
    found = json.loads(run(small, large, "--json").stdout)
    one, other = found["fits"]
    assert found["test"]["statistic"] == pytest.approx(2 * (other["value"] - one["value"]))
    assert one["aic"] == pytest.approx(4 - 2 * one["value"])
    refused = run(small, penalised)
    assert refused.exit_code == 2
    assert "argument OTHER: the log likelihoods cannot be compared: one is a variational bound" in refused.stderr
