"""Results are whole or absent, found again when nothing changed, made again when something did."""

import errno
import fcntl
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from proml_kedro.artifacts import Artifact, ArtifactStore, Recipe
from proml_kedro.digests import fingerprint
from proml_kedro.errors import UserError
from proml_kedro.source_code import code_fingerprint
from proml_kedro.spec import HardwareSpec, RunSpec
from proml_kedro.stamps import Stamp
from proml_kedro.workflow import Run
from small import make_config


def write(text):
    return lambda folder: (folder / "value.txt").write_text(text)


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path)


def test_a_result_is_written_once(store):
    first = store.build("tables", {"a": 1}, write("first"))
    second = store.build("tables", {"a": 1}, write("second"))
    assert first == second
    assert second.file("value.txt").read_text() == "first"


def test_reuse_can_be_turned_off(tmp_path):
    ArtifactStore(tmp_path).build("tables", {"a": 1}, write("first"))
    again = ArtifactStore(tmp_path, reuse=False).build("tables", {"a": 1}, write("second"))
    assert again.file("value.txt").read_text() == "second"


@pytest.mark.parametrize("change", [{"a": 2}, {"a": 1, "b": None}, {"a": HardwareSpec(threads=2)}])
def test_other_inputs_are_another_result(store, change):
    assert store.build("x", {"a": 1}, write("")) != store.build("x", change, write(""))


def test_other_code_is_another_result(store):
    assert store.build("x", {}, write(""), code=("errors",)) != store.build("x", {}, write(""), code=("extensions",))


def test_an_upstream_result_counts_by_its_fingerprint(store):
    path = store.build("up", {}, write("")).path
    one, other = Artifact(path, "1"), Artifact(path, "2")
    assert store.build("x", {"up": one}, write("")) != store.build("x", {"up": other}, write(""))


def test_a_failure_leaves_nothing(store, tmp_path):
    def fail(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        store.build("x", {}, fail)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_in_one_line(store, tmp_path, code):
    def fail(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise RuntimeError(f"IO Error: could not write: {os.strerror(code)}")

    with pytest.raises(UserError, match="data_dir: no space left on the disk") as caught:
        store.build("x", {}, fail)
    assert "\n" not in str(caught.value)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_real_full_file_system(tmp_path):
    """A process that may write no more than 64 kB gets the same one line."""
    script = f"""
import resource, signal
from pathlib import Path
from proml_kedro.artifacts import ArtifactStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
ArtifactStore(Path({str(tmp_path)!r})).build("x", {{}}, lambda folder: (folder / "big").write_bytes(bytes(1 << 20)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert "UserError: data_dir: no space left on the disk" in done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(("limit", "kept"), [(100, False), (2000, True)])
def test_a_disk_that_is_full_when_a_result_is_listed_or_recorded(tmp_path, limit, kept):
    """The list of its files is longer than 100 bytes, what it was made from longer than 2,000; a part is not kept."""
    script = f"""
import resource, signal
from pathlib import Path
from proml_kedro.artifacts import ArtifactStore, Recipe
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
fill = lambda folder: [(folder / f"file_{{number}}").touch() for number in range(12)]
ArtifactStore(Path({str(tmp_path)!r})).build(Recipe("x", {{"long": "text" * 600}}), {{}}, fill)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert "UserError: data_dir: no space left on the disk" in done.stderr
    left = {path.suffix or path.name.partition("_")[0] for path in tmp_path.rglob("*") if path.is_file()}
    assert left == ({"file", ".files"} if kept else set())


def test_a_killed_writer_leaves_nothing_behind_for_the_next(store, tmp_path):
    script = f"""
from pathlib import Path
from proml_kedro.artifacts import ArtifactStore
def slow(folder):
    (folder / "half").write_text("x")
    print("writing", flush=True)
    input()
ArtifactStore(Path({str(tmp_path)!r})).build("x", {{}}, slow)
"""
    pipe = subprocess.PIPE  # nothing is ever written to its standard input, so it waits until it is killed
    process = subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe, text=True)
    assert process.stdout.readline() == "writing\n"
    assert list(tmp_path.rglob("half"))
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=300)
    store.remove_abandoned()
    result = store.build("x", {}, write("whole"))
    assert result.file("value.txt").read_text() == "whole"
    assert not list(tmp_path.rglob("half"))


