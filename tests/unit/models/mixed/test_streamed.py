"""Streaming against the engine that holds everything in memory, kills in between, and what cannot be streamed."""

import errno
import json
import logging
import os
import stat
import sys
import zlib
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dense_mixed import arrange
from proml_kedro.errors import UserError
from proml_kedro.models.columns import ParquetRows
from proml_kedro.models.component import Examples, FitContext, Input, LazyColumns
from proml_kedro.models.mixed.component import Mixed
from proml_kedro.models.mixed.covariance import Covariance
from proml_kedro.models.mixed.memory.fit import fit as fit_in_memory
from proml_kedro.models.mixed.memory.observations import RandomEffectTerm
from proml_kedro.models.mixed.memory.settings import FitSettings
from proml_kedro.models.mixed.spec import MixedSpec
from proml_kedro.models.mixed.streamed import engine as streamed_engine
from proml_kedro.models.mixed.streamed import fit as streamed_fit
from proml_kedro.models.mixed.streamed import sweeps
from proml_kedro.models.mixed.streamed.problem import StreamedProblem
from proml_kedro.models.mixed.streamed.progress import Progress
from proml_kedro.models.mixed.streamed.storage import partition
from proml_kedro.models.mixed.streamed.storage.collect import collect
from proml_kedro.spec import HardwareSpec, ProblemSpec
from stopped import kill_where_it_stops
from streamed_mixed import fit_streamed

EXACT = {"tolerance": 1e-5, "mean_tolerance": 1e-6, "covariance_tolerance": 1e-6}
FEATURES = ("visit.a", "intercept", "visit.b")
MODEL = StreamedProblem(["member"], FEATURES, ["visit.a"], "visit.o", penalty=0.7)
COVARIANCE = np.array([[0.3, 0.1, 0.0], [0.1, 0.8, 0.0], [0.0, 0.0, 0.2]])
INPUTS = (Input("member", "str"), *(Input(f"visit.{name}", "float") for name in "abo"))
CONTEXT = FitContext(HardwareSpec(threads=1), 0, "model.components.personal")


