"""A server that speaks S3 on a free port of this machine, for tests: moto, in an environment of its own.

moto does not resolve beside the project's own requirements.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ENVIRONMENT = Path(sys.prefix) / "moto"
OPTIONS = {"access_key_id": "me", "secret_access_key": "s3cretvalue", "region": "us-east-1"}


@contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """Options of a store that reach it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [_program(), "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(server, url := f"http://127.0.0.1:{port}")
        yield {**OPTIONS, "endpoint": url}
    finally:
        server.terminate()
        server.wait(30)


def _program() -> Path:
    """moto's server; its environment is made when it is first needed."""
    program = ENVIRONMENT / "bin" / "moto_server"
    uv = Path(sys.prefix) / "bin" / "uv"
    if not program.exists():
        python = ENVIRONMENT / "bin" / "python"
        for command in (["venv", "--quiet", "--clear", ENVIRONMENT], ["pip", "install", "--quiet", "--python", python]):
            arguments = [uv, *command, *(["moto[s3,server]>=5"] if command[0] == "pip" else [])]
            done = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
            if done.returncode:
                pytest.skip(f"moto, which speaks S3, cannot be installed here: {done.stderr.strip()[-300:]}")
    return program


def _wait(server: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + 120
    while server.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("moto does not answer")