on_linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux says when a process started")


@pytest.mark.parametrize(("host", "pid"), [(socket.gethostname(), os.getppid()), ("elsewhere", 999_999)])
def test_what_another_living_process_writes_is_left_alone(store, tmp_path, host, pid):
    other = tmp_path / "store" / "x" / f".writing-{host}-{pid}-0123abcd"
    other.mkdir(parents=True)
    store.remove_abandoned()
    assert other.is_dir()


@on_linux
def test_a_writer_that_has_ended_is_gone_even_if_nobody_has_noticed(store, tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    left = tmp_path / "store" / "x" / f".writing-{socket.gethostname()}-{process.pid}-0123abcd"
    left.mkdir(parents=True)
    store.remove_abandoned()
    process.wait()
    assert not left.exists()


@on_linux
def test_a_process_with_the_number_of_a_killed_one_is_not_taken_for_it(store):
    """As in a container, where numbers begin anew each time it is started."""

    def look(folder):
        same_number = folder.name.rpartition(".")[0]
        folder.with_name(f"{same_number}.1-0123abcd").mkdir()
        folder.with_name(f"{same_number}.1-4567cdef").write_text("a record that was not finished")
        store.remove_abandoned()
        assert [one.name for one in folder.parent.iterdir()] == [folder.name]
        (folder / "value.txt").write_text("whole")

    assert store.build("x", {}, look).file("value.txt").read_text() == "whole"


@pytest.fixture
def vanishing(monkeypatch):
    """Lets a folder disappear just before anybody looks into it, as when another run ends."""
    scandir = os.scandir

    def arrange(gone):
        def look(folder):
            if not isinstance(folder, int) and Path(folder) == gone:
                shutil.rmtree(gone)
            return scandir(folder)

        monkeypatch.setattr(os, "scandir", look)

    return arrange


def test_what_another_run_removes_meanwhile_is_no_mistake(store, tmp_path, vanishing):
    left = tmp_path / "store" / "x" / f".writing-{socket.gethostname()}-999999-0123abcd"
    left.mkdir(parents=True)
    vanishing(store.build("x", {}, write("")).path)
    store.remove_abandoned()
    assert not any(one.is_dir() for one in left.parent.iterdir())


def test_a_result_that_another_run_replaces_meanwhile_is_not_whole(store, vanishing):
    def fill(folder):
        (folder / "below").mkdir()
        (folder / "below" / "value.txt").write_text("whole")

    made = store.build("x", {}, fill)
    assert store.holds(made)
    vanishing(made.path / "below")
    assert not store.holds(made)


def test_fingerprint_ignores_the_order_of_keys():
    assert fingerprint({"a": 1, "b": [timedelta(hours=1)]}) == fingerprint({"b": [timedelta(minutes=60)], "a": 1})


def test_fingerprint_refuses_what_has_no_stable_form():
    with pytest.raises(TypeError, match="cannot depend on a object"):
        fingerprint({"a": object()})


def test_code_is_a_module_a_package_or_an_installed_one():
    prints = {code_fingerprint(name) for name in ("errors", "spec", "models.columns", "==numpy")}
    assert len(prints) == 4


def test_a_stamp_knows_what_it_was_written_for(tmp_path):
    (tmp_path / "place").mkdir()
    stamp = Stamp(tmp_path / "feature_store" / "stamp", tmp_path / "place")
    assert not stamp.matches({"a": 1})
    stamp.write({"a": 1})
    assert stamp.matches({"a": 1})
    assert not stamp.matches({"a": 2})
    stamp.remove()
    assert not stamp.matches({"a": 1})


def test_a_result_of_which_something_was_deleted_is_made_again(store):
    first = store.build("x", {}, write("whole"))
    first.file("value.txt").unlink()
    assert store.build("x", {}, write("again")).file("value.txt").read_text() == "again"
    first.file("value.txt").write_text("")
    assert store.build("x", {}, write("third")).file("value.txt").read_text() == "third"


def test_a_kill_between_folder_and_listing_is_no_result(store):
    first = store.build("x", {}, write("whole"))
    first.path.with_name(f"{first.path.name}.files").unlink()
    assert store.build("x", {}, write("again")).file("value.txt").read_text() == "again"


DAMAGED = ["", "{", "[]", "null", '"text"', '{"value.txt": null}', "\x00" * 40]


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_listing_is_that_of_no_whole_result(store, content):
    recipe = Recipe("x", {})
    first = store.build(recipe, {}, write("whole"))
    first.path.with_name(f"{first.path.name}.files").write_text(content)
    assert store.find(recipe) is None
    assert store.build(recipe, {}, write("again")).file("value.txt").read_text() == "again"
    assert store.find(recipe) == first


@pytest.mark.parametrize("content", [*DAMAGED, "{}", '{"recipe": "1", "configuration": {}, "of": {}}'])
def test_a_damaged_record_is_none_and_is_written_again(store, content):
    recipe = Recipe("x", {"a": 1})
    first = store.build(recipe, {}, write("whole"))
    first.path.with_name(f"{first.path.name}.made").write_text(content)
    assert store.find(recipe) is None
    assert store.made_of(first) == {}
    assert store.build(recipe, {}, write("again")).file("value.txt").read_text() == "whole"
    assert store.find(recipe) == first


def test_a_result_is_replaced_in_one_step(tmp_path):
    """While a result is written anew, the old one is there."""
    old = ArtifactStore(tmp_path).build("x", {}, write("old"))

    def look(folder: Path) -> None:
        assert old.file("value.txt").read_text() == "old"
        (folder / "value.txt").write_text("new")

    new = ArtifactStore(tmp_path, reuse=False).build("x", {}, look)
    assert new.file("value.txt").read_text() == "new"
    assert not list(tmp_path.rglob(".writing-*"))


def test_threads_may_make_the_same_result(tmp_path):
    store = ArtifactStore(tmp_path, reuse=False)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: store.build("x", {}, write("same")), range(40)))
    assert {one.file("value.txt").read_text() for one in made} == {"same"}
    assert not list(tmp_path.rglob(".writing-*"))


