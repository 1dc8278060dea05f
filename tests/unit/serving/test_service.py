"""What the Bento's service makes of ``bentoml serve`` and its options."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from proml_kedro.errors import UserError
from proml_kedro.serving.http.bento import Settings
from proml_kedro.serving.service import _settings

SOURCE = Path("/bento/src")


@click.command()
@click.argument("bento", default=".")
@click.option("--host", envvar="BENTOML_HOST")
@click.option("--port", type=int, envvar="BENTOML_PORT")
@click.option("--api-workers", type=int)
@click.option("--production", is_flag=True, default=True)
@click.option("--timeout", type=int)
@click.option("--reload", is_flag=True)
@click.option("--ssl-certfile")
def serve(**options: object) -> Settings:
    return _settings(SOURCE)


def asked(*arguments: str) -> Settings:
    found: Settings = serve.main(arguments, standalone_mode=False)
    return found


def test_it_listens_to_this_machine_unless_it_runs_in_a_container(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked() == _settings(SOURCE) == Settings(str(SOURCE), "127.0.0.1", 3000, None)
    assert asked("x", "--port", "0", "--api-workers", "3") == Settings(str(SOURCE), "127.0.0.1", 0, 3)
    monkeypatch.setenv("BENTOML_PORT", "4000")
    monkeypatch.setenv("BENTOML_CONTAINERIZED", "true")
    assert asked() == Settings(str(SOURCE), "0.0.0.0", 4000, None)
    assert asked("--host", "127.0.0.1").host == "127.0.0.1"
    monkeypatch.setenv("BENTOML_HOST", "::1")
    assert asked().host == "::1"


@pytest.mark.parametrize("options", [["--ssl-certfile", "x"], ["--reload"], ["--timeout", "3"]])
def test_what_would_be_ignored_is_refused(options: list[str]) -> None:
    with pytest.raises(UserError, match=f"^{options[0]}: is not for this Bento"):
        asked(*options)


def test_a_configuration_of_bentoml_would_be_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENTOML_CONFIG_OPTIONS", "api_server.ssl.enabled=true")
    with pytest.raises(UserError, match="BENTOML_CONFIG_OPTIONS: is not for this Bento"):
        asked()
