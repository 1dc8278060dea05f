"""What the documentation shows is what works."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from proml_kedro.extensions import components
from proml_kedro.testing import check_component

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