def test_a_place_that_cannot_be_written_is_said_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="data_dir: cannot write to"):
        ArtifactStore(tmp_path / "file").build("x", {}, write(""))
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "x").write_text("somebody's")
    way = f"; look at {tmp_path / 'store' / 'x'}, and move away what is in the way"
    with pytest.raises(UserError, match=way):
        ArtifactStore(tmp_path).build("x", {}, write(""))


def test_a_stamp_forgets_when_its_place_is_gone(tmp_path):
    place = tmp_path / "place"
    place.write_text("")
    stamp = Stamp(tmp_path / "stamp", place)
    stamp.write({"a": 1})
    assert stamp.matches({"a": 1})
    place.unlink()
    assert not stamp.matches({"a": 1})


def test_long_work_goes_on_where_it_was_left(store):
    def first(folder, checkpoints):
        checkpoints.mkdir(parents=True)
        (checkpoints / "step").write_text("3")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.build_resumably("long", {"a": 1}, first)
    seen = []

    def second(folder, checkpoints):
        seen.append((checkpoints / "step").read_text())
        (folder / "result").write_text("done")

    assert not seen
    artifact = store.build_resumably("long", {"a": 1}, second)
    assert seen == ["3"]
    assert artifact.file("result").read_text() == "done"
    assert [one.name for one in artifact.path.parent.iterdir() if "unfinished" in one.name] == []


