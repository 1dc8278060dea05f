"""The notebooks run from top to bottom, one after the other in one project; what they find is computed anew here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import jupytext
import pytest
from nbclient import NotebookClient

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
NAMES = sorted(one.stem for one in (ROOT / "notebooks").glob("[0-9]*.py"))


class Ran:
    """A notebook that was run.

    Attributes:
        values: Of the expressions that were asked for at its end.
        text: All that its cells have shown, as text.
        kinds: The kinds of output that there were.
    """

    def __init__(self, folder: Path, name: str, *expressions: str) -> None:
        book = jupytext.read(ROOT / "notebooks" / f"{name}.py")
        asked = ", ".join(f"{one!r}: {one}" for one in expressions)
        book.cells.append(jupytext.read_code(f"import json\nprint('ASKED', json.dumps({{{asked}}}, default=float))"))
        NotebookClient(book, timeout=600, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
        outputs = [one for cell in book.cells if cell.cell_type == "code" for one in cell.outputs]
        said = [one.get("text") or one.get("data", {}).get("text/plain", "") for one in outputs]
        self.text = "\n".join(said)
        self.values = json.loads(self.text.rpartition("ASKED ")[2])
        self.kinds = {kind for one in outputs for kind in one.get("data", {})}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project's configuration: notebooks write models beside it."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "conf", folder / "conf")
    (folder / "notebooks").mkdir()
    return folder
