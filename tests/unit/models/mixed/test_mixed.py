"""The component: what its YAML means, unknown entities, saving, and its place in a graph."""

import logging
import os

import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from proml_kedro.errors import UserError
from proml_kedro.models.component import Examples, FitContext, Input
from proml_kedro.models.graph import ModelGraph
from proml_kedro.models.mixed.component import Mixed
from proml_kedro.models.mixed.encoding import Levels, Names, Scale
from proml_kedro.models.mixed.spec import MixedSpec
from proml_kedro.spec import HardwareSpec, ModelSpec
from proml_kedro.spec.run import RunSpec, check
from proml_kedro.testing import INPUTS, make_examples
from small import make_config

CONTEXT = FitContext(HardwareSpec(threads=1), seed=0)
DTYPES = {one.name: one.dtype for one in INPUTS}
VISITS = (Input("member.id", "str"), Input("job.id", "str"), Input("job.remote", "float"))


def make_visits(rows=6000, members=200, jobs=40, seed=0):
    """Members and jobs with effects of their own, and a member's taste for remote jobs."""
    generator = np.random.default_rng(seed)
    truth = np.random.default_rng(99)
    taste = truth.multivariate_normal([0, 0], [[0.8, 0.3], [0.3, 0.5]], members)
    appeal = truth.normal(0, 0.6, jobs)
    member, job = generator.integers(0, members, rows), generator.integers(0, jobs, rows)
    remote = (job % 3 == 0).astype(np.float32)
    standard = (remote - remote.mean()) / remote.std()
    margin = -0.5 + taste[member, 0] + taste[member, 1] * standard + appeal[job]
    label = (generator.random(rows) < 1 / (1 + np.exp(-margin))).astype(np.float32)
    columns = {
        "member.id": np.array([f"m{one}" for one in member], dtype=object),
        "job.id": np.array([f"j{one}" for one in job], dtype=object),
        "job.remote": remote,
    }
    return Examples(columns, label)


def fitted(config, train=None, inputs=VISITS, context=CONTEXT):
    spec = MixedSpec.model_validate({"kind": "mixed", "inputs": [one.name for one in inputs], **config})
    component = Mixed(spec, inputs)
    component.fit(train or make_visits(), make_visits(500, seed=7), context)
    return component


PERSONAL = {
    "fixed": ["job.remote"],
    "random_effects": [
        {"entity": "member.id", "features": ["intercept", "job.remote"]},
        {"entity": "job.id"},
    ],
}


@pytest.fixture(scope="module")
def personal():
    return fitted(PERSONAL)


def log_loss(label, probability):
    return -np.mean(np.log(np.where(label == 1, probability, 1 - probability)))


def test_personal_effects_are_better_than_none(personal):
    fresh = make_visits(4000, seed=3)
    alone = fitted({"fixed": ["job.remote"], "random_effects": [{"entity": "job.id", "variance": 1e-6}]})
    with_effects, without = (one.score(fresh.columns)["probability"] for one in (personal, alone))
    assert log_loss(fresh.label, with_effects) < log_loss(fresh.label, without) - 0.05


def test_summary_says_what_was_estimated(personal):
    facts = personal.summary()
    assert facts["converged"]
    assert facts["entities"] == 240
    assert facts["deviation of member.id intercept"] == pytest.approx(0.8**0.5, abs=0.15)
    assert facts["deviation of member.id job.remote"] == pytest.approx(0.5**0.5, abs=0.15)
    assert facts["deviation of job.id intercept"] == pytest.approx(0.6, abs=0.2)


def test_importance_is_of_what_the_effects_come_from(personal):
    shares = personal.importance()
    assert sum(shares.values()) == pytest.approx(1)
    assert set(shares) == {"member.id", "job.id", "job.remote"}
    assert min(shares.values()) > 0.1


def test_an_unknown_entity_has_the_populations_effect_and_its_variance(personal):
    def score(member, job="j1", remote=1.0):
        columns = {
            "member.id": np.array([member], dtype=object),
            "job.id": np.array([job], dtype=object),
            "job.remote": np.array([remote], np.float32),
        }
        return personal.score(columns)["margin"][0]

    assert score("nobody") == score(None)
    scale = personal._terms._scales["job.remote"]
    z = np.array([1.0, (1.0 - scale.mean) / scale.deviation])
    job = Levels(personal._terms.effect_levels[1].keys).encode(Names.of(["j1"]))[0]
    eta = personal._model.fixed.numbers @ z + personal._model.effects[1].means[job, 0]
    variance = z @ personal._model.effects[0].population @ z + personal._model.effects[1].averaged[job, 0, 0]
    assert score("nobody") == pytest.approx(eta / np.sqrt(1 + np.pi / 8 * variance), abs=1e-6)