def test_other_work_does_not_find_those_checkpoints(store):
    found = []
    for value in (1, 2):

        def write(folder, checkpoints):
            found.append(checkpoints.exists())
            checkpoints.mkdir(parents=True)
            raise ValueError

        with pytest.raises(ValueError):
            store.build_resumably("long", {"a": value}, write)
    assert found == [False, False]


LONG = """
import sys
from pathlib import Path
from proml_kedro.artifacts import ArtifactStore

def fit(folder, checkpoints):
    checkpoints.mkdir(parents=True, exist_ok=True)
    with (checkpoints / "rows").open("a") as rows:
        rows.write("row\\n" * 20)
    print("writing", flush=True)
    sys.stdin.readline()  # until the test says so
    (folder / "rows").write_text((checkpoints / "rows").read_text())

import logging
logging.basicConfig(level=logging.INFO, format="%(message)s")
print(ArtifactStore(Path(sys.argv[1])).build_resumably("long", {}, fit).path)
"""


WAITING = "long: another run is computing it; waiting for that one\n"


def start_long_work(folder):
    """A process that prints "writing" in the middle of its work, and goes on when it is told to."""
    command = [sys.executable, "-c", LONG, str(folder)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def finish(process):
    """Tell it to go on, and return what it printed; the timeout ends a failure and is no measure."""
    return process.communicate("go on\n", timeout=300)


def test_two_processes_do_not_share_checkpoints(store, tmp_path):
    first = start_long_work(tmp_path)
    assert first.stdout.readline() == "writing\n"
    second = start_long_work(tmp_path)
    assert second.stderr.readline() == WAITING
    made, waited = finish(first), finish(second)
    folder = tmp_path / "store" / "long"
    result = next(one for one in folder.iterdir() if one.is_dir())
    assert (result / "rows").read_text() == "row\n" * 20
    assert made[0].splitlines()[-1] == waited[0].strip() == str(result)
    assert waited[1] == "long: unchanged, taken over\n"
    assert sorted(one.name for one in folder.iterdir()) == [result.name, f"{result.name}.files"]


def test_a_killed_process_holds_nobody_up(store, tmp_path):
    first = start_long_work(tmp_path)
    assert first.stdout.readline() == "writing\n"
    waiting = start_long_work(tmp_path)
    assert waiting.stderr.readline() == WAITING
    first.kill()
    first.communicate(timeout=300)
    finish(waiting)
    assert waiting.returncode == 0
    assert not list(tmp_path.rglob(".locked-*")) + list(tmp_path.rglob("*.unfinished"))


def test_the_lock_of_a_killed_process_is_removed_and_that_of_another_is_not(store, tmp_path):
    killed = start_long_work(tmp_path)
    assert killed.stdout.readline() == "writing\n"
    (file,) = tmp_path.rglob(".locked-*")
    store.remove_abandoned()
    assert file.exists()
    killed.kill()
    killed.communicate(timeout=300)
    assert file.exists()
    store.remove_abandoned()
    assert not file.exists()
    assert list(tmp_path.rglob("*.unfinished")), "the next run goes on with these"


def test_threads_do_not_share_checkpoints(store, tmp_path, monkeypatch):
    somebody_waits = threading.Event()

    def note(message, *arguments):
        if "waiting" in message:
            somebody_waits.set()

    monkeypatch.setattr("proml_kedro.result_folder.logger.info", note)

    def write(folder, checkpoints):
        checkpoints.mkdir(parents=True)
        assert somebody_waits.wait(300)
        (folder / "value.txt").write_text("once")

    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: store.build_resumably("long", {}, write), range(16)))
    assert [one.file("value.txt").read_text() for one in made] == ["once"]
    assert not list(tmp_path.rglob(".locked-*")) + list(tmp_path.rglob("*.unfinished"))


