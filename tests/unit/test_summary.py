"""What a run proposes to do next is what was typed, and more."""

from __future__ import annotations

import sys

import pytest

from proml_kedro import summary


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("kedro run", "kedro workspace"),
        ("kedro run model=logistic seed=3", "kedro workspace model=logistic seed=3"),
        ("kedro run --pipelines=features,train --runner ThreadRunner", "kedro workspace"),
        (
            "kedro run --env prod --conf-source=my/conf data_dir=out",
            "kedro workspace --env prod --conf-source=my/conf data_dir=out",
        ),
        ("kedro run -e prod --params seed=3", "kedro workspace -e prod seed=3"),
        ("pytest tests", "kedro workspace"),
    ],
)
def test_the_workspace_of_a_run(monkeypatch: pytest.MonkeyPatch, typed: str, expected: str) -> None:
    monkeypatch.setenv("VIRTUAL_ENV", "/somewhere")
    monkeypatch.setattr(sys, "argv", typed.split())
    assert summary._workspace() == expected
