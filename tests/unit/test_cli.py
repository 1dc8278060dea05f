"""The commands as a user types them: what they print, where, and with which exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kedro_process import run_kedro

ROOT = Path(__file__).parents[2]
KEDRO = Path(sys.executable).with_name("kedro")


def kedro(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_kedro(arguments, cwd, environment)


def test_help_shows_overrides_and_kedros_options():
    done = kedro("run", "--help")
    assert done.returncode == 0
    for words in ("[KEY=VALUE]...", "--pipelines", "--params", "--config", "--conf-source", "model=logistic"):
        assert words in done.stdout
    assert "--async" not in done.stdout, "deprecated options are accepted, not advertised"
    assert done.stderr == ""


MISTAKES = [
    (["run", "model=xgbost"], "override 'model=xgbost': no model 'xgbost'. Did you mean 'xgboost'?"),
    (["run", "--params", "seed=x"], "override 'seed=x': seed: must be a whole number, not 'x'"),
    (["run", "--params", "seed"], "Invalid format of `params` option"),
    (["run", "--env", "prd"], "--env prd: no env 'prd'. Did you mean 'prod'?"),
    (["run", "--pipelines=traim"], "option --pipelines: no pipeline 'traim'. Did you mean 'train'?"),
    (["run", "--nodes=nope"], "nope"),
    (["run", "--runner=NoRunner"], "option --runner: no runner 'NoRunner'."),
    (["run", "--load-versions=nope"], "Expected the form of 'load_versions'"),
    (["run", "--conf-source", "/no/such/folder"], "Invalid value for '--conf-source'"),
    (["run", "--nope"], "No such option"),
    (
        ["run", "--only-missing-outputs"],
        "option --only-missing-outputs: leave it out; results of the same configuration",
    ),
    (["model", "describe", "model.components.trees.inputs=[flight.carier]"], "Did you mean 'flight.carrier'?"),
    (["config", "show", "seed=x"], "override 'seed=x': seed: must be a whole number, not 'x'"),
    (["config", "show", "--origin", "foo"], "override 'foo': cannot read it"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=lambda value: " ".join(value)[:40])
def test_a_mistake_is_one_line_on_stderr_and_exit_code_2(arguments, message):
    done = kedro(*arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert message in done.stderr


@pytest.mark.parametrize(
    "command",
    [["catalog", "list-patterns"], ["catalog", "describe-datasets"], ["run"], ["config", "show"]],
    ids=" ".join,
)
def test_every_command_that_reads_the_configuration_answers_alike(command):
    done = kedro(*command, KEDRO_ENV="prd")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "--env prd: no env 'prd'. Did you mean 'prod'?\n"


def test_pipelines_are_listed():
    done = kedro("registry", "list")
    assert done.returncode == 0, done.stderr
    assert set(yaml.safe_load(done.stdout)) >= {"features", "train", "evaluate", "package", "monitor", "__default__"}


def test_the_catalog_is_listed():
    done = kedro("catalog", "describe-datasets")
    assert done.returncode == 0, done.stderr
    assert "training_set" in done.stdout


def test_show_prints_yaml():
    done = kedro("config", "show", "seed=3")
    assert (done.returncode, done.stderr) == (0, "")
    shown = yaml.safe_load(done.stdout)
    assert shown["seed"] == 3
    assert shown["catalog"]["store"]["filepath"] == "${data_dir}"


def test_show_resolved_fills_in_defaults():
    shown = yaml.safe_load(kedro("config", "show", "--resolved", "--env", "prod").stdout)
    assert shown["catalog"]["store"]["filepath"] == "data"
    assert shown["serving"]["workers"] == 2
    assert shown["model"]["training"]["cross_fit"]["folds"] == 3


def test_a_run_file_that_is_none(tmp_path):
    for content, words in {
        "run: [": "not valid YAML",
        "- a": "must hold the key 'run'",
        "run: {pipline: x}": "no option 'pipline'. Did you mean 'pipeline'?",
        "run: {params: {resolved: nowhere.yaml}}": "there is no file nowhere.yaml",
        "run: {params: {sed: 1}}": "override 'sed=1': sed: unknown key. Did you mean 'seed'?",
    }.items():
        file = tmp_path / "run.yml"
        file.write_text(content)
        done = kedro("run", "--config", str(file))
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("typed", "index", "expected"),
    [
        ("kedro run model=", "2", {"model=xgboost", "model=logistic"}),
        ("kedro config show model=", "3", {"model=xgboost", "model=logistic"}),
        ("kedro run hardware.pre", "2", {"hardware.precision=float32", "hardware.precision=float64"}),
        ("kedro run model = ", "4", {"xgboost", "logistic"}),
    ],
)
def test_completion_in_bash(typed, index, expected):
    done = kedro(_KEDRO_COMPLETE="bash_complete", COMP_WORDS=typed, COMP_CWORD=index)
    assert done.returncode == 0, done.stderr
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} >= expected


def test_the_package_is_a_program_of_its_own(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "proml_kedro", "run", "--conf-source", str(ROOT / "conf"), "model=xgbost"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr == "override 'model=xgbost': no model 'xgbost'. Did you mean 'xgboost'?\n"


LIGHT = {
    "help": (["run", "--help"], {"hydra", "numpy"}),
    "help of the workspace": (["workspace", "--help"], {"hydra", "numpy", "starlette", "uvicorn"}),
    "an unknown model": (["run", "model=xgbost"], {"numpy"}),
    "an unknown key": (["run", "model.components.trees.params.learnin_rate=1"], {"numpy"}),
    "an unknown metric": (["run", "evaluation.metrics=[aucc]"], {"numpy"}),
    "a metric of another task": (["run", "evaluation.metrics=[auc,rmse]"], {"numpy"}),
    "an unknown ranking metric": (["run", "evaluation.ranking={metrics: [ndgc@3]}"], {"numpy"}),
    "an unknown drift check": (["run", "monitoring.gate.fail_on=[nuls]"], {"numpy"}),
    "a mistake beside a mixed model": (["run", "model=mixed", "seed=-1"], {"numpy"}),
    "or a deep one": (["run", "model=deep_wide", "seed=-1"], {"numpy"}),
}
ANSWERS = """
import json, os, sys
from kedro.framework.cli import main
for arguments in json.loads(sys.argv[1]):
    if os.fork() == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        answer = os.dup(1)
        os.dup2(2, 1)
        sys.argv, code = ["kedro", *arguments], 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        os.write(answer, json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]).encode() + b"\\n")
        os._exit(0)
    os.wait()