def test_what_is_finished_is_taken_over_while_another_makes_it_afresh(store):
    def write(folder, checkpoints):
        (folder / "value.txt").write_text("whole")

    def write_again(folder, checkpoints):
        checkpoints.mkdir()
        assert store.build_resumably("long", {}, write) == done
        assert checkpoints.exists()

    done = store.build_resumably("long", {}, write)
    ArtifactStore(store.data_dir, reuse=False).build_resumably("long", {}, write_again)


def test_checkpoints_that_a_kill_left_beside_a_finished_result_are_removed(store):
    def write(folder, checkpoints):
        pass

    done = store.build_resumably("long", {}, write)
    left = done.path.with_name(f"{done.fingerprint}.unfinished")
    left.mkdir()
    assert store.build_resumably("long", {}, write) == done
    assert not left.exists()


def test_where_files_cannot_be_locked_checkpoints_are_nobody_elses(store, tmp_path, monkeypatch, caplog):
    def refuse(descriptor, operation):
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(fcntl, "flock", refuse)
    seen = []

    def write(folder, checkpoints):
        assert not checkpoints.exists()
        checkpoints.mkdir()
        seen.append(checkpoints)
        raise ValueError

    for _ in range(2):
        with pytest.raises(ValueError):
            store.build_resumably("long", {}, write)
    assert len(set(seen)) == 2
    assert "begins afresh" in caplog.text
    assert not any((tmp_path / "store" / "long").iterdir())


def test_without_reuse_long_work_begins_afresh(tmp_path):
    def write(folder, checkpoints):
        assert not checkpoints.exists()
        checkpoints.mkdir(parents=True)
        raise ValueError

    for _ in range(2):
        with pytest.raises(ValueError):
            ArtifactStore(tmp_path, reuse=False).build_resumably("long", {}, write)


