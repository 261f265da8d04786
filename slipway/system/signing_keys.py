"""The pair of keys that signs releases, and by which the public one is recognized."""

import hashlib
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)

from slipway.errors import SigningKeyUnusable
from slipway.system.secret_files import write


def make_pair(private: Path, public: Path) -> None:
    """Write a new pair of P-256 keys as PEM files that only their owner can read.

    Raises:
        SigningKeyUnusable: If one of the files exists; nothing is overwritten.
    """
    for file in (private, public):
        if file.exists():
            raise SigningKeyUnusable(str(file), "it exists, and no key is overwritten")
    key = ec.generate_private_key(ec.SECP256R1())
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write(public, _pem(key.public_key()).decode())
    write(private, secret.decode())


def fingerprint(public: Path) -> str:
    """Return the SHA-256 of a public key in PEM, 64 hex digits, as signatures name their key.

    Raises:
        SigningKeyUnusable: If the file is no public key of an elliptic curve.
    """
    try:
        key = load_pem_public_key(public.read_bytes())
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SigningKeyUnusable(str(public), str(error)) from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise SigningKeyUnusable(str(public), "it is not of an elliptic curve")
    return hashlib.sha256(_pem(key)).hexdigest()


def _pem(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
