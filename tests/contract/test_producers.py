"""Every producer that there is proves the laws, and the laws catch one that breaks them."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from proml_kedro.extensions import producers
from proml_kedro.models.producers import Producer
from proml_kedro.testing import check_component, check_producer

CONFIGS = {
    "bucketize": [{"bounds": [-1, 0, 2.5]}, {"bounds": [0], "of": "shop.visits"}],
    "clip": [{"low": -1}, {"high": 1e3}, {"low": -1, "high": 2, "of": "shop.visits"}],
    "cross": [{"of": ["shop.city", "shop.country"]}, {"of": ["shop.city", "shop.country", "shop.city"]}],
    "date_part": [
        {"of": "member.seen", "part": part, "timezone": zone}
        for part in ("year", "quarter", "month", "week", "day", "isodow", "doy", "hour", "minute")
        for zone in (None, "America/New_York")
    ],
    "expression": [
        {"expression": "shop.price / shop.visits + dot(shop.embedding, member.embedding)"},
        {"expression": "lower(shop.city)", "dtype": "str"},
        {"expression": "case when shop.city = shop.country then shop.visits / 2 end", "dtype": "int"},
        {
            "expression": "date_part('hour', member.seen) > 12 or time_since('days', member.seen, shop.opened) > 9",
            "dtype": "bool",
        },
        {"expression": "clip(shop.price, -1, 1) + euclidean_distance(shop.embedding, member.embedding)"},
        {"expression": "text_overlap(shop.city, shop.country)"},
    ],
    "time_since": [{"of": ["member.seen", "shop.opened"], "unit": unit} for unit in ("seconds", "days")],
    "cosine_similarity": [{}, {"of": ["member.embedding", "member.embedding"]}],
    "ratio": [{}, {"of": ["shop.visits", "shop.price"]}],
}


@pytest.mark.parametrize("kind", producers.names())
def test_producers_obey_the_laws(kind, tmp_path):
    for config in CONFIGS.get(kind, [{}]):
        check_producer({"kind": kind, **config}, tmp_path)


@pytest.mark.parametrize("config", [{"kind": "ratio", "of": ["shop.price", "shop.visits"]}], ids=str)
def test_a_producer_is_a_component_too(config, tmp_path):
    check_component(config, tmp_path)


def test_values():
    def compute(kind, values, **config):
        spec = producers.get(kind).model_validate(
            {"kind": kind, "of": [f"a.{n}" for n in range(len(values))], **config}
        )
        return spec.compute([np.asarray(one) for one in values]).tolist()

    nan = float("nan")
    assert compute("ratio", [[6.0, 1.0, nan, 0.0], [3.0, 0.0, 1.0, 0.0]])[0] == 2
    assert np.isnan(compute("ratio", [[6.0, 1.0, nan, 0.0], [3.0, 0.0, 1.0, 0.0]])[1:]).all()
    vectors = [[[3.0, 4.0], [1.0, 0.0], [0.0, 0.0], [nan, nan]], [[3.0, 4.0], [0.0, 2.0], [1.0, 1.0], [1.0, 1.0]]]
    found = compute("cosine_similarity", vectors)
    assert found[:2] == pytest.approx([1, 0])
    assert np.isnan(found[2:]).all()
    numbers = [[-5.0, 0.0, 9.99, 10.0, 1e9, nan]]
    assert compute("bucketize", numbers, bounds=[0, 10]) == ["0", "1", "1", "2", "2", None]


def test_bounds_ascend():
    for bounds in ([1, 1], [2, 1], [], [float("inf")]):
        with pytest.raises(ValueError, match="bounds"):
            producers.get("bucketize").model_validate({"kind": "bucketize", "of": "a.b", "bounds": bounds})


class Shifted(Producer):
    """A number and what a flaw adds to it."""

    count: ClassVar[int | None] = 1
    flaw: str

    def compute(self, values):
        number = values[0].astype(float)
        known = np.nan_to_num(number)
        if self.flaw == "beside it":
            return number - known.mean()
        if self.flaw == "infinite":
            return np.where(known == 0, np.inf, number)
        if self.flaw == "declared as":
            return np.array(["a"] * len(number), object)
        if self.flaw == "has shape":
            return np.column_stack([number, number])
        if self.flaw == "changed the column":
            values[0][:] = 1
        return np.full(len(number), np.nan) if self.flaw == "missing in every row" else number


@pytest.mark.parametrize(
    ("flaw", "law"),
    [
        (flaw, flaw if flaw != "declared as" else "not floating point")
        for flaw in ("beside it", "infinite", "declared as", "has shape", "changed the column", "missing in every row")
    ],
)
def test_the_laws_catch_a_producer_that_breaks_them(flaw, law, tmp_path):
    with producers.temporary("shifted", Shifted), pytest.raises(AssertionError, match=law):
        check_producer({"kind": "shifted", "flaw": flaw}, tmp_path)


def test_a_sound_one_passes(tmp_path):
    with producers.temporary("shifted", Shifted):
        check_producer({"kind": "shifted", "flaw": "none"}, tmp_path)