def make_visits(rows=6000, members=400, missing=0.05, seed=0):
    """Visits of members with effects of their own, one of whom has very many, and some of nobody known."""
    generator = np.random.default_rng(seed)
    member = generator.integers(0, members, rows)
    member[: rows // 8] = 7
    nobody = generator.random(rows) < missing
    z = generator.normal(size=(rows, 2))
    u = generator.multivariate_normal(np.zeros(3), COVARIANCE, members)[member] * ~nobody[:, None]
    offset = generator.normal(0, 0.7, rows)
    margin = offset - 0.5 + z[:, 0] * (0.7 + u[:, 0]) + u[:, 1] + z[:, 1] * u[:, 2]
    order = generator.permutation(rows)
    columns = {
        "member": np.array([None if none else f"m{one}" for one, none in zip(member, nobody, strict=True)], object),
        "visit.a": (3 + 2 * z[:, 0]).astype(np.float32),
        "visit.b": z[:, 1].astype(np.float32),
        "visit.o": offset.astype(np.float32),
    }
    label = (generator.random(rows) < 1 / (1 + np.exp(-margin))).astype(np.float32)
    return Examples(columns, label).take(order)


def estimated():
    return Covariance(0.2 * np.eye(3), True, False)


def in_memory(examples, covariance, variational=True):
    """The other engine on the same equations: effects in the order of the members' names."""
    columns = examples.columns
    known = np.array([one is not None for one in columns["member"]])
    levels, codes = np.unique(columns["member"][known].astype(str), return_inverse=True)
    entities = np.full(len(examples), -1, np.int32)
    entities[known] = codes
    a, b = ((columns[name] - columns[name].mean()) / columns[name].std() for name in ("visit.a", "visit.b"))
    ones = np.ones(len(examples))
    effect = RandomEffectTerm(entities, np.column_stack([a, ones, b]).astype(np.float32), len(levels))
    rows = arrange(examples.label, columns["visit.o"], np.column_stack([ones, a]), [], [effect])
    method = "variational" if variational else "pql"
    how = FitSettings(method=method, penalty=0.7, tolerance=1e-8, covariance_tolerance=1e-7, max_iterations=300)
    return fit_in_memory(rows, [covariance], how), levels


@pytest.mark.parametrize("variational", [True, False], ids=["variational", "pql"])
def test_equals_the_engine_in_memory(variational, tmp_path):
    examples = make_visits()
    model = StreamedProblem(MODEL.entity, FEATURES, MODEL.fixed, MODEL.offset, MODEL.penalty, variational)
    found = fit_streamed(model, [examples], Covariance(COVARIANCE, False, False), 1, tmp_path / "fit", **EXACT)
    other, levels = in_memory(examples, Covariance(COVARIANCE, False, False), variational)
    assert found.progress.converged
    np.testing.assert_allclose(found.mean, [other.fixed[1], other.fixed[0], 0], atol=2e-5)
    np.testing.assert_allclose(found.errors, [other.fixed_errors[1], other.fixed_errors[0], 0], rtol=1e-3)
    assert [one.decode() for one in found.effects.names] == list(levels)
    np.testing.assert_allclose(found.effects.means, other.effects[0], atol=1e-4)
    # In memory the uncertainty of the fixed effects is added, which is of the order of one over the entities.
    np.testing.assert_allclose(found.effects.covariances, other.uncertainties[0], atol=5e-3)
    names, counts = np.unique([one for one in examples.columns["member"] if one is not None], return_counts=True)
    assert list(found.effects.rows) == list(counts)
    assert list(names) == list(levels)


def test_estimates_the_same_covariance(tmp_path):
    """But for the uncertainty of the fixed effects, which matters less the more entities there are."""
    apart = []
    for members in (400, 4000):
        examples = make_visits(15 * members, members)
        found = fit_streamed(MODEL, [examples], estimated(), 1, tmp_path / str(members), **EXACT)
        other, _ = in_memory(examples, estimated())
        apart.append(float(np.abs(np.array(found.progress.covariance) - other.covariances[0]).max()))
    assert apart[0] < 0.01
    assert apart[1] < apart[0] / 4


def test_threads_change_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(partition, "_ROWS_A_PART", 500)
    examples = make_visits()
    one, three = (fit_streamed(MODEL, [examples], estimated(), threads, tmp_path / str(threads)) for threads in (1, 3))
    np.testing.assert_array_equal(one.mean, three.mean)
    np.testing.assert_array_equal(one.effects.means, three.effects.means)
    np.testing.assert_array_equal(one.effects.covariances, three.effects.covariances)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000), parts=st.integers(1, 9))
