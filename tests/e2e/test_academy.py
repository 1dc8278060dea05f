"""Course 200 from its first exercise to its last, by the answers that its page hides, and by wrong ones beside them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import proml_kedro
from kedro_process import run_kedro
from proml_kedro.cli import cli
from proml_kedro.commands.new import make_project

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "academy" / "200.md").read_text()
LABEL, FEATURES, MODEL, GATE = re.findall(r"<summary>Answer</summary>\n\n```yaml\n.*\n((?:.*\n)*?)```", PAGE)


def check(number: str, *answer: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["academy", "check", number, *answer])
    return done.exit_code, done.output.strip().splitlines()[-1]


def command(*words: str) -> str:
    done = run_kedro(list(words), Path.cwd(), {}, 600)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_project(tmp_path_factory.mktemp("academy"), "shop")
    subprocess.run([sys.executable, "generate_tables.py"], cwd=folder, check=True)
    return folder


@pytest.fixture(autouse=True)
def in_shop(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop)


def write(file: str, old: str, new: str) -> None:
    path = Path(file)
    text = path.read_text()
    assert len(re.findall(old, text, re.MULTILINE | re.DOTALL)) == 1
    path.write_text(re.sub(old, lambda _: new, text, flags=re.MULTILINE | re.DOTALL))


LINE = r"^label: .*?\n"


def test_1_examples_left_out() -> None:
    before = Path("conf/problem/shop.yaml").read_text()
    code, text = check("200.1")
    assert code == 1
    assert "see label.drop_when" in text
    for wrong in ("pages <= 2", "pages < 1", "pages <= 1 or (pages = 2 and ordered = 1)"):
        write("conf/problem/shop.yaml", LINE, LABEL.replace("pages <= 1", wrong))
        assert check("200.1")[0] == 1, wrong
    Path("conf/problem/shop.yaml").write_text(before)
    write("conf/problem/shop.yaml", LINE, LABEL)
    assert check("200.1") == (0, "200.1 is right")


def test_2_a_feature_in_time() -> None:
    file = "conf/features/shop.yaml"
    before = Path(file).read_text()
    code, text = check("200.2")
    assert code == 1
    assert "there is no feature orders.mean_amount_30d" in text
    for old, wrong in (
        (", delay: 1h", ""),
        ("delay: 1h", "delay: 1d"),
        ("mean_amount: {agg: mean", "mean_amount: {agg: max"),
        ("mean_amount: {agg: mean, expression: amount", "mean_amount: {agg: mean, expression: amount + 0.01"),
        ("mean_amount: {agg: mean", "mean_amount: {filter: amount > 20, agg: mean"),
    ):
        assert old in FEATURES
        Path(file).write_text(before)
        write(file, r"^orders:\n.*", FEATURES.replace(old, wrong))
        code, text = check("200.2")
        assert code == 1, wrong
        assert "where the mean of the 30 days is" in text
    Path(file).write_text(before)
    write(file, r"^orders:\n.*", FEATURES)
    assert check("200.2") == (0, "200.2 is right")


def test_3_an_effect_of_customers() -> None:
    Path("conf/model").mkdir(exist_ok=True)
    model = Path("conf/model/regulars.yaml")
    for old, wrong, message in (
        ('    fixed: ["*.*"]\n', "", "visit.pages has no fixed effect"),
        ("{entity: customer}", "{entity: customer, features: [visit.pages]}", "a page adds"),
    ):
        assert old in MODEL
        model.write_text(MODEL.replace(old, wrong))
        code, text = check("200.3")
        if wrong and code == 0:
            continue  # a slope of pages beside the common one is a sound answer too
        assert (code, message in text) == (1, True), text
    model.write_text(MODEL)
    assert check("200.3") == (0, "200.3 is right")


def test_4_a_gate() -> None:
    config = Path("conf/config.yaml")
    before = config.read_text()
    assert check("200.4")[0] == 1
    for old, wrong in (("0.01", "0.001"), ("0.01", "0.02"), ("auc: {min_lift: 0.01}", "auc: {min: 0.6}")):
        config.write_text(before + GATE.replace(old, wrong))
        assert check("200.4")[0] == 1, wrong
    config.write_text(before + GATE)
    assert check("200.4") == (0, "200.4 is right")
    config.write_text(before)


def test_5_a_score() -> None:
    project = proml_kedro.open_project(".", "model=regulars")
    (code,) = (one for one in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
    known: dict[str, object] = {}
    exec(code.replace("print(", "found = ("), known)
    right = float(known["found"][0])  # type: ignore[index]
    assert project.spec.model.name == "regulars"
    assert check("200.5", f"{right:.4f}") == (0, "200.5 is right")
    for wrong in (right + 0.01, right - 0.01, 1 - right):
        assert check("200.5", f"{wrong:.4f}")[0] == 1


def test_6_a_live_version() -> None:
    code, text = check("200.6")
    assert (code, text.partition(":")[0]) == (1, "no version is live")
    command("run", "model=logistic")
    command("model", "register", "data/shop/logistic/bundle")
    command("model", "promote", "1", "--force", "--why", "to see")
    code, text = check("200.6")
    assert (code, text) == (1, "version 1 is live, of model logistic; make one of regulars live")
    command("run", "model=regulars")
    command("model", "register", "data/shop/regulars/bundle")
    command("model", "promote", "2", "--force", "--why", "to see")
    assert check("200.6") == (0, "200.6 is right")


def test_what_a_change_of_depth_computes_again() -> None:
    """What 300.5 says."""
    wanted = ("evaluation", "bundle")
    one = proml_kedro.open_project(".", "model=xgboost").run(results=wanted)
    other = proml_kedro.open_project(".", "model=xgboost", "model.components.trees.params.max_depth=3").run(
        results=wanted
    )
    new = {name for name in one if one[name].path.resolve() != other[name].path.resolve()}
    assert new == {"trained_model", "evaluation", "bundle"}
