"""A result is stale when code or a library that it rests on has changed, and only then."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from proml_kedro.extensions import components, metrics
from proml_kedro.imports import ImportIndex, find_imports
from proml_kedro.source_code import SourceTree, code_fingerprint, extension_fingerprint
from proml_kedro.spec import ModelSpec
from proml_kedro.spec.model import spec_of
from proml_kedro.workflow.code import model_code, own_code, own_code_of
from small import make_config

SRC = Path(__file__).parents[2] / "src"
LIBRARIES = {
    "keras": "keras",
    "numba": "numba",
    "numpy": "numpy",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "tensorflow": "tensorflow",
    "xgboost": "xgboost",
}


def closure(*names: str) -> set[str]:
    tree = SourceTree(SRC, "proml_kedro", ImportIndex(None))
    return {one.removeprefix("proml_kedro.") for one in tree.closure(f"proml_kedro.{name}" for name in names)}


@pytest.mark.parametrize("name", ["no_such", "features.no_such", "features.tables.read.read_tables"])
def test_an_unknown_module_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match=f"no module 'proml_kedro.{name}'"):
        code_fingerprint(name)


def test_a_module_rests_on_what_it_imports() -> None:
    found = closure("features.tables.read")
    assert {"features.tables.read", "features.tables", "features", "engine.duckdb", "errors"} <= found
    assert not [one for one in found if one.startswith(("models", "features.feast", "config"))]
    assert {one for one in closure("features.tables") if one.startswith("features.tables.")} >= {
        "features.tables.csv",
        "features.tables.files",
    }


def test_names_in_quotes_and_imports_on_demand_count() -> None:
    assert {"features.feast.offline_store", "features.feast.online_store"} <= closure("features.feast.repository")
    assert "bundle.bundle" in closure("serving.scorer"), "the face of bundle imports it when it is asked for"


def test_kinds_do_not_rest_on_each_other() -> None:
    assert not [one for one in closure("models.graph", "models.xgboost.component") if one.startswith("models.mixed")]
    assert "models.mixed.memory.kernels.rows" in closure("models.mixed.component")


METADATA = "Metadata-Version: 2.1\n"

SOURCE = """
import a.b, c as d
from a import (
    e,
    f as g,
)
from . import beside
from .near import x
from ..up import y
if TYPE_CHECKING:
    import for_types
else:
    import not_for_types
def function():
    try:
        import deferred
    except ImportError:
        from handler import z
    with open("w") as w: import one_line
    match w:
        case 1:
            import in_a_case
place = "some.dotted.Name"
async def other():
    for _ in w:
        import in_a_loop
"""


def test_every_import_is_found() -> None:
    found = set(find_imports(SOURCE.encode(), "top.package"))
    assert found >= {
        "a.b", "c", "a.e", "a.f", "top.package.beside", "top.package.near.x", "top.up.y", "not_for_types", "deferred",
        "handler.z", "one_line", "in_a_case", "some.dotted.Name", "in_a_loop",
    }  # fmt: skip
    assert "for_types" not in found
    lazy = "if typing.TYPE_CHECKING:\n    import on_demand\ndef __getattr__(name): ..."
    assert "on_demand" in set(find_imports(lazy.encode(), "top"))
    assert list(find_imports(b"not python (", "top")) == []


@pytest.mark.parametrize(
    "damage", [None, "", "[]", "{}", '{"format": 1, "imports": 3}', '{"format": 0, "imports": {}}']
)
def test_imports_are_remembered(tmp_path: Path, damage: str | None) -> None:
    file = tmp_path / "new" / "imports.json"
    names = ["proml_kedro.errors", "proml_kedro.atomic"]
    first = SourceTree(SRC, "proml_kedro", ImportIndex(file)).closure(names)
    if damage is not None:
        file.write_text(damage)
    assert SourceTree(SRC, "proml_kedro", ImportIndex(file)).closure(names) == first
    assert json.loads(file.read_text())["imports"]


def test_what_is_remembered_belongs_to_a_source(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import b")
    (tmp_path / "b.py").write_text("")
    (tmp_path / "c.py").write_text("")
    file = tmp_path / "imports.json"
    assert set(SourceTree(tmp_path, "", ImportIndex(file)).closure(["a"])) == {"a", "b"}
    (tmp_path / "a.py").write_text("import c")
    assert set(SourceTree(tmp_path, "", ImportIndex(file)).closure(["a"])) == {"a", "c"}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package with a kind of component, which is not imported here."""
    place = tmp_path / "site-packages"
    folder = place / "their_package"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "component.py").write_text(COMPONENT)
    (folder / "helper.py").write_text(
        "def factor():\n    from their_package.sub import deeper\n    return deeper.TWO\n"
    )
    (folder / "sub").mkdir()
    (folder / "sub" / "__init__.py").write_text("")
    (folder / "sub" / "deeper.py").write_text("TWO = 2\n")
    (folder / "unrelated.py").write_text("")
    (place / "neighbour.py").write_text("")
    info = place / "their_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\nRequires-Dist: numba>=0.1\n"
    )
    (info / "entry_points.txt").write_text("[proml_kedro.components]\ntheirs = their_package.component:Theirs\n")
    monkeypatch.syspath_prepend(str(place))
    return folder


