"""The project as a wheel: whole, without secrets, and running where there is no checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy in which somebody has left credentials."""
    copy = tmp_path_factory.mktemp("copy")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    for secret in ("conf/local/credentials.yml", "conf/env/credentials.yml", "conf/env/mine.yaml"):
        (copy / secret).write_text("password: secret\n")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel"], cwd=copy, check=True, timeout=600)
    return next((copy / "dist").glob("*.whl"))


def test_the_wheel_has_the_shipped_files_and_no_secrets(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert not any(b"secret" in archive.read(name) for name in names if "conf/" in name)
    for name in ("conf/config.yaml", "conf/model/xgboost.yaml", "bentos/scorer/service.py", "py.typed", "__main__.py"):
        assert f"proml_kedro/{name}" in names
    assert {f"proml_kedro/workspace/static/{one}" for one in ("index.html", "style.css", "app.js")} <= set(names)
    assert not [name for name in names if name.startswith(("proml_kedro/conf/env", "proml_kedro/conf/local", "tests"))]
    # The template of `proml_kedro new` has a `conf/local` of its own, empty.
    local = [name for name in names if "conf/local/" in name]
    assert local == ["proml_kedro/commands/template/conf/local/dot_gitkeep.in"]


def test_it_runs_where_there_is_no_checkout(wheel, shop, tmp_path):
    """All the way to a checked Bento, which needs the files of the service."""
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # Without the site packages' own link to the checkout, so that the wheel is what is imported.
    environment = {**os.environ, "PYTHONPATH": str(site)}
    where = subprocess.run(
        [sys.executable, "-c", "import proml_kedro; print(proml_kedro.__file__)"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert where.stdout.startswith(str(site))
    command = [sys.executable, "-m", "proml_kedro", "run", "--conf-source", str(shop.conf), f"data_dir={shop.data}"]
    command.append("--pipelines=features,train,evaluate,package")
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert (shop.result("bento") / "bento.yaml").is_file()
