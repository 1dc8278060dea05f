"""A Redis server of our own on a free port of this machine, for tests; Debian's package redis-server has it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def redis_server(folder: Path, password: str = "", tls: bool = False) -> Iterator[str]:
    """Its URL, without the password; with TLS, by a certificate of our own that the URL names."""
    pytest.importorskip("redis", reason="the Python package redis is not installed")
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server on this machine: apt-get install redis-server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--bind", "127.0.0.1", "--dir", str(folder), "--save", "", "--appendonly", "no"]
    options += [*_certified(folder), "--port", "0", "--tls-port", str(port)] if tls else ["--port", str(port)]
    secret = ["--requirepass", password] if password else []
    with (folder / "redis.log").open("w") as log:
        server = subprocess.Popen([program, *options, *secret], stdout=log, stderr=log)
    try:
        while not _answers(port):
            assert server.poll() is None, (folder / "redis.log").read_text()
            time.sleep(0.05)
        yield f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={folder}/cert.pem" if tls else f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(timeout=300)


def _certified(folder: Path) -> list[str]:
    """Make a certificate of this machine, and return the options that name it."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("no openssl on this machine to make a certificate with: apt-get install openssl")
    key, certificate = folder / "key.pem", folder / "cert.pem"
    made_for = ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = [program, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *made_for], check=True, capture_output=True)
    return ["--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-auth-clients", "no"]


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
