"""Who signs releases, and whose signature is required."""

from pathlib import Path

from slipway.values.base import Value

#: As the signing key: keyless, with the identity that Sigstore knows this process by.
SIGSTORE = "sigstore"
#: How the address of a key in a PKCS#11 token begins (RFC 7512).
PKCS11 = "pkcs11:"

#: File of a private key, address of a key in a token, or ``SIGSTORE``.
SigningKey = Path | str


class SigstoreIdentity(Value):
    """Whose keyless signature is required.

    Attributes:
        identity: A mail address, or the address of a workflow, as the certificate has it.
        issuer: Address of the OpenID Connect provider that vouches for it.
    """

    identity: str
    issuer: str

    def __str__(self) -> str:
        return f"{self.identity} ({self.issuer})"


#: File of a public key, or who signs without one.
Verifier = Path | SigstoreIdentity


def names_a_file(key: str) -> bool:
    """Return whether a signing key is a file: neither in a token nor keyless."""
    return key != SIGSTORE and not key.startswith(PKCS11)
