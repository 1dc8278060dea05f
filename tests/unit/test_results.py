"""Typed results on disk, and where they lie."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proml_kedro.bundle import BundleOutline
from proml_kedro.results import (
    NAMES,
    Consistency,
    DriftResult,
    FitSummary,
    Importance,
    Metrics,
    OnlineValues,
    Places,
    TrainingSetFacts,
    UnreadableError,
)
from proml_kedro.results.json_file import JsonFile
from proml_kedro.results.places import MODEL, PROBLEM

METRICS = {
    "rows": 82609,
    "candidate": {"auc": 0.7331475327099239, "ndcg@5": None},
    "task": "binary",
    "label_mean": 0.22,
    "positive_rate": 0.22,
    "baseline": {"auc": 0.72, "ndcg@5": 0.3},
    "differences": {
        "auc": {
            "difference": 0.01,
            "low": 0.0,
            "high": 0.02,
            "standard_error": 0.005,
            "p_value": 0.03,
            "p_adjusted": 0.06,
            "clusters": 91.5,
            "reason": "",
        }
    },
    "cluster_by": "day",
    "clusters": 92,
    "latency_ms": None,
    "confidence": 0.95,
    "ranking": {
        "within": "visit",
        "groups": 3,
        "without_positive": 1,
        "drawn_by": "day",
        "gain": "linear",
        "relevant": 2.0,
    },
    "candidate_name": "xgboost",
    "baseline_name": "linear",
    "class_shares": {},
    "verdict": None,
    "gates": [{"metric": "auc", "passed": False, "text": "0.7331 is below min 0.75"}],
    "slices": [
        {
            "column": "member",
            "value": "unknown",
            "rows": 70217,
            "share": 0.85,
            "candidate": 0.61,
            "baseline": None,
            "difference": None,
        }
    ],
}
SPLIT = {
    "rows": 3,
    "label_mean": 0.25,
    "from": "2013-01-01T10:15:00+00:00",
    "to": "2013-09-01T03:59:00+00:00",
    "classes": {},
}
COLUMN = {
    "name": "plane.model",
    "verdict": "warn",
    "reasons": ["distribution"],
    "message": "PSI 0.094",
    "psi": 0.094,
    "threshold": 0.05,
    "p_value": 1e-73,
    "nulls": [0.1, 0.2],
    "scale": 1.0,
    "new_values": 0.0,
    "cause": {"check": "distribution", "share": 1.88},
    "weight": 0.5,
    "is_silent": False,
}
COMPARISON = {
    "feature": "plane.age",
    "as_of": "2014-01-01T03:59:00+00:00",
    "cells": 16,
    "present": 15,
    "mismatches": 2,
    "only_offline": 1,
    "only_online": 0,
    "worst": {"0123456789ab": "missing", "ba9876543210": 0.5},
}
FILES: list[tuple[type[JsonFile], object]] = [
    (Metrics, METRICS),
    (Importance, {"plane.age": 0.75, "weather.temp": 0.25}),
    (
        TrainingSetFacts,
        {"rows": 3, "dropped": 1, "splits": {"train": SPLIT}, "null_share": {"plane.age": None}, "classes": []},
    ),
    (FitSummary, {"trees": {"trees": 103, "converged": True, "engine": "memory"}}),
    (
        DriftResult,
        {
            "verdict": "warn",
            "words": "no drift, but 1 of 1 columns differs; look at plane.model (distribution)",
            "reference_rows": 51946,
            "current_rows": 5999,
            "flagged_share": 0.3,
            "notices": ["weekday was not checked"],
            "columns": [COLUMN],
            "lost": ["plane"],
            "needed_rows": 500,
        },
    ),
    (OnlineValues, {"plane": ["2014-01-01T03:59:00+00:00", "3322-44"]}),
    (Consistency, {"features": 1, "present": 15, "mismatches": 2, "cells": 16, "comparisons": [COMPARISON]}),
]


@pytest.mark.parametrize(("kind", "content"), FILES)
def test_what_is_read_is_written(tmp_path: Path, kind: type[JsonFile], content: object) -> None:
    (tmp_path / kind.FILE).write_text(json.dumps(content))
    found = kind.read(tmp_path)
    (tmp_path / "copy").mkdir()
    found.write(tmp_path / "copy")
    assert json.loads((tmp_path / "copy" / kind.FILE).read_text()) == content
    assert kind.read(tmp_path / "copy") == found == kind.of(content)


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"rows": "many"}', "\xff\xfe", "[" * 100_000])
@pytest.mark.parametrize(("kind", "_"), FILES)
def test_an_unreadable_file_is_one_line_that_says_what_to_do(
    tmp_path: Path, kind: type[JsonFile], _: object, content: str
) -> None:
    (tmp_path / kind.FILE).write_bytes(content.encode("latin-1"))
    with pytest.raises(UnreadableError) as caught:
        kind.read(tmp_path)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{tmp_path / kind.FILE}: cannot be read (")
    assert line.endswith("; `kedro run reuse=false` makes it anew")
    assert "many" not in line, "no value"


def test_a_missing_file_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="No such file"):
        Metrics.read(tmp_path)


def test_files_of_earlier_and_later_versions_are_read(tmp_path: Path) -> None:
    early = {"rows": 3, "splits": {"train": {"rows": 3, "label_rate": 0.25}}}
    found = TrainingSetFacts.of(early)
    assert (found.splits["train"].label_mean, found.null_share) == (0.25, {})
    assert Metrics.of({"rows": 1, "candidate": {}, "of a later version": 1}).baseline is None


def test_the_outline_of_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "proml.yaml").write_text(
        "name: a\nversion: v1\nnew: 1\nschema: {inputs: [{name: x.y, dtype: int, request: true, more: 1}]}\n"
    )
    outline = BundleOutline.read(tmp_path)
    assert outline.tag == "a:v1"
    assert [(one.name, one.dtype, one.request) for one in outline.inputs] == [("x.y", "int", True)]
    for wrong in ("", "- a", "name: [", "name: a\nversion: v1", "\x00"):
        (tmp_path / "proml.yaml").write_text(wrong)
        with pytest.raises(UnreadableError, match=r"proml\.yaml: cannot be read"):
            BundleOutline.read(tmp_path)


def make(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def test_places_that_nobody_has_moved(tmp_path: Path) -> None:
    places = Places("data", "shop", "trees", base=tmp_path)
    assert places.shown("tables") == Path("data/shop/tables")
    assert places.at("tables", "sales") == tmp_path / "data/sales/tables"
    assert places.at("bundle") == tmp_path / "data/shop/trees/bundle"
    assert places.at("bundle", model="linear") == tmp_path / "data/shop/linear/bundle"
    with pytest.raises(KeyError):
        places.at("bundel")
    folders = [make(tmp_path / "data" / problem / model / "bundle") for problem in "ab" for model in "xy"]
    for other in ("store/shop/bundle", "feature_store/shop/bundle", "features/shop/bundle"):
        make(tmp_path / "data" / other)
    assert places.find("bundle") == dict(zip([(a, b) for a in "ab" for b in "xy"], folders, strict=True))
    assert list(places.find("bundle", "a").values()) == folders[:2]
    assert places.find("drift") == {}


@pytest.mark.parametrize("name", NAMES)
def test_a_pattern_with_names_serves_every_problem_and_model(tmp_path: Path, name: str) -> None:
    patterns = {name: str(tmp_path / "other [x] *" / MODEL / PROBLEM / name)}
    places = Places("data", "shop", "trees", patterns, tmp_path)
    folder = make(tmp_path / "other [x] *" / "trees" / "shop" / name)
    make(tmp_path / "data" / "shop" / "trees" / name)
    if name != "tables":
        make(tmp_path / "data" / "shop" / name)
    assert places.at(name) == folder
    assert list(places.find(name).values()) == [folder], "what lies at the default place is older"


def test_a_place_without_names_is_that_of_the_configured_model(tmp_path: Path) -> None:
    places = Places("data", "shop", "trees", {"bundle": "moved", "tables": "moved_tables"}, tmp_path)
    moved, linear, other = (
        make(tmp_path / "moved"),
        *(make(tmp_path / "data" / one / "bundle") for one in ("shop/linear", "sales/trees")),
    )
    make(tmp_path / "data" / "shop" / "trees" / "bundle")
    assert places.at("bundle") == moved
    assert places.at("bundle", "sales") == other
    assert places.find("bundle") == {
        ("sales", "trees"): other,
        ("shop", "linear"): linear,
        ("shop", "trees"): moved,
    }
    assert places.shown("tables") == Path("moved_tables")
    assert places.shown("tables", model="linear") == Path("moved_tables"), "all models share them"
    assert places.shown("tables", "sales") == Path("data/sales/tables")


def test_files_are_found_in_every_result(tmp_path: Path) -> None:
    places = Places("data", "shop", "trees", base=tmp_path)
    folders = [make(tmp_path / "data" / "shop" / model / "evaluation") for model in ("linear", "trees")]
    (folders[1] / "metrics.json").write_text("{}")
    assert places.files("evaluation", "metrics.json") == [folders[1] / "metrics.json"]
