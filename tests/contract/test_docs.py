"""What the documentation shows is what works."""

import contextlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import proml_kedro
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


@pytest.mark.parametrize("script", ["docs/reference/generate.py", "tools/architecture.py", "tools/benchmarks.py"])
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
