"""Exercises with a number or a letter: the right answer, computed otherwise, is accepted, and wrong ones are not."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats
from sklearn.metrics import accuracy_score, ndcg_score

from proml_kedro.academy import EXERCISES
from proml_kedro.academy.exercise import Choice, Number
from proml_kedro.cli import cli
from proml_kedro.errors import UserError
from proml_kedro.evaluation.significance import holm

DOCS = Path(__file__).parents[3] / "docs" / "academy"


def never() -> float:
    label = np.repeat([1, 0], [5, 95])
    return 100 * accuracy_score(label, np.zeros(100))


def parts_below() -> float:
    """How many of 20 equal comparisons have a p below .05, on average over many tables."""
    values = np.random.default_rng(1).normal(size=(20_000, 20))
    return float((2 * stats.norm.sf(np.abs(values)) < 0.05).sum(axis=1).mean())


def calibrated() -> float:
    return float((np.random.default_rng(2).random((4000, 1000)) < 0.3).sum(axis=1).mean())


def shrinkage() -> float:
    """The regression of true effects on means of four rows, in a simulation."""
    generator = np.random.default_rng(3)
    effects = generator.normal(size=400_000)
    means = effects + generator.normal(scale=2 / math.sqrt(4), size=len(effects))
    return float(np.polyfit(means, effects, 1)[0])


def worth() -> float:
    """The number of independent rows whose mean varies as much, by the covariance matrix of one cluster."""
    rows, correlation = 300, 0.05
    covariance = np.full((rows, rows), correlation) + (1 - correlation) * np.eye(rows)
    return float(1 / (covariance.sum() / rows**2 / 30))


def third() -> float:
    gain = np.zeros((1, 10))
    gain[0, 2] = 1
    return float(ndcg_score(gain, -np.arange(10.0)[None], k=10))


COMPUTED = {
    "100.1": never,
    "100.3": calibrated,
    "100.7": parts_below,
    "300.1": shrinkage,
    "300.2": lambda: 0.02 / 8**-0.6,
    "300.3": worth,
    "300.6": lambda: holm([0.2, 0.02, 0.01, 0.03])[1],
    "300.7": third,
}
LETTERS = {"100.2": "c", "100.4": "c", "100.5": "b", "100.6": "b", "300.4": "b", "300.5": "c"}


def check(number: str, *answer: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["academy", "check", number, *answer])
    return done.exit_code, done.output


def test_every_exercise_of_numbers_and_letters_is_here() -> None:
    assert {number for number, one in EXERCISES.items() if isinstance(one, Number)} == set(COMPUTED)
    assert {number for number, one in EXERCISES.items() if isinstance(one, Choice)} == set(LETTERS)


@pytest.mark.parametrize("number", COMPUTED)
def test_the_right_number_is_accepted_and_others_are_not(number: str) -> None:
    value = COMPUTED[number]()
    assert check(number, f"{value:.4g}") == (0, f"{number} is right\n")
    for wrong in (value * 1.2, value * 0.8, -value, 2 * value + 1):
        code, text = check(number, "--", f"{wrong:.6g}")
        assert code == 1, wrong
        assert text.strip() == EXERCISES[number].hint  # type: ignore[attr-defined]


@pytest.mark.parametrize("number", LETTERS)
def test_the_right_letter_is_accepted_and_each_other_one_has_a_hint(number: str) -> None:
    assert check(number, LETTERS[number].upper()) == (0, f"{number} is right\n")
    wrong = set("abc") - {LETTERS[number]}
    assert len({check(number, one) for one in wrong}) == 2
    assert {check(number, one)[0] for one in wrong} == {1}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("100.9",), "no exercise '100.9'"),
        (("100.1",), "say your answer: kedro academy check 100.1 ANSWER"),
        (("100.1", "many"), "'many' is no number, such as 0.25"),
        (("100.1", "nan"), "'nan' is no number"),
        (("100.2", "d"), "no answer 'd'"),
        (("200.1", "5"), "200.1 takes no answer: your project is it"),
    ],
)
def test_what_is_no_answer_is_a_mistake(words: tuple[str, ...], message: str) -> None:
    code, text = check(*words)
    assert code == 2
    assert message in text


def test_an_exercise_of_a_project_needs_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, text = check("200.1")
    assert code == 2
    assert "`proml_kedro new shop && cd shop` makes one" in text
    with pytest.raises(UserError, match="stand in the project's folder"):
        list(EXERCISES["200.5"].judge("0.5", None))


def test_the_pages_ask_each_exercise_once_and_hide_its_answer() -> None:
    for course in (100, 200, 300):
        text = (DOCS / f"{course}.md").read_text()
        asked = re.findall(r"\*\*Exercise (\d+\.\d+)\.\*\*", text)
        assert asked == [one for one in EXERCISES if one.startswith(str(course))]
        for part in text.split("**Exercise ")[1:]:
            shown, answer = part.split("<details markdown><summary>Answer</summary>")
            number = shown[:5]
            expected = LETTERS.get(number) or number in COMPUTED
            if expected:
                first = answer.strip().split()[0].rstrip(".:,")
                assert check(number, first)[0] == 0, f"{number}: the page answers {first}"


def test_exercises_are_listed() -> None:
    listed = CliRunner().invoke(cli, ["academy", "list"])
    assert [line.split()[0] for line in listed.output.splitlines()] == list(EXERCISES)