def test_probabilities_are_calibrated_for_new_members(personal):
    """Without averaging over the posterior they would be too sure."""
    fresh = make_visits(20_000, seed=11)
    nobody = {**fresh.columns, "member.id": np.full(len(fresh), None, dtype=object)}
    margin = personal.score(nobody)["margin"]
    lengths = np.linspace(0.7, 1.4, 15)
    best = lengths[np.argmin([np.logaddexp(0, s * margin).mean() - (fresh.label * s * margin).mean() for s in lengths])]
    assert 0.85 <= best <= 1.15


def test_a_loaded_component_reads_only_what_it_looks_up(personal, tmp_path):
    personal.save(tmp_path)
    loaded = Mixed.load(personal.spec, VISITS, tmp_path)
    assert all(isinstance(one.base, np.memmap) for effect in loaded._model.effects for _, one in effect.arrays())
    fresh = make_visits(300, seed=5)
    np.testing.assert_array_equal(loaded.score(fresh.columns)["margin"], personal.score(fresh.columns)["margin"])
    assert loaded.importance() == personal.importance()
    assert loaded.summary() == personal.summary()
    assert {file.suffix for file in tmp_path.iterdir()} == {".npy", ".json"}


def test_without_any_known_entity_it_still_saves_and_scores(tmp_path):
    train = make_visits(400)
    train.columns["member.id"][:] = None
    component = fitted(PERSONAL, train, context=FitContext(HardwareSpec(threads=1), 0, final=False))
    component.save(tmp_path)
    loaded = Mixed.load(component.spec, VISITS, tmp_path)
    fresh = make_visits(50, seed=5)
    np.testing.assert_allclose(
        loaded.score(fresh.columns)["margin"], component.score(fresh.columns)["margin"], atol=1e-9
    )


def test_several_inputs_make_one_entity():
    config = {"random_effects": [{"entity": ["member.id", "job.id"]}]}
    component = fitted(config)
    assert component.summary()["entities"] > 1000
    assert "deviation of member.id x job.id intercept" in component.summary()
    fresh = make_visits(200, seed=5)
    fresh.columns["job.id"][:] = None
    assert len(set(component.score(fresh.columns)["margin"])) == 1


def test_it_learns_from_the_validation_period_only_when_it_is_final():
    train, context = make_visits(500, members=20), FitContext(HardwareSpec(threads=1), 0, final=False)
    fresh = make_visits(100, seed=5)
    margins = [
        fitted(PERSONAL | more, train, context=one).score(fresh.columns)["margin"]
        for more, one in [({}, CONTEXT), ({}, context), ({"refit": False}, CONTEXT)]
    ]
    assert np.abs(margins[0] - margins[1]).max() > 1e-3
    np.testing.assert_array_equal(margins[1], margins[2])


def test_it_takes_another_components_margin_as_offset():
    components = {
        "trees": {"kind": "xgboost", "inputs": ["shop.price", "shop.visits"], "num_boost_round": 30},
        "personal": {
            "kind": "mixed",
            "inputs": ["shop.city", "trees.margin"],
            "offset": "trees.margin",
            "random_effects": [{"entity": "shop.city"}],
        },
    }
    graph = ModelGraph(ModelSpec(name="m", components=components, score="personal"), DTYPES)
    graph.fit(make_examples(3000, 1), make_examples(500, 2), CONTEXT)
    fresh = make_examples(3000, 4)
    outputs = graph.outputs(fresh.columns)
    assert log_loss(fresh.label, outputs["personal.probability"]) < log_loss(fresh.label, outputs["trees.probability"])


def test_all_mistakes_are_said_at_once_where_they_are():
    components = {
        "personal": yaml.safe_load("""
            kind: mixed
            inputs: ["shop.*"]
            offset: shop.city
            fixed: [shop.prise]
            random_effects:
              - {entity: shop.town, features: [intercept, shop.city]}
              - {entity: shop.price}
        """)
    }
    with pytest.raises(UserError) as caught:
        ModelGraph(ModelSpec(name="m", components=components, score="personal"), DTYPES)
    assert [str(one) for one in caught.value.mistakes] == [
        "model.components.personal.offset: 'shop.city' is text; an offset is a number",
        "model.components.personal.fixed.0: no input 'shop.prise'. Did you mean 'shop.price'?",
        "model.components.personal.random_effects.0.entity: no input 'shop.town'. Did you mean 'shop.city'?",
        "model.components.personal.random_effects.0.features.1: 'shop.city' is text; a feature of an effect is a "
        "number",
        "model.components.personal.random_effects.1.entity: 'shop.price' is a number; an entity is text: declare the "
        "feature with `dtype: str`",
    ]


