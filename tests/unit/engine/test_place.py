"""Where an engine is: by configuration or environment, and what is wrong with it, before anything runs."""

from __future__ import annotations

import socket
from importlib.metadata import PackageNotFoundError

import pytest

from proml_kedro.engine.spark import place as module
from proml_kedro.engine.spark.place import check_engine, place_of
from proml_kedro.errors import UserError
from proml_kedro.spec.hardware import EngineSpec, HardwareSpec


def hardware(**engine: str) -> HardwareSpec:
    return HardwareSpec.model_validate({"threads": 1, "memory": "500MB", "engine": engine})


def test_without_an_engine_nothing_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_REMOTE", "sc://127.0.0.1:1")
    check_engine(HardwareSpec(threads=1, memory="500MB"))


@pytest.mark.parametrize(
    ("engine", "environment", "wanted"),
    [
        (EngineSpec(), {}, "Sail in this process"),
        (EngineSpec(), {"SPARK_REMOTE": "sc://localhost:7/;token=secret"}, "localhost:7"),
        (EngineSpec(kind="spark", url="sc://there"), {"SPARK_REMOTE": "sc://localhost:7"}, "there:15002"),
        (EngineSpec(kind="spark"), {"SPARK_REMOTE": "sc://[::1]:7"}, "::1:7"),
    ],
)
def test_the_place_is_that_of_configuration_or_environment(
    engine: EngineSpec, environment: dict[str, str], wanted: str
) -> None:
    assert place_of(engine, environment).in_words == wanted


def test_spark_without_an_address_is_refused() -> None:
    with pytest.raises(UserError, match=r"hardware\.engine\.url: is missing; write url: sc://host:15002"):
        place_of(EngineSpec(kind="spark"), {})


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ({"kind": "spark", "url": "spark://host:7077"}, "must be of the form sc://host:15002"),
        ({"kind": "spark", "url": "sc://host:15002/;token=abc"}, "must hold no token"),
        ({"kind": "sail", "url": "sc://host:15002"}, "is for kind: spark"),
        ({"kind": "dask"}, "sail"),
    ],
)
def test_wrong_engines_are_refused(engine: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EngineSpec.model_validate(engine)


def test_an_unencrypted_connection_to_another_machine_is_refused() -> None:
    with pytest.raises(UserError, match=r"hardware\.engine\.url: 10\.1\.2\.3 is another machine.*add ;use_ssl=true"):
        check_engine(hardware(kind="spark", url="sc://10.1.2.3:15002"))


def test_a_place_that_does_not_answer_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"nothing answers at 127.0.0.1:{port}"):
            check_engine(hardware(kind="spark", url=f"sc://127.0.0.1:{port}"))


@pytest.mark.parametrize(("package", "found"), [("pyspark-client", "4.3.0"), ("pysail", "0.8.1"), ("pysail", "0.70.0")])
def test_other_versions_are_refused(package: str, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"pyspark-client": "4.2.0", "pysail": "0.7.2", package: found}
    monkeypatch.setattr(module, "version", versions.__getitem__)
    with pytest.raises(UserError, match=rf"hardware\.engine: needs {package} .*, and {found} is installed"):
        check_engine(hardware(kind="sail"))


def test_a_missing_extra_is_said_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(module, "version", version)
    with pytest.raises(UserError, match=r"install proml_kedro\[spark\], or choose hardware=cpu") as error:
        check_engine(hardware(kind="sail"))
    assert len(error.value.mistakes) == 1
