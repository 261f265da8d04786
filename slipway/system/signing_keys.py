"""The pair of keys that signs releases, and by which the public one is recognized."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
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


def require_pair(private: Path | None, public: Path | None) -> None:
    """Check that one key signs what the other one verifies.

    Args:
        private: Signs; None if nothing is signed.
        public: Verifies; None if nothing has to be signed.

    Raises:
        SigningKeyUnusable: If it does not.
    """
    if public is None:
        return
    if private is None:
        reason = "it is not set, and SLIPWAY_VERIFY_KEY requires signatures"
        raise SigningKeyUnusable("SLIPWAY_SIGNING_KEY", reason)
    pair = _curve_key(private, lambda content: load_pem_private_key(content, None).public_key())
    if _fingerprint(pair) != fingerprint(public):
        raise SigningKeyUnusable(str(private), f"it is not the private key of {public}")


def fingerprint(public: Path) -> str:
    """Return the SHA-256 of a public key in PEM, 64 hex digits, as signatures name their key.

    Raises:
        SigningKeyUnusable: If the file is no public key of an elliptic curve.
    """
    return _fingerprint(_curve_key(public, load_pem_public_key))


def _curve_key(file: Path, load: Callable[[bytes], object]) -> ec.EllipticCurvePublicKey:
    try:
        key = load(file.read_bytes())
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SigningKeyUnusable(str(file), str(error)) from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise SigningKeyUnusable(str(file), "it is not of an elliptic curve")
    return key


def _fingerprint(key: ec.EllipticCurvePublicKey) -> str:
    return hashlib.sha256(_pem(key)).hexdigest()


def _pem(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