"""


@pytest.fixture(scope="module")
def answers():
    """The exit code of each command, and what is loaded at its end: in forks of a process that has loaded Kedro."""
    command = [sys.executable, "-c", ANSWERS, json.dumps([arguments for arguments, _ in LIGHT.values()])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=True)
    return dict(zip(LIGHT, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("what", LIGHT)
def test_answers_need_no_heavy_library(what, answers):
    """What these cost is measured by benchmarks/run.py; here, that nothing slow to import is imported."""
    heavy = {"pandas", "duckdb", "feast", "xgboost", "tensorflow", "bentoml", "evidently", "sklearn", "scipy", "numba"}
    code, imported = answers[what]
    assert code == (0 if what.startswith("help") else 2)
    assert "proml_kedro" in imported
    assert not set(imported) & (heavy | LIGHT[what][1])


def test_logs_go_to_stderr_below_the_projects_folder_too():
    done = kedro("run", "model=xgbost", cwd=ROOT / "src")
    assert done.returncode == 2
    assert done.stderr == "override 'model=xgbost': no model 'xgbost'. Did you mean 'xgboost'?\n"


@pytest.mark.parametrize("hardware", ["gpu", "multi_gpu"])
def test_a_gpu_that_is_not_there_is_told_before_anything_is_computed(hardware, tmp_path):
    from proml_kedro.hardware import count_gpus

    if count_gpus():
        pytest.skip("there is a GPU")
    done = kedro("run", f"hardware={hardware}", f"data_dir={tmp_path / 'data'}")
    assert done.returncode == 2
    begun, why = done.stderr.splitlines()
    assert begun == "flight_delays: a run of model xgboost begins"
    assert why.startswith(f"conf/hardware/{hardware}.yaml:1: hardware.device: no GPU is found;")
    (record,) = [one for one in (tmp_path / "data").rglob("*") if one.is_file()]
    assert record.parent == tmp_path / "data" / "runs", "nothing is left but that it was tried"
    assert json.loads(record.read_text())["error"]["text"] == why


def test_a_command_of_another_package_is_there_by_kedros_plugins(tmp_path):
    (tmp_path / "hello.py").write_text(
        "import click\n@click.group()\ndef commands(): pass\n"
        "@commands.command()\ndef hello():\n    click.echo('hello from a plugin')\n"
    )
    info = tmp_path / "hello-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hello\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[kedro.project_commands]\nhello = hello:commands\n")
    done = kedro("hello", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "hello from a plugin\n"), done.stderr
    assert "hello" in kedro("--help", PYTHONPATH=str(tmp_path)).stdout
    assert kedro("hello").returncode != 0
