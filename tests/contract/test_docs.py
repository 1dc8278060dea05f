"""What the documentation shows is what works."""

import re
import subprocess
import sys
from pathlib import Path

from proml_kedro.extensions import components, producers
from proml_kedro.testing import check_component, check_producer

ROOT = Path(__file__).parents[2]


def blocks(file, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / file).read_text(), re.DOTALL)


def test_the_component_of_the_how_to_obeys_the_laws(tmp_path):
    source = blocks("how-to/add-a-component.md", "python")[0]
    assert "frequency" not in components.names()
    try:
        exec(compile(source, "add-a-component.md", "exec"), {"__name__": "my_components"})
        check_component({"kind": "frequency", "inputs": ["shop.city"]}, tmp_path)
    finally:
        components._objects.pop("frequency", None)


def test_the_producer_of_the_how_to_obeys_the_laws(tmp_path):
    source = next(one for one in blocks("how-to/add-a-component.md", "python") if "producers.register" in one)
    try:
        exec(compile(source, "add-a-component.md", "exec"), {"__name__": "my_producers"})
        check_producer({"kind": "distance", "order": 1}, tmp_path)
    finally:
        producers._objects.pop("distance", None)


def test_the_reference_of_the_configuration_is_up_to_date():
    generated = subprocess.run(
        [sys.executable, str(ROOT / "docs/reference/generate.py")], capture_output=True, text=True, check=True
    ).stdout
    assert (ROOT / "docs/reference/configuration.md").read_text() == generated


def test_links_between_documents_lead_somewhere():
    for file in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", file.read_text()):
            assert (file.parent / target).exists(), f"{file.name}: {target}"
