"""Feast is imported without its checks of types at run time, and nobody else's checks are lost."""

import subprocess
import sys

import pytest
import typeguard

import proml_kedro.features.feast  # noqa: F401

PROGRAM = """
import inspect
import proml_kedro.features.feast
import feast

checked = [
    f"{one.__name__}.{name}"
    for one in vars(feast).values() if inspect.isclass(one)
    for name, method in vars(one).items()
    if inspect.isfunction(method) and any(word.startswith("typeguard") for word in method.__code__.co_names)
]
print("checked:", checked)
"""


def double(number: int) -> int:
    return 2 * number


def triple(number: int) -> int:
    return 3 * number


triple.__module__ = "feast.entity"


def test_functions_of_feast_are_left_as_they_are_and_those_of_others_are_checked():
    assert typeguard.typechecked(double)(2) == 4
    with pytest.raises(typeguard.TypeCheckError):
        typeguard.typechecked(double)("two")
    with pytest.raises(typeguard.TypeCheckError):
        typeguard.typechecked(forward_ref_policy=typeguard.ForwardRefPolicy.ERROR)(double)("two")
    assert typeguard.typechecked(triple) is triple
    assert typeguard.typechecked(forward_ref_policy=typeguard.ForwardRefPolicy.ERROR)(triple) is triple


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "spared"), [(PROGRAM, True), (PROGRAM.replace("import proml_kedro.features.feast", ""), False)]
)
def test_feast_itself(program, spared):
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert ("checked: []" in done.stdout) is spared, done.stdout