def flip(file: Path) -> None:
    """Flip one bit in the middle of a file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 16
    file.write_bytes(content)


DAMAGES = {
    "flipped": flip,
    "emptied": lambda file: file.write_bytes(b""),
    "truncated": lambda file: os.truncate(file, file.stat().st_size - 1),
    "deleted": lambda file: file.unlink(),
    "longer": lambda file: file.write_bytes(file.read_bytes() + b"x"),
}


def chain(store, log):
    """Two results, the second made of what the first holds."""

    def first(folder):
        log.append("first")
        (folder / "value.txt").write_text("whole")

    def second(folder, checkpoints):
        log.append("second")
        (folder / "length.txt").write_text(str(len(made.file("value.txt").read_text())))

    made = store.build(Recipe("first", {}), {}, first)
    return made, store.build_resumably(Recipe("second", {}), {"first": made}, second)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_result_is_made_again_before_anybody_reads_it(tmp_path, caplog, damage):
    log = []
    first, second = chain(ArtifactStore(tmp_path), log)
    shutil.rmtree(second.path)
    DAMAGES[damage](first.file("value.txt"))
    again = chain(ArtifactStore(tmp_path), log)
    assert again == (first, second)
    assert log == ["first", "second", "first", "second"]
    assert again[0].file("value.txt").read_text() == "whole"
    assert again[1].file("length.txt").read_text() == "5"
    assert ("'value.txt' of" in caplog.text) == (damage == "flipped"), "a size is seen without reading"


def test_a_damaged_result_that_nobody_reads_is_not_read_and_found_by_whoever_does(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    log = []
    first, second = chain(ArtifactStore(tmp_path), log)
    flip(first.file("value.txt"))
    store = ArtifactStore(tmp_path)
    assert chain(store, log) == (first, second)
    assert not caplog.messages
    store.verify(first)
    assert log == ["first", "second", "first"]
    assert first.file("value.txt").read_text() == "whole"
    store.verify(first)
    assert log == ["first", "second", "first"], "each is read once in a run"


def test_one_file_is_read_where_no_other_will_be(tmp_path):
    written = []

    def write(folder):
        written.append(folder)
        for name in "ab":
            (folder / name).write_text(f"whole {name}")

    made = ArtifactStore(tmp_path).build("both", {}, write)
    flip(made.file("a"))
    store = ArtifactStore(tmp_path)
    assert store.build("both", {}, write) == made
    store.verify(made, "b")
    assert len(written) == 1
    store.verify(made, "a")
    assert len(written) == 2
    assert made.file("a").read_text() == "whole a"
    flip(made.file("a"))
    later = ArtifactStore(tmp_path)
    later.build("both", {}, write)
    later.verify(made, "b")
    later.verify(made)
    assert len(written) == 3, "one file that is sound says nothing of the others"
    again = ArtifactStore(tmp_path)
    again.build("both", {}, write)
    again.verify(made, "c")
    assert len(written) == 4, "a file that was never written is no sound one"


def test_what_a_run_has_written_is_believed_and_what_it_cannot_make_is_refused(tmp_path, caplog):
    store, log = ArtifactStore(tmp_path), []
    first, second = chain(store, log)
    flip(first.file("value.txt"))
    store.verify(first)
    assert log == ["first", "second"]
    with pytest.raises(UserError, match="is not what was written; run the pipeline that makes it"):
        ArtifactStore(tmp_path).verify(first)
    assert ArtifactStore(tmp_path).find(Recipe("first", {})) is None
    assert ArtifactStore(tmp_path).find(Recipe("second", {})) == second


def test_a_damaged_result_is_not_found(tmp_path):
    made = ArtifactStore(tmp_path).build(Recipe("x", {}), {}, write("whole"))
    flip(made.file("value.txt"))
    assert ArtifactStore(tmp_path).find(Recipe("x", {})) is None
    assert not ArtifactStore(tmp_path).holds(made)


def test_two_that_make_the_same_at_once_read_from_one_folder(tmp_path):
    """The slower one drops what it has made: whoever was faster may be reading already."""
    seen = []

    def slow(folder):
        made = ArtifactStore(tmp_path).build("x", {}, write("same"))
        seen.append(made.path.stat().st_ino)
        (folder / "value.txt").write_text("same")

    made = ArtifactStore(tmp_path).build("x", {}, slow)
    assert seen == [made.path.stat().st_ino]
    assert not list(tmp_path.rglob(".writing-*")) + list(tmp_path.rglob(".locked-*"))


def test_what_killed_runs_leave_outside_of_the_store_is_removed_too(tmp_path):
    """Links that were about to move, a registry that was about to be replaced, locks."""
    run = Run.of(RunSpec.model_validate({**make_config(), "data_dir": "data"}), tmp_path)
    gone = f".writing-{socket.gethostname()}-999999-0123abcd"
    folders = ["", "feature_store", "feature_store/sales", "features", "sales", "sales/xgboost", "store/sales/tables"]
    for folder in folders:
        place = tmp_path / "data" / folder
        place.mkdir(parents=True, exist_ok=True)
        (place / gone).symlink_to("nowhere")
        (place / ".locked-links").touch()
    mine = tmp_path / "data" / "raw"
    mine.mkdir()
    (mine / gone).touch()
    run.prepare()
    assert [file for file in tmp_path.rglob(".*") if file.name != ".writing"] == [mine / gone], "nobody else's folder"


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_what_a_killed_process_has_left_of_a_database_is_removed(store, tmp_path, suffix):
    """SQLite writes logs beside a database, of its name."""
    gone, ours = (f".writing-{socket.gethostname()}-{one}-0123abcd{suffix}" for one in ("4194300.1", os.getpid()))
    folder = tmp_path / "feature_store" / "shop"
    folder.mkdir(parents=True)
    for name in (gone, ours):
        (folder / name).write_text("half")
    store.remove_abandoned()
    assert [one.name for one in folder.iterdir()] == [ours]
