"""`kedro store`: what it lists, what it finds damaged, what it frees; each mistake is one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from proml_kedro import open_project
from proml_kedro.artifacts import Artifact
from proml_kedro.commands.store import make_group
from read_only import read_only
from without_rights import rights_hold


class Stored:
    """A project with a linked result, what that was made from, and one that nobody needs."""

    def __init__(self, project: Any) -> None:
        self.data, self._conf = project.data, project.conf
        opened = open_project(project.folder, f"data_dir={project.data}")
        self._store = opened.store()
        self.below = self._make("tables", 2000, {})
        self.linked = self._make("bundle", 500, {"tables": self.below})
        self.unneeded = self._make("bundle", 1500, {"number": 2})
        link = self.data / "shop" / "trees" / "bundle"
        link.parent.mkdir(parents=True)
        link.symlink_to(self.linked.path)
        del self._store

    def _make(self, name: str, size: int, inputs: dict[str, Any]) -> Artifact:
        made: Artifact = self._store.build(
            name, inputs, lambda folder: (folder / "file").write_bytes(bytes(size)) and None
        )
        self._store._again.clear()
        return made

    def __call__(self, *arguments: str) -> Result:
        words = [*arguments, f"data_dir={self.data}", "--conf-source", str(self._conf)]
        return CliRunner().invoke(make_group(), words)

    def place(self, made: Artifact) -> str:
        return f"{made.path.parent.name}/{made.path.name}"


@pytest.fixture
def stored(make_project: Callable[[Path], Any], tmp_path: Path) -> Stored:
    return Stored(make_project(tmp_path))


def test_results_are_listed_with_size_age_and_who_needs_them(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {one["place"]: one for one in json.loads(stored("list", "--json").stdout)}
    assert {place: one["size"] for place, one in found.items()} == {
        stored.place(stored.below): 2000,
        stored.place(stored.linked): 500,
        stored.place(stored.unneeded): 1500,
    }
    assert found[stored.place(stored.linked)]["needed_by"] == [str(stored.data / "shop" / "trees" / "bundle")]
    assert [one["needed"] for one in found.values()].count(False) == 1
    assert all(0 <= one["age"] < 600 for one in found.values())
    lines = stored("list").stdout.splitlines()
    assert next(line for line in lines if stored.place(stored.below) in line).endswith("results made from it")
    assert next(line for line in lines if stored.place(stored.unneeded) in line).endswith("nobody")
    assert lines[-1] == "3 results, 4.0 kB; nobody needs 1, 1.5 kB"
    monkeypatch.chdir(stored.data.parent)
    lines = stored("list").stdout.splitlines()
    wanted = str(Path(stored.data.name, "shop", "trees", "bundle"))
    assert next(line for line in lines if stored.place(stored.linked) in line).endswith(f"  {wanted}")


def test_who_may_only_read_looks_all_the_same(stored: Stored) -> None:
    commands = (["size"], ["gc", "--dry-run"], ["check"])
    before = [stored(*one).stdout.splitlines()[-1] for one in commands]
    with read_only(stored.data):
        assert [stored(*one).stdout.splitlines()[-1] for one in commands] == before
        found = json.loads(stored("list", "--json").stdout)
        assert [one["needed"] for one in found].count(False) == 1
        refused = stored("gc")
    assert refused.exit_code == 2
    assert refused.stderr.splitlines()[0].startswith("data_dir: cannot write to ")
    assert stored.unneeded.path.exists()


@pytest.mark.parametrize("place", ["store", "store/bundle"])
def test_who_may_not_look_is_told_so_and_not_that_all_is_well(stored: Stored, place: str) -> None:
    """Of a folder that nobody can look into nothing is known: neither that it is whole nor that it is empty."""
    folder = stored.data / place
    folder.chmod(0)
    try:
        with rights_hold():
            answers = [stored(*one) for one in (["check"], ["size"], ["list"], ["gc", "--dry-run"], ["repair"])]
    finally:
        folder.chmod(0o755)
    for one in answers:
        assert one.exit_code == 2, one.output
        (line,) = one.stderr.splitlines()
        assert "Permission denied; give this user the right to it" in line
        assert str(stored.data) in line


def test_sizes_are_summed_by_sort(stored: Stored) -> None:
    sizes = json.loads(stored("size", "--json").stdout)
    assert sizes == {"tables": {"count": 1, "size": 2000}, "bundle": {"count": 2, "size": 2000}}
    assert stored("size").stdout.splitlines()[-1].split() == ["in", "all", "3", "4.0", "kB"]


def test_a_dry_run_frees_nothing_and_says_what_would_go(stored: Stored) -> None:
    dry = stored("gc", "--dry-run")
    assert dry.stdout.splitlines()[-1] == "1 results would be freed, 1.5 kB"
    assert stored.unneeded.path.exists()
    done = stored("gc")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[0].startswith(stored.place(stored.unneeded))
    assert [one.path.exists() for one in (stored.below, stored.linked, stored.unneeded)] == [True, True, False]
    assert stored("gc").stdout == "0 results freed, 0 B\n"


def test_what_was_used_lately_can_be_kept(stored: Stored) -> None:
    assert stored("gc", "--older-than", "1h").stdout == "0 results freed, 0 B\n"
    assert stored.unneeded.path.exists()


def test_damage_ends_with_1_and_is_mended(stored: Stored) -> None:
    assert stored("check").stdout == "all is what was written\n"
    (stored.linked.path / "file").write_bytes(b"x" * 500)
    (stored.unneeded.path / "file").write_bytes(b"")
    found = stored("check")
    assert found.exit_code == 1
    assert [line.split(";")[0] for line in found.stdout.splitlines()] == [
        f"'file' of {one.path} is not what was written"
        for one in sorted((stored.linked, stored.unneeded), key=lambda one: one.path)
    ]
    mended = stored("repair")
    assert (mended.exit_code, mended.stdout.splitlines()[-1]) == (0, "2 repaired")
    assert [one.path.exists() for one in (stored.linked, stored.unneeded)] == [True, False]
    assert stored("check").exit_code == 0
    assert stored("repair").stdout == "all is what was written\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gc", "--older-than", "soon"], "option --older-than: "),
        (["gc", "--older-than", "-1d"], "option --older-than: "),
        (["check", "seed=x"], "override 'seed=x': seed: must be a whole number"),
        (["lost"], "No such command"),
    ],
)
def test_a_mistake_is_one_line(stored: Stored, arguments: list[str], message: str) -> None:
    done = stored(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    if arguments != ["lost"]:
        assert len(done.stderr.splitlines()) == 1


def test_before_the_first_run_there_is_nothing(make_project: Callable[[Path], Any], tmp_path: Path) -> None:
    project = make_project(tmp_path)
    words = ["size", f"data_dir={project.data}", "--conf-source", str(project.conf)]
    done = CliRunner().invoke(make_group(), words)
    assert done.exit_code == 2
    assert done.stderr == f"data_dir: there are no results in {project.data}: `kedro run` makes some\n"