COMPONENT = """
import neighbour
from typing import Literal
from proml_kedro.models.logistic.component import Logistic
from proml_kedro.models.logistic.spec import LogisticSpec
from .helper import factor

class Theirs(Logistic):
    class Spec(LogisticSpec):
        kind: Literal["theirs"]
"""
EDITS = [("helper.py", True), ("sub/deeper.py", True), ("component.py", True), ("unrelated.py", False)]


@pytest.mark.parametrize(("file", "matters"), [*EDITS, ("../neighbour.py", False)])
def test_an_extension_rests_on_what_it_imports_of_its_own_package(package: Path, file: str, matters: bool) -> None:
    before = extension_fingerprint("their_package.component")
    with (package / file).open("a") as stream:
        stream.write("# edited\n")
    assert (extension_fingerprint("their_package.component") != before) == matters


def test_modules_beside_an_extension_of_the_project_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my_kind.py").write_text("import my_helper, json\n")
    (tmp_path / "my_helper.py").write_text("")
    before = extension_fingerprint("my_kind")
    (tmp_path / "my_helper.py").write_text("# edited")
    assert extension_fingerprint("my_kind") != before


PRINT_DIGEST = """
import json, sys
from proml_kedro.spec import RunSpec
from proml_kedro.workflow.recipes import recipes_of
run = RunSpec.model_validate(json.load(sys.stdin))
recipes = recipes_of(run)
print(recipes["trained_model"].digest, recipes["training_set"].digest)
"""


def digests(package: Path, config: dict[str, Any]) -> list[str]:
    """Of the model and of the training set, by a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    done = subprocess.run(
        [sys.executable, "-c", PRINT_DIGEST], input=json.dumps(config), capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_model_is_stale_when_a_helper_of_its_kind_is_edited(package: Path) -> None:
    config = make_config()
    config["model"]["components"] = {"trees": {"kind": "theirs", "inputs": ["*"]}}
    before = digests(package, config)
    (package / "unrelated.py").write_text("# edited")
    assert digests(package, config) == before
    (package / "sub" / "deeper.py").write_text("TWO = 3\n")
    model, training_set = digests(package, config)
    assert model != before[0]
    assert training_set == before[1]


class Wish(BaseModel):
    """A part of a configuration that names metrics."""

    metrics: list[str]


def test_an_extension_of_any_registry_counts_where_it_is_named(package: Path) -> None:
    gini = type("Gini", (), {"__module__": "their_package.helper"})
    with metrics.temporary("gini", gini):
        before = own_code(Wish(metrics=["auc", "gini"]))
        assert list(before) == ["metric gini"]
        assert own_code(Wish(metrics=["auc"]), None) == {}
        assert own_code_of(Wish(metrics=["gini"])) == {"own_code": before}
        (package / "unrelated.py").write_text("# edited")
        assert own_code(Wish(metrics=["gini"])) == before
        (package / "sub" / "deeper.py").write_text("TWO = 3\n")
        assert own_code(Wish(metrics=["gini"])) != before
    assert own_code_of(Wish(metrics=["gini"])) == {}


def models() -> dict[str, ModelSpec]:
    mixed = {"kind": "mixed", "inputs": ["visit.price"], "random_effects": [{"entity": "shop"}]}
    specs = {"mixed": mixed, "xgboost": {"kind": "xgboost", "inputs": ["*"]}}
    return {
        name: ModelSpec.model_validate({"name": name, "components": {"one": spec}, "score": "one"})
        for name, spec in specs.items()
    }


def test_a_library_of_another_version_makes_those_stale_that_rest_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: Path
) -> None:
    specs = models()

    def fingerprints() -> dict[str, str]:
        code_fingerprint.cache_clear()
        return {name: code_fingerprint(*model_code(spec)) for name, spec in specs.items()}

    before, theirs = fingerprints(), extension_fingerprint("their_package.component", requires=["numba"])
    info = tmp_path / "other" / "numba-99.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"{METADATA}Name: numba\nVersion: 99.0\n")
    monkeypatch.syspath_prepend(str(info.parent))
    after = fingerprints()
    assert after["mixed"] != before["mixed"]
    assert after["xgboost"] == before["xgboost"]
    assert extension_fingerprint("their_package.component", requires=["numba"]) != theirs
    monkeypatch.undo()
    assert fingerprints() == before


@pytest.mark.parametrize("kind", ["constant", "deep", "linear", "logistic", "mixed", "xgboost"])
def test_a_kind_names_the_libraries_that_it_imports(kind: str) -> None:
    module = components.modules()[kind].removeprefix("proml_kedro.")
    imported: set[str] = set()
    for name in closure(module):
        place = SRC.joinpath("proml_kedro", *name.split("."))
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if name.startswith("models."):
            imported |= {one.partition(".")[0] for one in find_imports(file.read_bytes(), "x")}
    assert {LIBRARIES[one] for one in imported & set(LIBRARIES)} == set(spec_of(kind).requires)


def test_an_extension_that_says_nothing_needs_what_its_package_declares(package: Path) -> None:
    script = "from proml_kedro.extensions import components as c; print(c.required_by('theirs'), c.modules()['theirs'])"
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == "('numba',) their_package.component\n"
