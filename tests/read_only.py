"""A folder that nothing can be written to, for root neither."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nobody write to a folder while the block runs; skips the test where that cannot be had."""
    if os.geteuid() != 0:
        modes = {one: one.stat().st_mode for one in [folder, *folder.rglob("*")] if not one.is_symlink()}
        for one, mode in modes.items():
            one.chmod(mode & 0o555)
        try:
            yield
        finally:
            for one, mode in modes.items():
                one.chmod(mode)
        return
    place = str(folder)
    for command in (["mount", "--bind", place, place], ["mount", "-o", "remount,bind,ro", place]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if done.returncode:
            pytest.skip(f"no folder can be made read-only for root here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", place], check=True, timeout=60)
