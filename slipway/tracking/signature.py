"""The signature of a logged model over every one of its files, by OpenSSF's ``model_signing``.

It is a Sigstore bundle, which the library's own command line verifies as well:
https://github.com/sigstore/model-transparency

The key that signs is a file, or in a PKCS#11 token, or one that Sigstore makes for an identity and
a few minutes. The library has no client for a KMS; the makers of these have PKCS#11 modules.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from slipway.errors import (
    ExtraMissing,
    SigningKeyUnusable,
    SigstoreFailed,
    SlipwayError,
    VersionRefused,
)
from slipway.system.signing_keys import fingerprint
from slipway.tracking.release_record import SIGNATURE_FILE
from slipway.values.signers import PKCS11, SIGSTORE, SigningKey, SigstoreIdentity, Verifier

_LONGEST = 200  # characters of a library's reason
_ADDRESS = "correct the address, or the token; docs/security.md has an example"
_IDENTITY = "release in a CI job that may ask for an OIDC token, or sign with a key"
_PAIR = "sign keyless (SLIPWAY_SIGNING_KEY=sigstore) if an identity is required, else with a key"


def sign(folder: Path, key: SigningKey) -> Path:
    """Sign every file of a logged model's copy, and return the signature's file in ``folder``.

    Raises:
        SigningKeyUnusable: If ``key`` is no private key of an elliptic curve, or if the token or
            the identity that it names is not there.
        ExtraMissing: If the library for PKCS#11 is not installed.
        SigstoreFailed: If Sigstore does not answer, or does not sign.
    """
    signature = folder / SIGNATURE_FILE
    with _failures_of(key):
        _signer(key).set_hashing_config(_every_file()).sign(folder, signature)
    return signature


def require(who: str, folder: Path, verifier: Verifier) -> None:
    """Check that the files of a logged model's copy are exactly those that somebody has signed.

    Args:
        who: The version, for errors.
        folder: The copy.
        verifier: Who must have signed it.

    Raises:
        VersionRefused: If a file differs, is missing or was added, or if somebody else signed them.
        SigningKeyUnusable: If the public key is none of an elliptic curve in PEM.
        SigstoreFailed: If Sigstore does not answer.
    """
    verifying = _verifying(verifier).set_hashing_config(_every_file())
    try:
        verifying.verify(folder, folder / SIGNATURE_FILE)
    except OSError:  # the disk's fault, and not the version's
        raise
    except Exception as error:  # of a broken signature, the library raises what its parsers do
        reason = f"its signature is not valid ({_words(error)})"
        remedy = "restore the version's files, or release the model again with --force"
        raise VersionRefused(who, reason, remedy) from error


def require_pair(key: SigningKey | None, verifier: Verifier | None) -> None:
    """Check with a trial that what is signed will be verified; a keyless one is only prepared.

    Args:
        key: Signs; None if nothing is signed.
        verifier: Who must have signed; None if nothing has to be signed.

    Raises:
        SigningKeyUnusable: If it will not; also as ``sign`` does.
    """
    if verifier is None:
        return
    if key is None:
        reason = "it is not set, and a signature is required"
        raise SigningKeyUnusable("SLIPWAY_SIGNING_KEY", reason)
    if (key == SIGSTORE) != isinstance(verifier, SigstoreIdentity):
        raise SigningKeyUnusable(str(key), f"what it signs {verifier} does not verify", _PAIR)
    if key == SIGSTORE:
        with _failures_of(key):
            _identity_token()
        return
    with TemporaryDirectory() as room:
        folder = Path(room) / "trial"
        folder.mkdir()
        (folder / "file").write_bytes(b"trial")
        sign(folder, key)
        try:
            require("a trial", folder, verifier)
        except VersionRefused as error:
            reason = f"it is not the private key of {verifier}"
            raise SigningKeyUnusable(str(key), reason) from error


def name_of(verifier: Verifier) -> str:
    """Return the fingerprint of a public key, or who signs without one."""
    return fingerprint(verifier) if isinstance(verifier, Path) else str(verifier)


def _signer(key: SigningKey) -> Any:
    from model_signing import signing

    config = signing.Config()
    if key == SIGSTORE:
        return config.use_sigstore_signer(identity_token=_identity_token())
    if _is_in_token(key):
        if find_spec("PyKCS11") is None:
            raise ExtraMissing("PyKCS11", "pkcs11")
        try:
            return config.use_pkcs11_signer(pkcs11_uri=key)
        except OSError as error:  # of the PIN's file
            raise SigningKeyUnusable(str(key), _words(error), _ADDRESS) from error
    try:
        return config.use_elliptic_key_signer(private_key=key)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise SigningKeyUnusable(str(key), str(error)) from error


@contextmanager
def _failures_of(key: SigningKey) -> Iterator[None]:
    """Name the token or Sigstore, whose parts raise errors of many kinds."""
    try:
        yield
    except SlipwayError:
        raise
    except Exception as error:
        if key == SIGSTORE:
            raise SigstoreFailed(_words(error)) from error
        if _is_in_token(key) and not isinstance(error, OSError):
            raise SigningKeyUnusable(str(key), _words(error), _ADDRESS) from error
        raise


def _is_in_token(key: SigningKey) -> bool:
    return str(key).startswith(PKCS11)


def _identity_token() -> str:
    """Return the token by which Sigstore knows this CI job; nobody is asked to sign in.

    Raises:
        SigningKeyUnusable: If the job has no identity, or may not use it.
        IdentityError: If who gives out identities does not answer.
    """
    from sigstore.oidc import IdentityError, detect_credential
    from urllib3.exceptions import HTTPError

    try:
        token = detect_credential()
    except IdentityError as error:
        if error.__cause__ and isinstance(error.__cause__.__context__, HTTPError):
            raise
        raise SigningKeyUnusable(SIGSTORE, _words(error), _IDENTITY) from error
    if token is None:
        raise SigningKeyUnusable(SIGSTORE, "this process has no identity", _IDENTITY)
    return str(token)


def _verifying(verifier: Verifier) -> Any:
    from model_signing import verifying

    config = verifying.Config()
    if isinstance(verifier, SigstoreIdentity):
        who = {"identity": verifier.identity, "oidc_issuer": verifier.issuer}
        with _failures_of(SIGSTORE):
            return config.use_sigstore_verifier(**who)
    try:
        return config.use_elliptic_key_verifier(public_key=verifier)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise SigningKeyUnusable(str(verifier), str(error)) from error


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:_LONGEST] or type(error).__name__


def _every_file() -> Any:
    """Return how the files are hashed: all of them, by SHA-256, and links are refused."""
    from model_signing import hashing

    paths = hashing.Config().set_ignored_paths(paths=[SIGNATURE_FILE], ignore_git_paths=False)
    return paths.use_file_serialization(hashing_algorithm="sha256")
