"""What `kedro workspace` shows of a project, and how it answers mistakes."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kedro_process import run_kedro
from proml_kedro.commands.workspace import ProjectSource
from proml_kedro.errors import UserError
from proml_kedro.workspace.definition import as_yaml


def source_of(project: Any) -> ProjectSource:
    return ProjectSource(str(project.conf), (f"data_dir={project.data}",))


def test_the_content_is_the_projects(read_project):
    content = source_of(read_project).load()
    assert len(content.market) == 8
    assert (content.results, content.notices, content.places.data_dir) == ([], [], str(read_project.data))
    [entry] = content.market.get("spending.amount_2h")
    assert as_yaml(entry, content.written("shop")) == (
        "spending:\n"
        "  key: [user, item]\n"
        "  source: {table: visits, event_time: seen_at, delay: 1h}\n"
        "  snapshot: 30m\n"
        "  owner: shop@example.com\n"
        "  features:\n"
        "    amount:\n"
        "      agg: mean\n"
        "      expression: amount\n"
        "      windows: [2h, all]\n"
        "      description: mean amount\n"
    )
    assert content.written("cafe") == {}


def test_declarations_of_every_problem(project):
    project.write("problem/cafe.yaml", (project.conf / "problem/shop.yaml").read_text())
    project.write("features/cafe.yaml", "visit: {source: request, features: {cups: {dtype: int}}}\n")
    content = source_of(project).load()
    [entry] = content.market.get("visit.cups")
    assert as_yaml(entry, content.written("cafe")) == (
        "visit:\n  source: request\n  features:\n    cups: {dtype: int}\n"
    )


def test_the_stamp_changes_with_the_configuration_and_the_results(project):
    source = source_of(project)
    stamps = [source.stamp()]
    assert source.stamp() == stamps[0]
    project.edit("features/shop.yaml", "list price", "price in the list")
    stamps.append(source.stamp())
    made = project.data / "store" / "made"
    made.mkdir(parents=True)
    link = project.data / "shop" / "trees" / "evaluation"
    link.parent.mkdir(parents=True)
    link.symlink_to(made)
    stamps.append(source.stamp())
    (project.data / "shop" / "feature_tables").symlink_to(made)
    stamps.append(source.stamp())
    assert len(set(stamps)) == 4
    assert source.load().market.get("price.price")[0].description == "price in the list"


def test_a_corrupt_result_is_left_out_and_named(project):
    for name in ("evaluation/importance.json", "training_set/training_set.json", "bundle/proml.yaml"):
        file = project.data / "shop" / "trees" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{")
    content = source_of(project).load()
    assert len(content.market) == 8
    assert len(content.notices) == 3
    assert all("cannot be read, and is left out" in notice for notice in content.notices)
    done = project.features("search", "--json", "price list")
    assert (done.exit_code, json.loads(done.stdout)["total"]) == (0, 1)
    assert len(done.stderr.splitlines()) == 3


def test_a_data_folder_that_cannot_be_written_to_keeps_nobody_from_reading(project):
    project.data.mkdir(exist_ok=True)
    (project.data / "features").write_text("in the way")
    done = project.features("search", "--json", "price list")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["total"] == 1
    assert len(source_of(project).load().market) == 8


@pytest.mark.parametrize(
    "content",
    [pytest.param(b"", id="emptied", marks=pytest.mark.slow), pytest.param(b"x" * 5000, id="no database")],
)
def test_a_damaged_index_is_made_anew(project, content):
    assert project.features("search", "price").exit_code == 0
    (file,) = (project.data / "features").glob("market-*.sqlite")
    file.write_bytes(content)
    done = project.features("search", "--json", "price list")
    assert (done.exit_code, json.loads(done.stdout)["total"]) == (0, 1), done.stderr
    assert len(file.read_bytes()) > 5000
    assert [one.name for one in file.parent.iterdir() if one.name.startswith(".")] == []


def test_a_mistake_in_the_configuration(project):
    project.edit("features/shop.yaml", "dtype: bool", "dtype: bol")
    with pytest.raises(UserError, match="bol"):
        source_of(project).load()


def test_mistakes_are_one_line_and_exit_code_2(project):
    def workspace(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run_kedro(["workspace", "--no-browser", "--conf-source", str(project.conf), *arguments], Path.cwd())

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = workspace("--port", str(port))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"option --port: port {port} is in use; try --port ")
    assert len(done.stderr.splitlines()) == 1
    done = workspace("--port", "0", "sed=1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "override 'sed=1': sed: unknown key. Did you mean 'seed'?\n"
