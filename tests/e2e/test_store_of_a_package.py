"""An online store of a user's installed package: named in YAML, filled, read, pushed to, checked and served from."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

PACKAGES = Path(__file__).parents[1] / "packages"
SCRIPT = Path(__file__).with_name("use_store_of_a_package.py")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed packages with the store in it, as an installer leaves it."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(PACKAGES / "jsonfolder.py", folder)
    info = folder / "shop_stores-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shop-stores\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[proml_kedro.online_stores]\njsonfolder = jsonfolder:JSONFolderKind\n")
    (info / "RECORD").write_text("jsonfolder.py,,\n")
    return folder


def run(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=600, check=False
    )


@pytest.mark.slow
def test_it_keeps_the_law(site: Path, tmp_path: Path) -> None:
    law = (
        "from proml_kedro.testing import check_online_store, check_two_writers\n"
        "from pathlib import Path\n"
        "if __name__ == '__main__':\n"
        f"    at = ('jsonfolder', 'jsonfolder://{tmp_path}/online', Path({str(tmp_path)!r}))\n"
        "    check_online_store(*at)\n"
        "    check_two_writers(*at)\n"
    )
    (tmp_path / "law.py").write_text(law)
    done = run(site, str(tmp_path / "law.py"))
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_it_is_used_from_yaml_with_no_file_of_ours_touched(site: Path, shop: Any, tmp_path: Path) -> None:
    folder = tmp_path / "online"
    shop.edit("conf/config.yaml", "config_version: 1", f"config_version: 1\nonline_store: jsonfolder://{folder}")
    shop.environment = {"PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])}
    done = shop.run("--pipelines=features,materialize")
    assert done.returncode == 0, done.stderr
    consistency = json.loads((shop.result("consistency") / "consistency.json").read_text())
    assert (consistency["mismatches"], consistency["features"]) == (0, 3)
    assert consistency["present"] > 100
    assert len(list((folder / "shop" / "orders").glob("*.json"))) > 50
    assert not list(shop.data.rglob("online.db")), "nothing fell back to SQLite"
    used = run(site, str(SCRIPT), str(shop.conf), str(shop.data))
    assert used.returncode == 0, used.stderr
    found = json.loads(used.stdout.splitlines()[-1])
    assert found["got"]["orders.spent_all"]["state"] == "good"
    assert found["pushed"] == "orders: 1 row\n"
    assert found["after"]["orders.spent_all"]["value"] == 123456.5
    assert found["late"] == "orders: 1 row, 1 of them older than what is there\n"
    assert found["check"] == 1, "what was pushed is in no feature table"
    assert found["served"] == pytest.approx(found["expected"], abs=1e-12)
    assert found["served"] != pytest.approx(found["without"], abs=1e-6), "what was looked up counts"
    assert "shop-stores==1.0" in found["pins"]


def test_a_setting_that_it_refuses_is_a_mistake_of_its_line(site: Path, shop: Any) -> None:
    shop.edit("conf/config.yaml", "config_version: 1", "config_version: 1\nonline_store: jsonfolder://here")
    shop.environment = {"PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])}
    done = shop.run()
    assert done.returncode == 2
    assert "online_store: 'jsonfolder://here' names no folder; write jsonfolder:///FOLDER" in done.stderr
