"""Signatures of bundles: made by OpenSSL, refused as soon as anything of them is another."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from proml_kedro.bundle.integrity import CHECKSUMS, SIGNATURE, IntegrityError, verify, write_checksums
from proml_kedro.bundle.signature import verify_signature
from proml_kedro.errors import UserError

KEY = "serving.verify_key"


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def sign(folder: Path, private: Path) -> None:
    openssl(folder, "pkeyutl", "-sign", "-rawin", "-inkey", str(private), "-in", str(CHECKSUMS), "-out", str(SIGNATURE))


def pair(folder: Path, name: str, algorithm: str = "ed25519") -> tuple[Path, Path]:
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    openssl(folder, "genpkey", "-algorithm", algorithm, "-out", str(private))
    openssl(folder, "pkey", "-in", str(private), "-pubout", "-out", str(public))
    return private, public


@pytest.fixture
def signed(tmp_path: Path) -> tuple[Path, Path]:
    """A folder that is signed, and the public key."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "model").write_text("of a model")
    write_checksums(folder)
    private, public = pair(tmp_path, "mine")
    sign(folder, private)
    return folder, public


def test_what_is_signed_is_trusted(signed: tuple[Path, Path]) -> None:
    folder, public = signed
    verify_signature(folder, public, KEY)
    assert list(verify(folder)) == ["model"], "the signature is no file that has to be listed"


def test_another_key_other_checksums_and_another_signature_are_refused(
    signed: tuple[Path, Path], tmp_path: Path
) -> None:
    folder, public = signed
    with pytest.raises(IntegrityError, match="no signature of SHA256SUMS"):
        verify_signature(folder, pair(tmp_path, "theirs")[1], KEY)
    for name in (CHECKSUMS, SIGNATURE):
        copy = shutil.copytree(folder, tmp_path / name)
        content = bytearray((copy / name).read_bytes())
        for position in (0, len(content) // 2, -1):
            content[position] ^= 1
            (copy / name).write_bytes(content)
            with pytest.raises(IntegrityError, match="no signature of SHA256SUMS"):
                verify_signature(copy, public, KEY)
            content[position] ^= 1
        (copy / name).write_bytes(b"")
        with pytest.raises(IntegrityError):
            verify_signature(copy, public, KEY)
    (folder / SIGNATURE).unlink()
    with pytest.raises(IntegrityError, match=re.escape("it is not signed, and serving.verify_key wants it to be")):
        verify_signature(folder, public, KEY)


def test_what_is_no_key_is_said(signed: tuple[Path, Path], tmp_path: Path) -> None:
    folder, _ = signed
    (tmp_path / "text").write_text("no key")
    private, _ = pair(tmp_path, "private")
    for file in (tmp_path / "text", private, pair(tmp_path, "other", "x25519")[1]):
        with pytest.raises(UserError, match="is no public key of Ed25519"):
            verify_signature(folder, file, KEY)
    with pytest.raises(UserError, match="cannot be read"):
        verify_signature(folder, tmp_path / "none", KEY)
