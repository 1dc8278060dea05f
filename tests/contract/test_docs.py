"""What the documentation shows is what works."""

import ast
import contextlib
import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import api
import proml_kedro
from import_contracts import read_faces
from proml_kedro import extensions
from proml_kedro.extensions import components, producers
from proml_kedro.testing import check_component, check_producer
from source_code import MovedError, Symbol

ROOT = Path(__file__).parents[2]


def blocks(file, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / file).read_text(), re.DOTALL)


def test_the_component_of_the_how_to_obeys_the_laws(tmp_path):
    source = blocks("how-to/add-a-component.md", "python")[0]
    assert "frequency" not in components.names()
    with components.temporary("nothing", None):  # what is registered inside goes with it
        exec(compile(source, "add-a-component.md", "exec"), {"__name__": "my_components"})
        check_component({"kind": "frequency", "inputs": ["shop.city"]}, tmp_path)
    assert "frequency" not in components.names()


def test_the_producer_of_the_how_to_obeys_the_laws(tmp_path):
    source = next(one for one in blocks("how-to/add-a-component.md", "python") if "producers.register" in one)
    with producers.temporary("nothing", None):
        exec(compile(source, "add-a-component.md", "exec"), {"__name__": "my_producers"})
        check_producer({"kind": "distance", "order": 1}, tmp_path)


@pytest.mark.parametrize(
    "script",
    ["docs/reference/generate.py", *(f"tools/{one}.py" for one in ("architecture", "benchmarks", "api", "recording"))],
)
def test_what_is_generated_is_up_to_date(script):
    done = subprocess.run([sys.executable, ROOT / script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_links_between_documents_lead_somewhere():
    for file in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob(".github/**/*.md"),
        *ROOT.glob("benchmarks/*.md"),
    ]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", file.read_text()):
            assert (file.parent / target).exists(), f"{file.name}: {target}"


def test_modules_and_names_in_documents_exist():
    groups = {registry.group for registry in vars(extensions).values() if isinstance(registry, extensions.Registry)}
    for file in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *ROOT.glob("docs/**/*.md")]:
        for place in set(re.findall(r"proml_kedro(?:\.\w+)+", file.read_text())) - groups:
            parts = place.split(".")[1:]
            for split in range(len(parts), 0, -1):
                with contextlib.suppress(MovedError):
                    Symbol(".".join(parts[:split]), ".".join(parts[split:])).docstring()
                    break
            else:
                assert hasattr(proml_kedro, parts[0]), f"{file.name}: {place}"


def test_every_registry_has_a_law_and_an_example_and_every_entry_says_what_it_is():
    page = (ROOT / "docs/reference/extensions.md").read_text()
    for section in page.split("\n## ")[1:]:
        name = section.partition("\n")[0]
        if "\n| `" not in section and name != "layers":
            continue  # nothing is in it yet
        assert "Law: `check_" in section, f"{name} has no law in proml_kedro.testing"
        assert f"@{name}.register" in section.partition("```python")[2] or "has the smallest one" in section, name
        assert " |  |" not in section, f"an entry of {name} has no docstring"


def test_every_public_name_says_what_it_is():
    """A name of a face is a module with a docstring, or something that its package has described."""
    without = []
    for module, names in read_faces(ROOT / "src" / "proml_kedro", "proml_kedro").items():
        folder = ROOT / "src" / module.replace(".", "/")
        for name in names:
            inside = next((one for one in (folder / f"{name}.py", folder / name / "__init__.py") if one.exists()), None)
            text = ast.get_docstring(ast.parse(inside.read_text())) if inside else docstring(module, name)
            if not text:
                without.append(f"{module}.{name}")
    assert without == []


def docstring(module, name):
    """What stands below a class or function, or below the assignment of a value."""
    value = getattr(import_module(module), name)
    if inspect.isclass(value) or inspect.isroutine(value):
        return inspect.getdoc(value)
    return name.isupper() or hasattr(value, "__doc__")


def test_the_page_of_python_describes_every_method_of_what_it_shows():
    text = api.PAGE.read_text()
    for module, names in api.FACES.items():
        for name in names:
            thing = getattr(import_module(module), name)
            assert f"\n## `{name}`\n" in text
            for method in api.public_methods(thing) if inspect.isclass(thing) else ():
                assert re.search(rf"\n### `{name}\.{method}(\(\))?`\n\n", text), f"{name}.{method}"


def test_every_message_that_is_explained_is_one_of_ours():
    """Each fixed part of a quoted message is in the text of the source."""
    source = " ".join(
        part
        for file in (ROOT / "src" / "proml_kedro").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for part in [node.value]
    )
    quoted = re.findall(r"^### `(.+)`$", (ROOT / "docs/how-to/understand-errors.md").read_text(), re.MULTILINE)
    assert len(quoted) >= 10
    for message in quoted:
        for part in re.split(
            r"…|\. Did you mean|; make it with|text|int64|conf/config.yaml|kedro run \S+ fills", message
        ):
            words = part.strip(" '`;:.?")
            assert words in source, f"{message}: '{words}'"
