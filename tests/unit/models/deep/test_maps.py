"""Maps of embeddings: categories of one meaning lie together, and each vector has its own category's name."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA

from proml_kedro.models.component import Examples, FitContext, Input
from proml_kedro.models.deep.component import Deep
from proml_kedro.models.deep.maps import Embedding, draw
from proml_kedro.spec import HardwareSpec

INPUTS = [Input("shop.size", "str"), Input("shop.city", "str"), Input("member", "str")]
RATES = np.array([0.05, 0.35, 0.65, 0.95])


def rate_of(name: str) -> float:
    return float(RATES[int(name.removeprefix("city")) % 4])


def towns(rows: int, seed: int) -> Examples:
    """Labels of which city tells everything: every fourth is alike."""
    generator = np.random.default_rng(seed)
    city = np.floor(16 * generator.random(rows) ** 1.5).astype(int)
    columns = {
        "shop.city": np.array([f"city{one}" for one in city], object),
        "shop.size": generator.choice(np.array([f"size{one}" for one in range(9)], object), rows),
        "member": generator.choice(np.array([f"m{one}" for one in range(20)], object), rows),
    }
    return Examples(columns, (generator.random(rows) < RATES[city % 4]).astype(np.float64))


@pytest.fixture(scope="module")
def component() -> Deep:
    config = {
        "kind": "deep",
        "inputs": [one.name for one in INPUTS],
        "features": {"embed": 3},
        "graph": {"deep": {"block": "mlp", "of": "embeddings", "units": [16]}},
        "head": {"of": "deep"},
        "training": {"epochs": 20, "batch_size": 128, "learning_rate": 0.02},
    }
    found = Deep(Deep.Spec.model_validate(config), INPUTS)
    found.fit(towns(4000, 0), towns(500, 1), FitContext(HardwareSpec(threads=1), seed=0, key="net"))
    return found


def test_what_is_alike_is_near_under_its_own_name(component: Deep, tmp_path: Path) -> None:
    (cities,) = (one for one in component._fitted.embeddings() if one.table == "shop.city")
    assert len(cities.names) == 16
    alike = [rate_of(one) == rate_of(cities.nearest(at, 1)[0]) for at, one in enumerate(cities.names)]
    assert sum(alike) >= 10, "by chance 3 of 16"
    first = cities.principal()[0][:, 0]
    assert abs(np.corrcoef(first, [rate_of(one) for one in cities.names])[0, 1]) > 0.9
    component.save(tmp_path)
    (again,) = (
        one
        for one in Deep.load(component.spec, component.inputs, tmp_path)._fitted.embeddings()
        if one.table == "shop.city"
    )
    np.testing.assert_array_equal(again.vectors, cities.vectors)


def test_reports_show_maps_but_not_of_keys(component: Deep, tmp_path: Path) -> None:
    text = "\n".join(component.report(tmp_path, "net"))
    assert re.findall("## Map of (.*)", text) == ["shop.size", "shop.city"]
    assert (tmp_path / "map_net_shop_city.png").stat().st_size > 10_000
    assert "| city0 | " in text


def test_components_are_those_of_scikit_learn(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 5)).astype(np.float32)
    names = [f"a|b<{one}\n" for one in range(50)]
    embedding = Embedding("jobs", names, vectors)
    points, share = embedding.principal()
    theirs = PCA(2).fit(vectors.astype(np.float64))
    np.testing.assert_allclose(np.abs(points), np.abs(theirs.transform(vectors.astype(np.float64))), atol=1e-9)
    assert share == pytest.approx(theirs.explained_variance_ratio_.sum())
    lines = draw(tmp_path, "net", embedding)
    assert "\\|" in lines[-1]
    assert "<" not in lines[-1]
    one = Embedding("flat", names[:9], np.ones((9, 1), np.float32))
    assert np.isfinite(one.principal()[0]).all()