def test_neither_parts_nor_the_order_of_rows_matter(seed, parts, tmp_path_factory):
    examples = make_visits(1500, 100, seed=seed)
    shuffled = examples.take(np.random.default_rng(seed).permutation(len(examples)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streamed_fit, "parts_for", lambda rows: 1)
        found = fit_streamed(MODEL, [examples], estimated(), 1, tmp_path_factory.mktemp("one") / "fit", **EXACT)
        patch.setattr(streamed_fit, "parts_for", lambda rows: parts)
        halves = [shuffled.take(slice(0, 700)), shuffled.take(slice(700, None))]
        again = fit_streamed(MODEL, halves, estimated(), 2, tmp_path_factory.mktemp("parts") / "fit", **EXACT)
    np.testing.assert_allclose(again.mean, found.mean, atol=1e-4)
    np.testing.assert_array_equal(again.effects.names, found.effects.names)
    np.testing.assert_allclose(again.effects.means, found.effects.means, atol=2e-3)
    np.testing.assert_allclose(again.progress.covariance, found.progress.covariance, atol=2e-3)


def test_a_sample_of_the_parts_comes_first(tmp_path, monkeypatch):
    monkeypatch.setattr(partition, "_ROWS_A_PART", 300)
    monkeypatch.setattr(sweeps, "_SAMPLE", 100)
    examples = make_visits(20_000, 1000)
    found = fit_streamed(MODEL, [examples], estimated(), 1, tmp_path / "sampled", **EXACT)
    entities = [one["entities"] for one in found.progress.history]
    assert entities[0] < 200
    assert entities[-1] == 1000
    quick = fit_streamed(MODEL, [examples], estimated(), 1, tmp_path / "quick").progress
    assert quick.sweeps < len(quick.history) / 2
    monkeypatch.setattr(sweeps, "_SAMPLE", 10**6)
    whole = fit_streamed(MODEL, [examples], estimated(), 1, tmp_path / "whole", **EXACT)
    np.testing.assert_allclose(found.progress.covariance, whole.progress.covariance, atol=1e-3)
    np.testing.assert_allclose(found.effects.means, whole.effects.means, atol=2e-3)


DEGENERATE = {
    "one class": lambda columns, label: label.fill(0),
    "labels known by member": lambda columns, label: np.copyto(
        label, np.array([zlib.crc32(str(one).encode()) % 2 for one in columns["member"].tolist()], np.float32)
    ),
    "separation": lambda columns, label: np.copyto(label, columns["visit.a"] > 3),
    "constant slope": lambda columns, label: columns["visit.b"].fill(4),
    "collinear": lambda columns, label: np.copyto(columns["visit.b"], columns["visit.a"] * 2),
    "nobody known": lambda columns, label: columns["member"].fill(None),
    "one member": lambda columns, label: columns["member"].fill("only"),
    "a row each": lambda columns, label: np.copyto(columns["member"], np.arange(len(label)).astype(str).astype(object)),
    "an outlier": lambda columns, label: columns["visit.a"].__setitem__(0, 1e6),
    "missing": lambda columns, label: columns["visit.a"].__setitem__(slice(0, 300), np.nan),
    "nothing but missing": lambda columns, label: columns["visit.a"].fill(np.nan),
    "huge offsets": lambda columns, label: columns["visit.o"].__setitem__(slice(0, None, 2), 200),
}


@pytest.mark.parametrize("seed", [14, 18])
def test_labels_that_members_tell_for_certain_let_a_fit_rest(seed, tmp_path):
    """Draws for which members that are brought near their modes only move the mean to and fro for ever."""
    generator, examples = np.random.default_rng(seed), make_visits(600, 60)
    names = sorted({one for one in examples.columns["member"].tolist() if one is not None})
    labels = {**{name: int(generator.integers(0, 2)) for name in names}, None: seed % 2}
    examples.label[:] = [labels[one] for one in examples.columns["member"].tolist()]
    found = fit_streamed(MODEL, [examples], estimated(), 1, tmp_path / "fit", max_sweeps=100)
    assert found.progress.converged, found.progress.history[-1]


@pytest.mark.parametrize("variational", [True, False], ids=["variational", "pql"])
@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.filterwarnings("error")
def test_degenerate_data_end_in_a_sensible_model(name, variational, tmp_path):
    examples = make_visits(600, 60)
    DEGENERATE[name](examples.columns, examples.label)
    model = StreamedProblem(MODEL.entity, FEATURES, MODEL.fixed, MODEL.offset, MODEL.penalty, variational)
    found = fit_streamed(model, [examples], estimated(), 1, tmp_path / "fit", max_sweeps=100)
    for one in (found.mean, found.effects.means, found.effects.covariances, found.progress.covariance):
        assert np.isfinite(one).all()
        assert np.abs(one).max(initial=0) < (400 if name == "huge offsets" else 101)
    assert found.progress.converged, found.progress.history[-1]


SCRIPT = """
import sys
from pathlib import Path
sys.path[:0] = {path!r}
from stopped import stop_after
from test_streamed import EXACT, MODEL, STOPS, estimated, fit_streamed, make_visits, partition
partition._ROWS_A_PART = 1000
stop_after(*STOPS[{place!r}])
fit_streamed(MODEL, [make_visits(40_000, 3000)], estimated(), 1, Path({folder!r}), **EXACT)
"""


@pytest.fixture(scope="module")
def never_killed(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partition, "_ROWS_A_PART", 1000)
        folder = tmp_path_factory.mktemp("whole") / "fit"
        return fit_streamed(MODEL, [make_visits(40_000, 3000)], estimated(), 1, folder, **EXACT)


STOPS = {"dividing": (partition, "_append"), "packing": (streamed_fit, "pack"), "sweeping": (Progress, "save")}


@pytest.mark.parametrize(
    ("place", "there", "kept"),
    [
        ("dividing", "rows/0.keys", None),
        ("packing", "parts/0/state.npy", "parts/0/rows.npy"),
        ("sweeping", "progress.json", "progress.json"),
    ],
)
def test_a_killed_fit_goes_on(place, there, kept, tmp_path, never_killed, monkeypatch, caplog):
    monkeypatch.setattr(partition, "_ROWS_A_PART", 1000)
    folder = tmp_path / "fit"
    path = [str(Path(__file__).parent), *filter(None, sys.path)]
    kill_where_it_stops(SCRIPT.format(path=path, folder=str(folder), place=place))
    assert (folder / there).exists()
    before = (folder / kept).stat().st_ino if kept and "rows" in kept else None
    sweeps_done = json.loads((folder / kept).read_text())["sweeps"] if kept == "progress.json" else 0
    examples = make_visits(40_000, 3000)
    with caplog.at_level(logging.INFO):
        found = fit_streamed(MODEL, [examples], estimated(), 1, folder, **EXACT)
    if before:
        assert (folder / kept).stat().st_ino == before, "a part that was packed was packed again"
    if sweeps_done:
        assert f"going on after sweep {sweeps_done}" in caplog.text
        assert len(found.progress.history) > sweeps_done
    np.testing.assert_allclose(found.mean, never_killed.mean, atol=1e-4)
    np.testing.assert_allclose(found.effects.means, never_killed.effects.means, atol=2e-3)


@pytest.mark.parametrize("file", ["partition.json", "progress.json"])
def test_a_damaged_note_of_a_killed_fit_is_said_and_the_fit_starts_anew(tmp_path, caplog, file):
    examples, folder = make_visits(4000, 300), tmp_path / "fit"
    whole = fit_streamed(MODEL, [examples], estimated(), 1, folder, **EXACT)
    (folder / file).write_text("")
    again = fit_streamed(MODEL, [examples], estimated(), 1, folder, **EXACT)
    np.testing.assert_allclose(again.mean, whole.mean, atol=1e-4)
    assert f"{file} cannot be read; the fit starts anew" in caplog.text


EFFECT = {"entity": "member", "features": ["intercept", "visit.a", "visit.b"]}
SPEC = {"kind": "mixed", "inputs": [one.name for one in INPUTS], "offset": "visit.o", "fixed": ["visit.a"]}


def component(engine="streamed", examples=None, context=CONTEXT, **changes):
    spec = MixedSpec.model_validate({**SPEC, "random_effects": [EFFECT], "engine": engine, **changes})
    one = Mixed(spec, INPUTS)
    one.fit(examples or make_visits(), make_visits(500, seed=1), context)
    return one


def test_the_component_scores_as_the_one_in_memory(tmp_path):
    streamed, other, fresh = component(), component("memory"), make_visits(300, 500, seed=2).columns
    expected = other.score(fresh)
    np.testing.assert_allclose(streamed.score(fresh)["margin"], expected["margin"], atol=0.05)
    streamed.save(tmp_path)
    loaded = Mixed.load(streamed.spec, INPUTS, tmp_path)
    np.testing.assert_array_equal(loaded.score(fresh)["margin"], streamed.score(fresh)["margin"])
    assert sum(streamed.importance().values()) == pytest.approx(1)
    for name, share in other.importance().items():
        assert streamed.importance()[name] == pytest.approx(share, abs=0.1)
    facts = streamed.summary()
    assert facts["converged"]
    assert facts["entities"] == other.summary()["entities"]
    assert facts["deviation of member visit.b"] == pytest.approx(np.sqrt(0.2), abs=0.1)


def write_parquet(file, examples, kind):
    members = [None if one is None else one[1:] for one in examples.columns["member"]]
    table = pa.table(
        {
            "split": np.where(np.arange(len(examples)) % 10 < 8, "train", "test").astype(object),
            "member": pa.array(members).cast(kind),
            **{name: values for name, values in examples.columns.items() if name != "member"},
            "label": examples.label,
        }
    )
    pq.write_table(table, file, row_group_size=1000)


@pytest.mark.parametrize("kind", [pa.string(), pa.int64(), pa.int32()], ids=str)
def test_rows_come_from_parquet_without_being_held(kind, tmp_path):
    examples = make_visits()
    write_parquet(tmp_path / "rows.parquet", examples, kind)
    source = ParquetRows(tmp_path / "rows.parquet", "train")

    def read():
        pytest.fail("the columns were read into memory")

    label = source.read([Input("label", "float")])["label"].astype(np.float32)
    lazy = Examples(LazyColumns([one.name for one in INPUTS], read), label, source=source)
    found = component(examples=lazy, refit=False)
    held = Examples(source.read(INPUTS), label)
    other = component("memory", held, refit=False)
    fresh = source.read(INPUTS)
    np.testing.assert_allclose(found.score(fresh)["margin"], other.score(fresh)["margin"], atol=0.05)


def test_several_inputs_can_be_the_entity():
    examples = make_visits()
    columns = dict(examples.columns)
    columns["visit.city"] = np.array(["Bern", None, "Lima"], object)[np.arange(len(examples)) % 3]
    examples = Examples(columns, examples.label)
    inputs = (*INPUTS, Input("visit.city", "str"))
    scores = []
    for engine in ("streamed", "memory"):
        effect = {"entity": ["member", "visit.city"], "features": ["intercept", "visit.a"]}
        config = {**SPEC, "inputs": [one.name for one in inputs], "random_effects": [effect], "engine": engine}
        one = Mixed(MixedSpec.model_validate(config), inputs)
        one.fit(examples, examples.take(slice(0, 0)), CONTEXT)
        scores.append(one.score(columns)["margin"])
    np.testing.assert_allclose(*scores, atol=0.05)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"random_effects": [EFFECT, {"entity": "member", "features": ["visit.o"]}]}, "one random effect"),
        ({"random_effects": [{"entity": "member", "features": ["visit.a"]}]}, "include the intercept"),
        ({"offset": None, "fixed": ["visit.o"]}, "fixed effects are features of the random effect"),
        ({"method": "laplace"}, "the method is variational or pql"),
        ({"l1": 0.1}, "no l1 penalty"),
        ({"locked": ["member"]}, "nothing is locked"),
    ],
    ids=str,
)
def test_what_cannot_be_streamed_is_said(changes, message):
    with pytest.raises(UserError, match=message) as error:
        component(**changes)
    assert error.value.mistakes[0].key == "model.components.personal.engine"


