"""Build sdist and wheel, and prove the wheel where there is nothing else. Nothing is uploaded.

    make release                            # checks first
    python tools/release.py --any-tree      # with changes that are not committed, to try it

The wheel is built from the unpacked sdist, so that both are whole, and installed by its own requirements, at the
versions of ``requirements.lock``, into a new environment. There, in an empty folder, a shipped problem is run from end
to end: generated data, features, training, evaluation, bundle, Bento, drift.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROBLEM = ("problem=job_recommendations", "problem.generator.lists=4000", "experiment=quick")
PIPELINES = "--pipelines=features,train,evaluate,package,monitor"
RESULTS = ("evaluation/metrics.json", "bundle/SHA256SUMS", "bento/bento.yaml", "drift")


def call(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a command and return what it prints; end with its errors when it fails."""
    done = subprocess.run([str(one) for one in command], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def check_version(any_tree: bool) -> str:
    """Return the version, once the tree is clean, the changelog knows it, and no tag has it."""
    text = (ROOT / "src/proml_kedro/__init__.py").read_text(encoding="utf-8")
    version = re.findall(r'__version__ = "(.+)"', text)[0]
    if any_tree:
        return str(version)
    if call("git", "status", "--porcelain"):
        sys.exit("there are changes that are not committed; a release is what is committed")
    if f"## [{version}]" not in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"):
        sys.exit(
            f"CHANGELOG.md has no section '## [{version}] - DATE'; rename Unreleased, and add an empty one above it"
        )
    if call("git", "tag", "--list", f"v{version}"):
        sys.exit(f"v{version} is released already; raise __version__")
    return str(version)


def build(version: str, folder: Path) -> list[Path]:
    """Build the sdist into ``dist``, and the wheel from what is in the sdist."""
    dist = ROOT / "dist"
    tracked = folder / "tracked.tar"
    commit = call("git", "stash", "create").strip() or "HEAD"  # with what is changed, when that is allowed
    call("git", "archive", "--output", tracked, commit)
    source = _unpack(tracked, folder / "tracked")
    call(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", dist, cwd=source)
    sdist = dist / f"proml_kedro-{version}.tar.gz"
    unpacked = _unpack(sdist, folder / "sdist") / f"proml_kedro-{version}"
    call(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", dist, cwd=unpacked)
    return [sdist, dist / f"proml_kedro-{version}-py3-none-any.whl"]


def _unpack(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder


def prove(wheel: Path, folder: Path) -> str:
    """Install the wheel into a new environment, run a problem there, and return the run's summary."""
    environment, place = folder / "environment", folder / "place"
    place.mkdir()
    uv = Path(sys.executable).with_name("uv")
    call(sys.executable, "-m", "venv", "--without-pip", environment)
    python = environment / "bin/python"
    # Universal locks hold markers, so the whole lock can constrain what the wheel asks for.
    call(uv, "pip", "install", "--python", python, "--constraint", ROOT / "requirements.lock", wheel)
    where = call(python, "-c", "import proml_kedro; print(proml_kedro.__file__)", cwd=place).strip()
    if not where.startswith(str(environment)):
        sys.exit(f"{where} was imported in place of the wheel")
    for own in ("config.yaml", "experiment/quick.yaml"):  # all other files are found in the wheel
        (place / "conf" / own).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(where).parent / "conf" / own, place / "conf" / own)
    printed = call(environment / "bin/proml_kedro", "run", *PROBLEM, f"data_dir={place / 'data'}", PIPELINES, cwd=place)
    for result in RESULTS:
        if not list(place.glob(f"data/job_recommendations/*/{result}")):
            sys.exit(f"the run in the empty environment left no {result}\n{printed}")
    return printed


def main(arguments: Sequence[str] | None = None) -> None:
    """Build, prove, and say what to do next."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--any-tree", action="store_true", help="with changes that are not committed, to try it")
    options = parser.parse_args(arguments)
    version = check_version(options.any_tree)
    with tempfile.TemporaryDirectory() as folder:
        built = build(version, Path(folder))
        print(prove(built[1], Path(folder)))
    for file in built:
        print(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(ROOT)}")
    print(f"Next: git tag --sign v{version} && git push origin v{version}, then upload what is in dist.")


if __name__ == "__main__":
    main()
