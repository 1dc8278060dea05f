"""What is freed is what nobody needs, by a search of our own; what is in use never is; damage is found and mended."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from proml_kedro.artifacts import Artifact, ArtifactStore, Recipe
from proml_kedro.bundle import Bundle
from proml_kedro.bundle.integrity import write_checksums
from proml_kedro.errors import UserError
from proml_kedro.result_folder import find_damage
from proml_kedro.serving.http.bento import Settings
from proml_kedro.spec import RunSpec
from proml_kedro.upkeep import Stored, find_all_damage, find_needs, free, may_go, repair, take_stock
from proml_kedro.workflow import Run
from small import make_bundle, make_config
from soaked import note

OLD, YOUNG = 10 * 86400, 3600


def make_run(folder: Path) -> Run:
    return Run.of(RunSpec.model_validate(make_config()), folder)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path)


def build(run: Run, name: str, inputs: dict[str, Any] | None = None, by_recipe: bool = True) -> Artifact:
    """A result, made by a process that is gone: nobody claims it."""
    given = {key: one for key, one in (inputs or {}).items() if isinstance(one, Artifact)}
    recipe = Recipe(name, {}, {key: Recipe(key, {}) for key in given}) if by_recipe else name
    store = ArtifactStore(run.store.data_dir)
    made = store.build(recipe, inputs or {}, lambda folder: (folder / "file").write_text(f"content of {name}") and None)
    store._again.clear()  # which leads back to the store, that is to go now
    return made


def link(run: Run, name: str, target: Path) -> None:
    place = run.store.data_dir / "shop" / name
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(target)


def places(found: Iterable[Stored]) -> set[str]:
    return {one.place for one in found}


def place_of(run: Run, made: Artifact) -> str:
    return made.path.relative_to(run.store.data_dir / "store").as_posix()


class RandomStore:
    """A store with random results, each made from some earlier ones, of which some are needed and some are old."""

    def __init__(self, folder: Path, order: random.Random) -> None:
        self.run = make_run(folder)
        self.made: list[Artifact] = []
        self.from_: list[list[int]] = []
        for number in range(order.randrange(3, 12)):
            chosen = order.sample(range(number), min(number, order.randrange(4)))
            inputs = {f"in_{one}": self.made[one] for one in chosen} | {"number": number}
            self.made.append(build(self.run, f"{order.choice('abc')}/kind_{number}", inputs, order.random() < 0.6))
            self.from_.append(chosen)
        numbers = range(len(self.made))
        self.old = {one for one in numbers if order.random() < 0.7}
        moment = time.time() - OLD
        for one in self.old:
            listing = self.made[one].path.with_suffix(".files")
            os.utime(listing, (moment, moment))
        self.linked, self.held, self.named, self.registered = (
            {one for one in numbers if order.random() < share} for share in (0.2, 0.1, 0.05, 0.05)
        )
        self.holder = ArtifactStore(folder / "data")
        self.yaml = folder / "conf.yaml"
        self._need(order)

    def _need(self, order: random.Random) -> None:
        for one in self.linked:
            inside = order.random() < 0.3
            link(self.run, f"link_{one}", self.made[one].path / ("file" if inside else ""))
        for one in self.held:
            self.holder.verify(self.made[one])
        self.yaml.write_text("\n".join(f"warm_start: {self.made[one].path}" for one in self.named))
        registry = self.run.store.data_dir / "feature_store" / "registry.db"
        registry.parent.mkdir()
        registry.write_bytes(b"\x00".join(os.fsencode(self.made[one].path) for one in self.registered))

    def expected(self, older_than: float) -> set[str]:
        """What stays, of what the test itself knows: each result is asked whether a needed one reaches it."""
        roots = self.linked | self.held | self.named | self.registered

        def reaches(start: int, goal: int) -> bool:
            return start == goal or any(reaches(one, goal) for one in self.from_[start])

        def stays(one: int) -> bool:
            return (older_than > 0 and one not in self.old) or any(reaches(root, one) for root in roots)

        return {place_of(self.run, self.made[one]) for one in range(len(self.made)) if stays(one)}


@pytest.mark.parametrize("rounds", [30, pytest.param(3000, marks=pytest.mark.soak)])
def test_what_is_freed_is_what_an_independent_search_does_not_reach(tmp_path: Path, rounds: int) -> None:
    order, freed = random.Random(rounds), 0
    for number in range(rounds):
        one = RandomStore(tmp_path / str(number), order)
        older_than = order.choice([0, YOUNG])
        expected, run = one.expected(older_than), one.run
        stock = take_stock(run.store)
        assert len(stock) == len(one.made)
        would = places(may_go(stock, find_needs(stock, run, [one.yaml]), older_than))
        gone = free(run, [one.yaml], older_than)
        assert places(gone) == would, "a dry run says what is freed"
        assert take_stock(run.store).keys() == expected == stock.keys() - would
        store = run.store.data_dir / "store"
        assert len(list(store.rglob("*.files"))) == len(expected)
        assert not [link for link in store.rglob("for-*") if not link.exists()]
        assert not list(run.store.data_dir.rglob(".*"))
        for place in expected:
            assert find_damage(store / place) is None
        freed += len(gone)
    assert freed > rounds, "some are freed in most rounds"
    if rounds > 30:
        note("Random stores: what is freed is what nobody needs", stores=rounds, results_freed=freed)


HOLD = """
import sys
from pathlib import Path
from proml_kedro.artifacts import ArtifactStore
store = ArtifactStore(Path(sys.argv[1]))
fill = lambda folder: (folder / "file").write_text("content of taken") and None
store.build("taken", {}, fill)
def write(folder):
    (folder / "file").write_text("x")
    print("writing", flush=True)
    sys.stdin.readline()