def test_what_cannot_be_streamed_is_a_mistake_before_anything_runs():
    problem = ProblemSpec.model_validate(
        {
            "name": "p",
            "tables": {"t": {"source": "t.csv"}},
            "examples": {"table": "t", "entities": ["member"], "timestamp": "at", "weight": "w"},
            "label": {"expression": "y", "task": "count"},
            "split": {"validation_from": "2024-01-01", "test_from": "2024-02-01"},
        }
    )
    types = {one.name: one.dtype for one in INPUTS}
    config = {**SPEC, "random_effects": [EFFECT], "l1": 0.1, "update": "changed_entities", "engine": "streamed"}
    found = MixedSpec.model_validate(config).check(types, problem)
    assert [str(one.key) for one in found] == ["engine"] * 2
    assert [one.message.removeprefix("'streamed' works where ") for one in found] == [
        "there is no l1 penalty",
        "nothing is locked, and all entities are estimated",
    ]
    assert not MixedSpec.model_validate({**config, "engine": "auto"}).check(types, problem)


def test_many_rows_are_streamed_by_themselves(monkeypatch, caplog):
    few = component("auto").summary()
    monkeypatch.setattr("proml_kedro.models.mixed.choose_engine._MANY_ROWS", 5000)
    with caplog.at_level(logging.INFO):
        many = component("auto").summary()
        component("auto", l1=0.1)
    assert "engine" not in few
    assert many["engine"] == "streamed"
    assert "model.components.personal: 6,500 rows are streamed from disk" in caplog.text
    assert "6,500 rows are fitted in memory; streaming works where there is no l1 penalty" in caplog.text


