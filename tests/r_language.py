"""R, where it is installed: what a test may ask of it."""

import functools
import shutil
import subprocess

import pytest


@functools.cache
def has_r(*packages):
    """Tell whether Rscript and these packages of R are installed."""
    command = ["Rscript", "-e", "; ".join(f"library({one})" for one in packages)]
    return bool(shutil.which("Rscript")) and not subprocess.run(command, capture_output=True, check=False).returncode


def run_r(script, *arguments, packages=("lme4", "jsonlite")):
    """Return what a script writes; the test is skipped without R's packages, and fails where the script does."""
    if not has_r(*packages):
        pytest.skip(f"Rscript with {' and '.join(packages)} is not installed")
    done = subprocess.run(["Rscript", "-e", script, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
