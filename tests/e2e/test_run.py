"""`kedro run` on a problem of one's own: YAML only, outside of the project."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kedro_process import run_kedro, start_kedro

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]


def test_a_problem_of_ones_own_needs_yaml_only(finished_shop):
    metrics = json.loads((finished_shop.result("evaluation") / "metrics.json").read_text())
    assert metrics["candidate"]["auc"] > 0.65
    assert metrics["rows"] > 800
    for file in ("bundle/proml.yaml", "bundle/card.md", "bundle/SHA256SUMS", "drift/drift.html", "drift/drift.json"):
        assert (finished_shop.result(file)).is_file(), file


def test_the_summary_says_how_good_where_and_what_next(finished_shop):
    output = finished_shop.environment["FINISHED_OUTPUT"]
    for words in (
        "shop · model xgboost",
        "auc",
        "linear",
        "interval, by day",
        "xgboost is ",
        "Drift verdict",
        "kedro run --conf-source",
        "--pipelines=materialize,package",
        "kedro workspace",
    ):
        assert words in output, words
    assert output.index("xgboost is ") < output.index("interval, by day"), "the verdict comes first"
    assert re.search(r"serve it +\S*kedro serve \S+/bundle", finished_shop.environment["PACKAGED_OUTPUT"])
    first, later = finished_shop.environment["FINISHED_ERRORS"], finished_shop.environment["PACKAGED_ERRORS"]
    assert "Warning" not in first + later
    for result in ("bento", "consistency"):
        assert f"/{result}: computing" not in first
        assert f"/{result}: computing" in later
    assert "\x1b[" not in output, "colours belong to terminals"


@pytest.mark.slow
def test_what_is_proposed_works_when_it_is_pasted(finished_shop):
    """In a shell without an active environment, from the project's folder."""
    printed = finished_shop.environment["FINISHED_OUTPUT"]
    proposed = re.findall(r"^  (make it servable|change the model|check for drift) +(.*)$", printed, re.MULTILINE)
    assert len(proposed) == 3
    environment = {"PATH": "/usr/bin:/bin", "HOME": os.environ["HOME"]}
    for what, command in proposed:
        done = subprocess.run(
            ["sh", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, (what, command, done.stderr)
        assert "Warning" not in done.stderr


def test_a_repeated_run_takes_everything_over(finished_shop, files):
    before = {
        path: (finished_shop.data / path).stat().st_mtime_ns
        for path in files(finished_shop.data)
        if path.startswith("store/")
    }
    done = finished_shop.run()
    assert done.returncode == 0, done.stderr
    after = {path: (finished_shop.data / path).stat().st_mtime_ns for path in before}
    assert before == after
    assert "computing" not in done.stderr


def test_the_run_in_a_bundle_can_be_repeated(finished_shop, tmp_path):
    bundle = finished_shop.result("bundle").resolve()
    arguments = ["run", "--conf-source", str(finished_shop.conf), "--config", str(bundle / "run.yml")]
    done = run_kedro(arguments, ROOT)
    assert done.returncode == 0, done.stderr
    assert finished_shop.result("bundle").resolve() == bundle


def test_the_monitor_is_a_gate(finished_shop, tmp_path):
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    rows = pq.read_table(finished_shop.result("training_set") / "training_set.parquet")
    test = rows.filter(pc.equal(rows["split"], "test"))
    pq.write_table(test, tmp_path / "same.parquet")
    position = test.schema.get_field_index("visit.pages")
    shifted = test.set_column(position, "visit.pages", pc.multiply(test["visit.pages"], 100))
    pq.write_table(shifted, tmp_path / "shifted.parquet")

    fixed = ("--pipelines=monitor", "monitoring.reference={split: test}")
    same = finished_shop.run(*fixed, f"monitoring.current.path={tmp_path / 'same.parquet'}")
    assert same.returncode == 0, same.stdout + same.stderr
    drifted = finished_shop.run(*fixed, f"monitoring.current.path={tmp_path / 'shifted.parquet'}")
    assert drifted.returncode == 1, drifted.stdout + drifted.stderr
    verdict = json.loads((finished_shop.result("drift") / "drift.json").read_text())
    assert verdict["verdict"] == "drift"
    assert "visit.pages" in drifted.stdout
    assert (finished_shop.result("drift") / "drift.html").stat().st_size > 100_000


def test_the_monitor_needs_a_finished_run(shop):
    done = shop.run("--pipelines=monitor")
    assert done.returncode == 2
    assert "there is no 'training_set' yet for this problem and model" in done.stderr
    assert "Traceback" not in done.stderr


BAD_INPUT = [
    pytest.param(
        [("conf/problem/shop.yaml", "visits.csv", "visit.csv")],
        "conf/problem/shop.yaml:2: problem.tables.visits.source:",
        "visits.csv",
        id="missing file",
    ),
    pytest.param(
        [("conf/problem/shop.yaml", "ordered = 1", "orderd = 1")],
        "conf/problem/shop.yaml:8: problem.label.expression:",
        "Did you mean 'ordered'?",
        id="wrong column in the label",
    ),
    pytest.param(
        [("conf/features/shop.yaml", "expression: amount", "expression: amuont")],
        "conf/features/shop.yaml:11: features.orders.features.spent.expression:",
        "Did you mean 'amount'?",
        id="wrong column in a feature",
    ),
    pytest.param(
        [("conf/problem/shop.yaml", "timestamp: at", "timestamp: att")],
        "conf/problem/shop.yaml:7: problem.examples.timestamp:",
        "Did you mean 'at'?",
        id="wrong timestamp",
    ),
    pytest.param(
        [("visits.csv", "2024-01-01T00:29:00+00:00", "2024-13-41")],
        "conf/problem/shop.yaml:",
        "at",
        id="unparsable date",
    ),
    pytest.param(
        [("conf/problem/shop.yaml", "ordered = 1", "ordered >= 0")],
        "conf/problem/shop.yaml:8: problem.label.expression:",
        "is true for all",
        id="one class",
    ),
    pytest.param(
        [("conf/problem/shop.yaml", "test_from: 2024-04-01", "test_from: 2025-04-01")],
        "conf/problem/shop.yaml:9: problem.split.test_from:",
        "test",
        id="empty split",
    ),
]


@pytest.mark.parametrize(("edits", "place", "words"), BAD_INPUT)
def test_bad_input_is_one_line_and_leaves_nothing(shop, files, edits, place, words):
    for edit in edits:
        shop.edit(*edit)
    done = shop.run("--pipelines=features")
    assert done.returncode == 2, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if place in line]
    assert lines, done.stderr
    assert any(words in line for line in lines), done.stderr
    assert "Traceback" not in done.stderr
    assert "training_set.parquet" not in {Path(file).name for file in files(shop.folder)}
    assert not list(shop.folder.rglob(".writing-*"))


def test_an_unknown_feature_is_found_before_anything_runs(shop):
    done = shop.run("model.components.trees.inputs=[orders.spent_7dd]")
    assert done.returncode == 2
    assert done.stderr.startswith("override 'model.components.trees.inputs=[orders.spent_7dd]'")
    assert "Did you mean 'orders.spent_7d'?" in done.stderr
    assert not shop.data.exists()


def use_own_component(shop):
    """Write the how-to's component beside ``conf``, and return the arguments that train with it."""
    how_to = (Path(__file__).parents[2] / "docs" / "how-to" / "add-a-component.md").read_text()
    source = how_to.partition("```python\n")[2].partition("```")[0]
    (shop.folder / "my_components.py").write_text(source)
    (shop.conf / "model").mkdir()
    (shop.conf / "model" / "by_device.yaml").write_text(
        "components:\n  rate: {kind: frequency, inputs: [visit.device], smoothing: 50}\nscore: rate\n"
    )
    return ["--pipelines=features,train", "model=by_device", "extensions=[my_components]"]


def test_a_killed_run_goes_on_where_it_was(shop):
    """It is killed while it fits: the component says that it does, and waits for a file that never comes."""
    going_on = shop.folder / "go_on"
    waits = (
        "        import pathlib, sys, time\n"
        "        print('it is fitted now', file=sys.stderr, flush=True)\n"
        f"        while not pathlib.Path({str(going_on)!r}).exists():\n"
        "            time.sleep(0.05)\n"
    )
    begin = "    def fit(self, train, validation, context):\n"
    arguments = use_own_component(shop)
    shop.edit("my_components.py", begin, begin + waits)
    started = start_kedro(shop.command(*arguments)[1:], ROOT)
    started.wait_until_said("it is fitted now", "err")
    assert "trained_model: computing" in started.said("err")
    started.end()
    assert not shop.data.joinpath("shop").exists(), "links lead to results of runs that have ended"
    going_on.touch()
    done = shop.run(*arguments)
    assert done.returncode == 0, done.stderr
    assert "tables: unchanged, taken over" in done.stderr
    assert "trained_model: computing" in done.stderr
    assert not list(shop.folder.rglob(".writing-*"))


def test_a_changed_source_file_is_noticed(shop):
    assert shop.run("--pipelines=features").returncode == 0
    (shop.folder / "orders.csv").touch()
    assert "computing" not in shop.run("--pipelines=features").stderr
    with (shop.folder / "orders.csv").open("a") as stream:
        stream.write("c1,2024-02-02T00:00:00+00:00,10.0\n")
    assert "tables: computing" in shop.run("--pipelines=features").stderr


def test_nothing_calls_home(finished_shop):
    """Every connection that leaves a process is refused and written down; a whole run makes none."""
    log = Path(finished_shop.environment["CONNECTIONS"])
    assert not log.exists(), log.read_text()
    probe = subprocess.run(
        [sys.executable, "-c", "import urllib.request as r; r.urlopen('http://example.com')"],
        env={**os.environ, **finished_shop.environment},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert "refused by the test" in probe.stderr
    log.unlink()


def test_an_interrupted_run_ends_with_130(shop):
    process = subprocess.Popen(
        shop.command(),
        cwd=Path(__file__).parents[2],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever started the tests in the background may have had Ctrl-C ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "feature_tables: computing" in line:
            break
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=600)
    assert process.returncode == 130
    assert "Traceback" not in rest
    assert not list(shop.folder.rglob(".writing-*"))


def test_a_folder_that_cannot_be_written_is_said_before_anything_runs(shop):
    (shop.folder / "taken").write_text("")
    done = shop.run(f"data_dir={shop.folder / 'taken'}")
    assert done.returncode == 2
    assert f"data_dir: {shop.folder / 'taken'} is a file" in done.stderr
    assert "computing" not in done.stderr


def test_changed_code_of_ones_own_component_trains_again(shop):
    arguments = use_own_component(shop)
    first = shop.run(*arguments)
    assert first.returncode == 0, first.stderr
    assert "by_device/trained_model: unchanged" in shop.run(*arguments).stderr
    shop.edit("my_components.py", "label.mean()", "label.mean() / 2")
    assert "by_device/trained_model: computing" in shop.run(*arguments).stderr
    shop.edit("my_components.py", "weight = self.spec.smoothing", "weight = [][0]")
    faulty = shop.run(*arguments)
    assert faulty.returncode == 70, "1 is for drift, 2 for mistakes in the configuration"
    last = faulty.stderr.splitlines()[-1]
    assert last.startswith("IndexError list index out of range: a fault of the program, at ")
    assert "my_components.py:" in last, "of whoever wrote that"
    file = Path(last.rpartition("its traceback is in ")[2])
    assert "IndexError: list index out of range" in file.read_text()
    file.unlink()


def test_each_run_has_left_its_record(finished_shop):
    records = [json.loads(file.read_text()) for file in sorted((finished_shop.data / "runs").glob("*.json"))]
    first, packaged = records[:2]
    assert [one["state"] for one in (first, packaged)] == ["done", "done"]
    assert first["verdicts"].keys() == {"evaluation", "drift"}
    assert "auc" in first["metrics"]
    assert first["steps"]["train_model"] > 0
    assert first["results"]["bundle"] == f"bundle/{finished_shop.result('bundle').resolve().name}"
    assert first["results"]["bundle"] == packaged["results"]["bundle"], "what a run starts from is named too"
    assert packaged["verdicts"]["consistency"].startswith("0 of ")
    assert first["command"].startswith("kedro run --conf-source ")
    said = re.search(r"CPU ([\d.]+) s, peak memory ([\d.]+) MB", finished_shop.environment["FINISHED_OUTPUT"])
    assert float(said[1]) == pytest.approx(first["cpu_seconds"], rel=0.1)
    assert float(said[2]) * 1e6 == pytest.approx(first["peak_memory"], rel=0.02), "in the same units"


@pytest.mark.slow
@pytest.mark.parametrize("open_ends", [pty.openpty, os.pipe], ids=["terminal", "pipe"])
def test_whoever_waits_hears_of_a_run_before_its_libraries_are_loaded(shop, open_ends):
    """A log of CI too: the first line is there while the process has not loaded what its steps need."""
    ours, theirs = open_ends()
    with subprocess.Popen(shop.command("--pipelines=features"), cwd=ROOT, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        said = os.read(ours, 1000).decode()
        process.kill()
    os.close(ours)
    assert said.splitlines() == ["shop: a run of model xgboost begins"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_one_thread_means_one_that_computes_in_all_of_a_run(shop, tmp_path):
    """Beside it wait those of Arrow's and DuckDB's for files, the allocator's, and Kedro's."""
    command = shop.command("hardware.threads=1", "--pipelines=features,train,evaluate,bundle,materialize")
    clean = {name: one for name, one in os.environ.items() if not name.startswith("PROMETHEUS")}  # tests' Feast sets it
    with (tmp_path / "said").open("w+") as said:
        run = subprocess.Popen(command, cwd=ROOT, env=clean, stdout=subprocess.DEVNULL, stderr=said)
        most, tasks = 0, Path(f"/proc/{run.pid}/task")
        while run.poll() is None:
            most = max(most, len(list(tasks.iterdir())))
            time.sleep(0.002)
        said.seek(0)
        lines = said.read()
    assert run.returncode == 0, lines
    assert 1 < most <= 6, "fourteen, where each connection of DuckDB began with eight more"
    assert "Warning" not in lines
