"""Who a folder is from: an Ed25519 signature over its checksums, which cover all of its files.

Any tool makes it, such as ``openssl pkeyutl -sign -rawin -inkey KEY -in SHA256SUMS -out SHA256SUMS.sig``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from proml_kedro.bundle.integrity import CHECKSUMS, SIGNATURE, IntegrityError
from proml_kedro.errors import Mistake, UserError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def read_key(file: Path, key: str) -> Ed25519PublicKey:
    """Read a public key in PEM.

    Args:
        file: The file.
        key: Where it is configured, for errors.

    Raises:
        UserError: It cannot be read, or is no such key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        found = load_pem_public_key(file.read_bytes())
    except OSError as error:
        raise UserError(Mistake(key, f"'{file}' cannot be read: {error.strerror}")) from error
    except (ValueError, UnsupportedAlgorithm):
        found = None
    if not isinstance(found, Ed25519PublicKey):
        hint = "`openssl pkey -in PRIVATE -pubout` writes one"
        raise UserError(Mistake(key, f"'{file}' is no public key of Ed25519 in PEM; {hint}"))
    return found


def verify_signature(folder: Path, file: Path, key: str) -> None:
    """Prove that the checksums of a folder are signed by whoever has the private key.

    Args:
        folder: The folder, with ``SHA256SUMS`` and ``SHA256SUMS.sig``, 64 bytes.
        file: The public key in PEM.
        key: Where it is configured, for errors.

    Raises:
        IntegrityError: They are not.
        UserError: The public key cannot be read.
    """
    from cryptography.exceptions import InvalidSignature

    public = read_key(file, key)
    try:
        content, signature = ((folder / name).read_bytes() for name in (CHECKSUMS, SIGNATURE))
    except OSError as error:
        missing = Path(error.filename or SIGNATURE).name
        raise IntegrityError.of(folder, f"it is not signed, and {key} wants it to be: no {missing} in it") from error
    try:
        public.verify(signature, content)
    except InvalidSignature as error:
        message = f"{SIGNATURE} is no signature of {CHECKSUMS} by the key of {key}"
        raise IntegrityError.of(folder, message) from error
