"""The signature of a logged model over every one of its files, by OpenSSF's ``model_signing``.

It is a Sigstore bundle, which the library's own command line verifies as well:
https://github.com/sigstore/model-transparency
"""

from pathlib import Path
from typing import Any

from slipway.errors import SigningKeyUnusable, VersionRefused
from slipway.tracking.release_record import SIGNATURE_FILE

_LONGEST = 200  # characters of a library's reason


def sign(folder: Path, private_key: Path) -> Path:
    """Sign every file of a logged model's copy, and return the signature's file in ``folder``.

    Raises:
        SigningKeyUnusable: If ``private_key`` is no private key of an elliptic curve in PEM.
    """
    from model_signing import signing

    try:
        signer = signing.Config().use_elliptic_key_signer(private_key=private_key)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise SigningKeyUnusable(str(private_key), str(error)) from error
    signature = folder / SIGNATURE_FILE
    signer.set_hashing_config(_every_file()).sign(folder, signature)
    return signature


def require(who: str, folder: Path, public_key: Path) -> None:
    """Check that the files of a logged model's copy are exactly those that a key has signed.

    Raises:
        VersionRefused: If a file differs, is missing or was added, or if another key signed them.
        SigningKeyUnusable: If ``public_key`` is no public key of an elliptic curve in PEM.
    """
    from model_signing import verifying

    try:
        verifier = verifying.Config().use_elliptic_key_verifier(public_key=public_key)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise SigningKeyUnusable(str(public_key), str(error)) from error
    try:
        verifier.set_hashing_config(_every_file()).verify(folder, folder / SIGNATURE_FILE)
    except OSError:  # the disk's fault, and not the version's
        raise
    except Exception as error:  # of a broken signature, the library raises what its parsers do
        reason = f"its signature is not valid ({str(error) or type(error).__name__})"[:_LONGEST]
        remedy = "restore the version's files, or release the model again with --force"
        raise VersionRefused(who, reason, remedy) from error


def _every_file() -> Any:
    """Return how the files are hashed: all of them, by SHA-256, and links are refused."""
    from model_signing import hashing

    paths = hashing.Config().set_ignored_paths(paths=[SIGNATURE_FILE], ignore_git_paths=False)
    return paths.use_file_serialization(hashing_algorithm="sha256")