def test_a_model_with_nothing_in_the_way_has_no_obstacles():
    spec = MixedSpec.model_validate({**SPEC, "random_effects": [EFFECT]})
    assert spec.streaming_obstacles(["visit.a"]) == []


def test_what_was_noticed_is_said(caplog):
    examples = make_visits()
    examples.columns["visit.b"].fill(1)
    examples.columns["visit.a"][:10] = np.nan
    with caplog.at_level(logging.WARNING):
        component(examples=examples, max_iterations=1, refit=False)
    assert "model.components.personal: visit.b is constant and says nothing" in caplog.text
    assert "visit.a is missing in some rows, where it counts as the mean" in caplog.text
    assert "stopped after 1 sweeps without converging" in caplog.text


def test_a_missing_number_is_scored_as_the_mean():
    examples = make_visits()
    examples.columns["visit.a"][:300] = np.nan
    one, fresh = component(examples=examples, refit=False), make_visits(200, seed=3).columns
    mean = np.nanmean(examples.columns["visit.a"], dtype=np.float64)
    scores = [one.score({**fresh, "visit.a": np.full(200, value, np.float32)})["margin"] for value in (np.nan, mean)]
    np.testing.assert_allclose(*scores, atol=1e-5)


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    one = component()
    assert list(tmp_path.iterdir()) == []
    assert np.isfinite(one.score(make_visits(50).columns)["margin"]).all()