store.build("made", {}, write)
print("made", flush=True)
sys.stdin.readline()
"""


def test_nothing_that_another_process_uses_is_freed_until_it_is_gone(run: Run) -> None:
    taken, unused = build(run, "taken", by_recipe=False), build(run, "unused")
    assert (taken.path / "file").read_text() == "content of taken"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.store.data_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "writing\n"
        assert places(free(run, [])) == {place_of(run, unused)}
        process.stdin.write("go on\n")
        process.stdin.flush()
        assert process.stdout.readline() == "made\n", "what it was writing meanwhile is there"
        assert free(run, []) == []
        assert len(take_stock(run.store)) == 2
        process.send_signal(signal.SIGKILL)
    assert len(free(run, [])) == 2, "a killed process uses nothing"
    assert not list(run.store.data_dir.rglob("*.files"))


def test_what_was_found_damaged_while_it_is_used_is_not_taken_away(run: Run) -> None:
    made = build(run, "x")
    reader, finder = (ArtifactStore(run.store.data_dir) for _ in range(2))
    reader.verify(made)
    (made.path / "file").write_text("Content of x")
    assert not finder.holds(made)
    del finder
    assert find_damage(made.path) is not None
    assert free(run, []) == []
    assert (made.path / "file").exists()
    del reader
    assert places(free(run, [])) == {place_of(run, made)}


def test_what_a_run_takes_over_while_others_are_freed_stays(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the search for what is in use and the removal."""
    made, other = build(run, "x"), build(run, "y")
    store, search = ArtifactStore(run.store.data_dir), find_needs

    def search_and_then(*arguments: Any) -> Any:
        found = search(*arguments)
        store.verify(made)
        return found

    monkeypatch.setattr("proml_kedro.upkeep.unneeded.find_needs", search_and_then)
    assert places(free(run, [])) == {place_of(run, other)}
    assert store.holds(made)


def test_a_record_of_a_run_tells_when_a_result_was_used_last(run: Run) -> None:
    from proml_kedro.workflow.recording import Recording

    made = build(run, "x")
    moment = time.time() - OLD
    os.utime(made.path.with_suffix(".files"), (moment, moment))
    assert [time.time() - one.used_last > YOUNG for one in take_stock(run.store).values()] == [True]
    recording = Recording.begin(run, "kedro run", [])
    recording.results["x"] = made
    recording.complete()
    assert [time.time() - one.used_last > YOUNG for one in take_stock(run.store).values()] == [False]


def test_checkpoints_go_unless_a_run_works_on_them(run: Run) -> None:
    store = ArtifactStore(run.store.data_dir)

    def stop(folder: Path, checkpoints: Path) -> None:
        checkpoints.mkdir()
        (checkpoints / "half").write_text("x")
        assert free(run, []) == []
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.build_resumably("long", {}, stop)
    (gone,) = free(run, [])
    assert gone.sort == "unfinished"
    assert not list((run.store.data_dir / "store" / "long").iterdir())


