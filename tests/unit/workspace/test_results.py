"""Results that are whole, broken, or about to change."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from proml_kedro.errors import Mistake, UserError
from proml_kedro.workspace.results import ModelResult, read_results, worst_drift
from proml_kedro.workspace.snapshot import Live

BROKEN = ["", "{", "[]", "null", "3", '"x"', '{"rows": "many"}', "\x00", '{"columns": [{"name": 3}]}']


@pytest.mark.parametrize("content", BROKEN)
@pytest.mark.parametrize(
    "name",
    ["evaluation/metrics.json", "evaluation/importance.json", "drift/drift.json", "consistency/consistency.json"],
)
def test_a_corrupt_result_is_named_and_the_rest_is_shown(site, name, content):
    site.result(name, content)
    [model], [checked] = site.ask("models"), site.ask("health")
    assert model["unreadable"] == checked["unreadable"]
    [line] = model["unreadable"]
    assert line.startswith(f"{name} cannot be read: ")
    assert "many" not in line, "no value"
    assert model["training_set"]["rows"] == 400
    assert site.ask("feature", name="price.price")["name"] == "price.price"
    assert site.ask("search")["total"] == site.features


def test_an_unreadable_feature_table_and_training_set(bare):
    tables = bare.data / "shop" / "feature_tables"
    tables.unlink()
    tables.mkdir()
    (tables / "price.parquet").write_text("not Parquet")
    freshness = {one["name"]: one["freshness"] for one in bare.ask("search", limit=100)["features"]}
    assert (freshness["price.price"], freshness["region.area"]) == ("unreadable", "not computed")
    assert set(bare.ask("distribution", name="price.price")) == {"unreadable"}
    bare.result("training_set/training_set.parquet", "PAR1 cut off")
    assert set(bare.ask("distribution", name="visit.hour")) == {"unreadable"}
    assert isinstance(bare.ask("similar", name="visit.hour"), list)


def test_folders_of_the_store_are_no_models(site):
    for name in ("store/shop/evaluation", "features/a/drift", "feature_store/shop/bundle"):
        (site.data / name).mkdir(parents=True)
    assert [(one.problem, one.model) for one in read_results(site.places)] == [("shop", "trees")]


def test_the_worst_verdict_counts(site):
    [found] = read_results(site.places)
    other = replace(found, model="other", drift=_with_verdict(found, "ok"))
    worst = replace(found, model="worst", drift=_with_verdict(found, "drift"))
    assert worst_drift([found, other])["shop", "price.price"] == "warn"
    assert worst_drift([worst, found, other])["shop", "price.price"] == "drift"
    assert worst_drift([replace(found, drift=None)]) == {}


def _with_verdict(found: ModelResult, verdict):
    assert found.drift is not None
    return replace(found.drift, columns=(replace(found.drift.columns[0], verdict=verdict),))


class Changing:
    """A source whose configuration is broken and mended."""

    def __init__(self, site) -> None:
        self.site = site
        self.now = "1"
        self.mistake: UserError | None = None
        self.loads = 0

    def stamp(self) -> str:
        return self.now

    def load(self):
        self.loads += 1
        if self.mistake:
            raise self.mistake
        return self.site.content()


def test_content_follows_what_it_is_made_from(site):
    source = Changing(site)
    live = Live(source)
    live.refresh()
    assert source.loads == 1, "nothing has changed"
    assert len(live.content.results) == 1
    site.result("drift/drift.json", json.dumps({"verdict": "gone"}))
    live.refresh()
    assert live.content.results[0].drift is not None, "what is loaded is not half of the next"
    source.now = "2"
    live.refresh()
    assert live.content.results[0].drift is None


def test_a_mistake_in_the_configuration_is_shown_and_the_content_kept(site):
    source = Changing(site)
    live = Live(source)
    before = live.content
    source.now, source.mistake = "2", UserError(Mistake("seed", "must be a number", "conf/config.yaml:3"))
    live.refresh()
    live.refresh()
    assert (live.content, live.mistakes) == (before, ["conf/config.yaml:3: seed: must be a number"])
    assert source.loads == 2, "once for a change"
    source.now, source.mistake = "3", None
    live.refresh()
    assert live.mistakes == []