class Nobody:
    """An index whose entities have no parts yet."""

    names = np.zeros(100_000, "S3")

    def walk(self):
        return iter(())


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system takes no space beforehand")
def test_space_for_effects_is_taken_before_they_are_written(tmp_path):
    """A page that is mapped and finds no room on the disk would kill the process."""
    collect(Nobody(), 3, 1.0, tmp_path)
    sizes = {file.name: file.stat() for file in tmp_path.iterdir()}
    assert sorted(sizes) == ["counts.npy", "covariances.npy", "means.npy"]
    assert all(512 * one.st_blocks >= one.st_size > 400_000 for one in sizes.values())


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EOPNOTSUPP], ids=["full", "cannot"])
def test_a_full_disk_is_an_error(code, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    with pytest.raises(OSError, match="No space left") if code == errno.ENOSPC else nullcontext():
        collect(Nobody(), 3, 1.0, tmp_path)


def test_nobody_else_may_look_into_the_temporary_folder(tmp_path, monkeypatch):
    """Names and rows lie in it, and a system's folder for such things is open to all."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    rights = []

    def note(problem, *arguments, **tolerances):
        assert problem.rows.folder.is_relative_to(tmp_path)
        rights.extend(stat.S_IMODE(one.stat().st_mode) for one in tmp_path.iterdir())
        return streamed_fit.fit(problem, *arguments, **tolerances)

    monkeypatch.setattr(streamed_engine, "fit", note)
    component()
    assert rights == [0o700]