@pytest.mark.parametrize(
    "effect",
    [
        {"entity": "a.b", "features": ["intercept", "intercept"]},
        {"entity": ["a.b", "a.b"]},
        {"entity": "a.b", "variance": [0.1, 0.2]},
        {"entity": "a.b", "variance": 0},
        {"entity": "a.b", "covarianse": "full"},
        {"entity": []},
        {"entity": "a.b", "min_rows": 10, "max_rows": 5},
    ],
    ids=str,
)
def test_yaml_that_means_nothing_is_refused(effect):
    with pytest.raises(ValidationError):
        MixedSpec.model_validate({"kind": "mixed", "inputs": ["*"], "random_effects": [effect]})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"offset": "visit.price", "fixed": ["visit.price"]},
            "fixed.0: 'visit.price' is the offset or exposure",
        ),
        ({"offset": "visit.price", "exposure": "visit.price"}, "exposure: 'visit.price' is the offset already"),
        ({"locked": ["fixed"]}, "locked: needs an earlier bundle: set training.warm_start"),
        ({"update": "changed_entities"}, "update: needs an earlier bundle: set training.warm_start"),
        ({"random_effects": [{"entity": "visit.town"}]}, "random_effects.0.entity: no input 'visit.town'"),
    ],
    ids=str,
)
def test_mistakes_are_said_before_anything_is_read(changes, message):
    config = {"kind": "mixed", "inputs": ["visit.*"], "random_effects": [{"entity": "visit.city"}], **changes}
    found = [str(one) for one in check(RunSpec.model_validate(make_config({"personal": config})))]
    assert any(one.startswith(f"model.components.personal.{message}") for one in found), found


def test_two_effects_of_the_same_are_refused_and_of_different_features_are_not():
    one = {"entity": "a.b"}
    config = {"kind": "mixed", "inputs": ["*"]}
    with pytest.raises(ValidationError, match=r"2 effects of a\.b have intercept"):
        MixedSpec.model_validate({**config, "random_effects": [one, {"entity": "a.b", "features": ["intercept"]}]})
    MixedSpec.model_validate({**config, "random_effects": [one, {"entity": "a.b", "features": ["c.d"]}]})


@pytest.mark.parametrize(
    ("twins", "message"),
    [
        ([{"entity": ["a.b", "c.d"]}, {"entity": ["c.d", "a.b"]}], r"2 effects of a\.b x c\.d have intercept"),
        (
            [{"kind": "factors", "entity": ["a.b", "c.d"]}, {"kind": "factors", "entity": ["a.b", "c.d"]}],
            r"2 factors are of a\.b \* c\.d",
        ),
        (
            [
                {"kind": "factors", "entity": ["a.b", "c.d"], "rank": 2},
                {"kind": "factors", "entity": ["c.d", "a.b"], "rank": 3},
            ],
            r"2 factors are of a\.b \* c\.d",
        ),
    ],
    ids=["in another order", "factors twice", "factors in another order"],
)
def test_the_same_in_another_guise_is_refused(twins, message):
    config = {"kind": "mixed", "inputs": ["*"], "random_effects": [{"entity": "a.b"}, *twins]}
    with pytest.raises(ValidationError, match=f"{message}.*cannot tell these apart"):
        MixedSpec.model_validate(config)
    MixedSpec.model_validate({**config, "random_effects": config["random_effects"][:2]})


def test_constants_and_early_stops_are_said(caplog):
    train = make_visits(500)
    train.columns["job.remote"][:] = 1
    train = Examples(train.columns, train.label)
    context = FitContext(HardwareSpec(threads=1), 0, "model.components.personal", final=False)
    with caplog.at_level(logging.WARNING):
        fitted({**PERSONAL, "max_iterations": 3}, train, context=context)
    assert "model.components.personal: job.remote is constant" in caplog.text
    assert "stopped after 3 steps without converging" in caplog.text
    assert "raise max_iterations" in caplog.text


def test_levels_are_found_whatever_they_hold():
    names = ["", "a", "aa", "ä", "Ω", "\U0001f600", "z" * 300, None]
    levels = Levels.of(Names.of(names))
    codes = levels.encode(Names.of([*names, "b", "a\x01", "z" * 301]))
    assert sorted(codes[:7]) == list(range(7))
    assert list(codes[7:]) == [-1, -1, -1, -1]


def test_names_that_are_no_utf8_are_levels_too():
    name = os.fsdecode(b"M\xfcller")
    levels = Levels.of(Names.of(["a", name]))
    assert [levels.name(place) for place in levels.encode(Names.of([name, "a"]))] == [name, "a"]
    assert list(levels.encode(Names.of([os.fsdecode(b"\xff")]))) == [-1]


def test_a_scale_ignores_what_is_not_finite():
    scale = Scale.of(np.array([1, 3, np.nan, np.inf], np.float32), np.ones(4))
    assert (scale.mean, scale.deviation, scale.missing, scale.constant) == (2, 1, True, False)
    np.testing.assert_array_equal(scale.apply(np.array([3, np.nan, -np.inf])), [1, 0, 0])
    assert Scale.of(np.array([np.nan]), np.ones(1)).constant
