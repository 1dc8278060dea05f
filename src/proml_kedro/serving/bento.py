"""A bundle as a Bento: a folder that ``bentoml serve`` serves and ``bentoml containerize`` makes an image of."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from proml_kedro import __version__
from proml_kedro.bundle import Manifest
from proml_kedro.bundle.integrity import write_checksums
from proml_kedro.errors import UserError
from proml_kedro.serving.http.decoder import bodies
from proml_kedro.serving.http.openapi import specification
from proml_kedro.serving.requirements import PACKAGE, needed_modules, own_sources, pins
from proml_kedro.spec import ServingSpec

_PACKAGE_FOLDER = Path(__file__).parents[1]
_BUILD_SECONDS = 300


def build_bento(bundle: Path, folder: Path, spec: ServingSpec | None = None) -> None:
    """Build a Bento without a network: nothing is locked, resolved or downloaded.

    The Bento holds the bundle, this package's source, pins of all that serving needs, and checksums of every file. Its
    ``src/serving.yaml`` has workers and limits, and its ``apis/openapi.yaml`` the routes.

    Args:
        bundle: The bundle's folder.
        folder: An empty folder; becomes the Bento.
        spec: How to serve it; as the run that made the bundle was configured when None.

    Raises:
        IntegrityError: The bundle cannot be read.
        UserError: BentoML refuses to build.
    """
    manifest = Manifest.read(bundle)
    with TemporaryDirectory() as temporary:
        context = Path(temporary, "context")
        _write_context(bundle, manifest, spec or manifest.serving, context)
        home = Path(temporary, "home")  # of its own: the user's store of Bentos is not ours to fill
        command = [sys.executable, "-m", "bentoml", "build", ".", "--output", "tag"]
        command += ["--name", manifest.name.lower(), "--version", manifest.version.lower()]
        result = _run(command, context, _BUILD_SECONDS, BENTOML_HOME=str(home))
        built = [file.parent for file in home.glob("bentos/*/*/bento.yaml")]
        if result.returncode or len(built) != 1:
            raise UserError.at("serving", f"BentoML cannot build {manifest.tag}: {_last_line(result.stderr)}")
        shutil.copytree(built[0], folder, dirs_exist_ok=True)
    _write_routes(folder, manifest, spec or manifest.serving)
    write_checksums(folder)


def _write_context(bundle: Path, manifest: Manifest, spec: ServingSpec, context: Path) -> None:
    """Write what the Bento is built from: the service's two files, and beside them all that they need."""
    shutil.copytree(_template(), context)
    shutil.copytree(bundle.resolve(), context / "bundle")
    (context / "serving.yaml").write_text(yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False))
    modules = needed_modules(manifest)
    for name, source in own_sources(modules).items():
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "*.pyc", "conf", "bentos")
            shutil.copytree(source, context / name, ignore=ignore)
        else:
            shutil.copy(source, context / name)
    _write_entry_points(context)
    (context / "requirements.txt").write_text("".join(f"{pin}\n" for pin in pins(modules)))


def _write_routes(folder: Path, manifest: Manifest, spec: ServingSpec) -> None:
    """Describe the routes of our server in the file in which BentoML describes those of its own."""
    described = specification(manifest, bodies(manifest, spec), needs_token=False)
    (folder / "apis" / "openapi.yaml").write_text(yaml.safe_dump(described, sort_keys=False), encoding="utf-8")


def _template() -> Path:
    """Find the folder with the service's two files: inside the installed package, or in the project's root."""
    places = [_PACKAGE_FOLDER / "bentos" / "scorer", _PACKAGE_FOLDER.parents[1] / "bentos" / "scorer"]
    for place in places:
        if (place / "bentofile.yaml").is_file():
            return place
    raise FileNotFoundError(f"none of {', '.join(map(str, places))}")


def _write_entry_points(context: Path) -> None:
    """Write metadata of the copied package: entries of registries are found by its entry points."""
    folder = context / f"{PACKAGE}-{__version__}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: {__version__}\n")
    groups: dict[str, list[str]] = {}
    for point in distribution(PACKAGE).entry_points:
        if point.group.startswith(f"{PACKAGE}."):
            groups.setdefault(point.group, []).append(f"{point.name} = {point.value}")
    text = "\n".join(f"[{group}]\n" + "\n".join(lines) for group, lines in sorted(groups.items()))
    (folder / "entry_points.txt").write_text(text + "\n")


def _run(command: list[str], folder: Path, seconds: int, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment = {**inherited, "BENTOML_DO_NOT_TRACK": "True", "PYTHONDONTWRITEBYTECODE": "1", **variables}
    try:
        return subprocess.run(  # noqa: S603 (our own command, no shell)
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise UserError.at("serving", f"`{' '.join(command[1:4])}` did not end within {seconds} s") from error


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it says nothing"