def test_where_files_cannot_be_locked_nothing_is_freed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError("no locks")

    made = build(run, "x")
    monkeypatch.setattr("fcntl.flock", refuse)
    for attempt in (lambda: free(run, []), lambda: find_needs(take_stock(run.store), run, [])):
        with pytest.raises(UserError, match="files cannot be locked in") as caught:
            attempt()
        assert "\n" not in str(caught.value)
    assert made.path.exists()


DAMAGES = {
    "flipped": lambda made: (made.path / "file").write_bytes(b"Content of x"),
    "emptied": lambda made: (made.path / "file").write_bytes(b""),
    "deleted": lambda made: (made.path / "file").unlink(),
    "listing damaged": lambda made: made.path.with_suffix(".files").write_text("{"),
    "listing emptied": lambda made: made.path.with_suffix(".files").write_text(""),
    "record damaged": lambda made: made.path.with_suffix(".made").write_text("{"),
}


@pytest.mark.parametrize("is_linked", [True, False])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damage_is_found_and_mended_by_the_next_run(run: Run, damage: Any, is_linked: bool) -> None:
    made, other = build(run, "x"), build(run, "y")
    if is_linked:
        link(run, "x", made.path)
    assert list(find_all_damage(run)) == []
    damage(made)
    found = list(find_all_damage(run))
    assert [one.folder for one in found] == [made.path]
    assert str(made.path) in found[0].what
    stock = take_stock(run.store)
    repair(found, frozenset(stock[place].folder for place in find_needs(stock, run, []).needed))
    assert list(find_all_damage(run)) == []
    assert made.path.exists() == is_linked, "what a link leads to stays until it is made anew"
    assert find_damage(other.path) is None
    again = build(run, "x")
    assert again == made
    assert find_damage(made.path) is None
    assert (made.path / "file").read_text() == "content of x"


def test_an_altered_registry_is_found_and_removed(run: Run) -> None:
    registry = run.store.data_dir / "feature_store" / "registry.db"
    registry.parent.mkdir(parents=True)
    registry.write_bytes(b"not ours")
    (found,) = find_all_damage(run)
    assert "registry.db is not what a run has written" in found.what
    repair([found], frozenset())
    assert list(find_all_damage(run)) == []
    assert not registry.exists()


def serves(folder: Path) -> Iterator[str]:
    """What is there to be served: a bundle by the command, or a Bento by its own server."""
    if (folder / "src").is_dir():
        yield from ("proml_kedro.serving.http.bento", Settings(str(folder / "src"), "127.0.0.1", 0, 1).line())
    else:
        yield from ("proml_kedro", "serve", str(folder), "--port", "0", "--no-online")


@pytest.mark.slow
@pytest.mark.parametrize("inside", ["", "src/bundle"], ids=["a bundle", "a Bento"])
def test_what_a_service_serves_is_not_freed_when_its_link_has_moved(run: Run, tmp_path: Path, inside: str) -> None:
    bundle = make_bundle(tmp_path / "made")

    def fill(folder: Path) -> None:
        shutil.copytree(bundle, folder / inside, dirs_exist_ok=True)
        if inside:
            (folder / "src" / "serving.yaml").write_text("{online: false}")
            write_checksums(folder)

    store = ArtifactStore(run.store.data_dir)
    served, newer = (store.build("served", {"n": n}, fill) for n in (1, 2))
    store._again.clear()  # as in `build`
    del store
    link(run, "live", served.path)
    live = run.store.data_dir / "shop" / "live"
    command = [sys.executable, "-m", *serves(live)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr.readline().startswith("serving ")
        live.unlink()
        live.symlink_to(newer.path)
        assert free(run, []) == []
        assert find_damage(served.path) is None
        process.terminate()
        assert process.wait(60) == 0
    assert places(free(run, [])) == {place_of(run, served)}


def test_a_loaded_bundle_is_in_use_until_nobody_has_it(run: Run, tmp_path: Path) -> None:
    bundle, store = make_bundle(tmp_path / "made"), ArtifactStore(run.store.data_dir)
    made = store.build("bundle", {}, lambda folder: shutil.copytree(bundle, folder, dirs_exist_ok=True))
    store._again.clear()
    del store
    loaded, elsewhere = Bundle.load(made.path), Bundle.load(bundle)
    assert free(run, []) == []
    assert elsewhere.digest == loaded.digest
    del loaded
    assert places(free(run, [])) == {place_of(run, made)}
    assert (bundle / "proml.yaml").is_file(), "a copy outside of the store is nobody's to free"
