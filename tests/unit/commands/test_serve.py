"""`kedro serve`: what it serves when a problem is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from proml_kedro.commands.serve import serve_command


def test_the_models_that_have_a_bundle_are_named_where_the_configured_one_has_none(
    make_project: Callable[[Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(tmp_path)
    monkeypatch.chdir(project.folder)
    words = ["shop", f"data_dir={project.data}"]
    assert "has no bundle yet, at" in CliRunner().invoke(serve_command(), words).stderr
    (project.data / "shop" / "other" / "bundle").mkdir(parents=True)
    refused = CliRunner().invoke(serve_command(), words)
    assert refused.exit_code == 2
    assert "which is configured; write `kedro serve shop model=other`" in refused.stderr
