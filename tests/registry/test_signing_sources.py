"""Where the key that signs comes from: a file, a PKCS#11 token, or Sigstore."""

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import project
from slipway.errors import (
    CatalogueInvalid,
    ExtraMissing,
    SigningKeyUnusable,
    SigstoreFailed,
    VersionRefused,
)
from slipway.registry import Registry
from slipway.settings import Settings, absolute
from slipway.system import signing_keys
from slipway.tracking import signature
from slipway.tracking.verification import examine
from slipway.tracking.verified_copy import CopyPlace, CopyRequest
from slipway.values.signers import SIGSTORE, SigstoreIdentity
from tests.support.fake_registry import FakeRegistry, fresh_name

ADDRESS = "pkcs11:token=slipway;object=release"
MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)
PIN = "7351"
ANN = SigstoreIdentity(identity="ann@example.com", issuer="https://accounts.example.com")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a folder with files to sign."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"bytes of a model")
    return folder


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Return a private and a public key."""
    private, public = tmp_path / "one.pem", tmp_path / "one.pub.pem"
    signing_keys.make_pair(private, public)
    return private, public


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Return the address of a key in a SoftHSM token, and the file of its public key."""
    module = next((each for each in MODULES if Path(each).is_file()), None)
    if module is None or shutil.which("softhsm2-util") is None:
        pytest.skip("SoftHSM is not installed (Debian's package softhsm2)")
    pytest.importorskip("PyKCS11", reason="PyKCS11 is not installed (the extra pkcs11)")
    folder = tmp_path_factory.mktemp("token")
    private, public = folder / "private.pem", folder / "public.pem"
    signing_keys.make_pair(private, public)
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder / 'tokens'}\n", "utf-8")
    (folder / "pin").write_text(PIN, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
        pins = ("--pin", PIN)
        util("--init-token", "--free", "--label", "slipway", "--so-pin", PIN, *pins)
        name = ("--token", "slipway", "--label", "release", "--id", "01")
        util("--import", str(private), *name, *pins)
        private.unlink()
        yield f"{ADDRESS}?module-path={module}&pin-source={folder / 'pin'}", public


def util(*arguments: str) -> None:
    """Run SoftHSM's own command."""
    program = str(shutil.which("softhsm2-util"))
    subprocess.run([program, *arguments], check=True, capture_output=True)


def test_a_key_in_a_token_signs_what_its_public_key_verifies(
    token: tuple[str, Path], model: Path
) -> None:
    """Here and by the library's own command; a changed bit is refused by both."""
    address, public = token

    signed = signature.sign(model, address)

    signature.require("it", model, public)
    options = ("--signature", str(signed), "--public_key", str(public))
    stock = [sys.executable, "-m", "model_signing", "verify", "key", str(model), *options]
    assert subprocess.run(stock, capture_output=True, check=False).returncode == 0
    (model / "model.onnx").write_bytes(b"bytes of a modem")
    with pytest.raises(VersionRefused, match=r"signature is not valid .*model\.onnx"):
        signature.require("it", model, public)
    assert subprocess.run(stock, capture_output=True, check=False).returncode == 1


def test_a_release_is_signed_with_a_key_in_a_token(
    token: tuple[str, Path], registry: Registry, tmp_path: Path
) -> None:
    """Both wrappers, one after the other; then a second release of the same process."""
    address, public = token
    copies = registry.copies.model_copy(update={"root": tmp_path / "copies", "public_key": public})
    strict = Registry(copies, registry.locks)
    model = FakeRegistry(strict, tmp_path / "files", fresh_name(), address)

    releases = [model.release(key) for key in ("one", "two")]

    for wrapper in (each for release in releases for each in release.versions.wrappers):
        request = CopyRequest(
            place=copies, name=wrapper.name, version=wrapper.version, kind=wrapper.kind
        )
        found = examine(request)
        assert (found.fault, found.signature) == (None, "valid")
        assert found.signed_by == signing_keys.fingerprint(public)


def test_the_pair_of_a_token_is_known_before_anything_is_built(
    token: tuple[str, Path], pair: tuple[Path, Path]
) -> None:
    """A trial signature tells."""
    address, public = token

    signature.require_pair(address, public)
    with pytest.raises(SigningKeyUnusable, match="it is not the private key of"):
        signature.require_pair(address, pair[1])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("pin-source=", "pin-source=/nothing"),
        ("object=release", "object=another"),
        ("token=slipway", "token=another"),
        ("module-path=", "module-path=/nothing"),
        ("pkcs11:", "pkcs11:;"),
    ],
)
def test_an_address_that_leads_to_no_key_is_no_crash(
    token: tuple[str, Path], model: Path, before: str, after: str
) -> None:
    """One line says what, and what to do."""
    with pytest.raises(SigningKeyUnusable, match=r"correct the address, or the token") as caught:
        signature.sign(model, token[0].replace(before, after))

    assert "\n" not in str(caught.value)


def test_a_wrong_pin_is_told_and_not_shown(
    token: tuple[str, Path], model: Path, tmp_path: Path
) -> None:
    """The address names its file alone; the right one is taken afterwards."""
    wrong = tmp_path / "wrong"
    wrong.write_text("9999", encoding="utf-8")
    address = f"{token[0].partition('&')[0]}&pin-source={wrong}"

    with pytest.raises(SigningKeyUnusable, match="CKR_PIN_INCORRECT") as caught:
        signature.sign(model, address)

    assert "9999" not in str(caught.value)
    assert signature.sign(model, token[0]).is_file()


def test_without_the_library_one_line_says_how_to_install_it(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an extra, since few have a token."""
    monkeypatch.setitem(sys.modules, "PyKCS11", None)

    with pytest.raises(ExtraMissing, match=r"pip install 'slipway\[pkcs11\]'"):
        signature.sign(model, f"{ADDRESS}?module-path=/nothing")


def test_what_is_signed_has_to_be_verified(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """Else a release would be built and tested, and then refused."""
    private, public = pair
    other = tmp_path / "two.pub.pem"
    signing_keys.make_pair(tmp_path / "two.pem", other)

    signature.require_pair(None, None)
    signature.require_pair(private, None)
    signature.require_pair(private, public)
    with pytest.raises(SigningKeyUnusable, match=r"SLIPWAY_SIGNING_KEY .*it is not set"):
        signature.require_pair(None, public)
    for not_its_pair in (other, private, tmp_path / "nothing"):
        with pytest.raises(SigningKeyUnusable):
            signature.require_pair(private, not_its_pair)


def test_a_keyless_signature_needs_a_keyless_verifier(pair: tuple[Path, Path]) -> None:
    """And the other way round: a key has no identity."""
    for key, verifier in ((SIGSTORE, pair[1]), (pair[0], ANN), (ADDRESS, ANN)):
        with pytest.raises(SigningKeyUnusable, match=r"sign keyless .* if an identity is required"):
            signature.require_pair(key, verifier)


def test_a_job_without_an_identity_signs_nothing(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No browser is opened, and nobody is asked to sign in: a worker would wait for good."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.delenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", raising=False)
    with pytest.raises(SigningKeyUnusable, match=r"OIDC token permissions.*in a CI job"):
        signature.require_pair(SIGSTORE, ANN)

    monkeypatch.delenv("GITHUB_ACTIONS")
    monkeypatch.setenv("GITLAB_CI", "true")
    monkeypatch.delenv("SIGSTORE_ID_TOKEN", raising=False)
    with pytest.raises(SigningKeyUnusable, match=r"SIGSTORE_ID_TOKEN.*in a CI job"):
        signature.require_pair(SIGSTORE, ANN)

    monkeypatch.setattr("sigstore.oidc.detect_credential", lambda: None)
    with pytest.raises(SigningKeyUnusable, match=r"this process has no identity.*in a CI job"):
        signature.sign(model, SIGSTORE)


def test_who_gives_out_identities_may_answer_later(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing answers, hours of a release are not lost."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "token")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", "http://127.0.0.1:9?a=b")
    with pytest.raises(SigstoreFailed):
        signature.require_pair(SIGSTORE, ANN)
    with pytest.raises(SigstoreFailed):
        signature.sign(model, SIGSTORE)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let nothing reach Sigstore, nor what it has cached."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))


@pytest.mark.usefixtures("offline")
def test_sigstore_out_of_reach_is_worth_another_try(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a signature and of its check; the version is not blamed."""
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.setenv("GITLAB_CI", "true")
    monkeypatch.setenv("SIGSTORE_ID_TOKEN", identity_token())

    with pytest.raises(SigstoreFailed, match="does not answer, or refuses") as caught:
        signature.sign(model, SIGSTORE)

    assert caught.value.retryable
    with pytest.raises(SigstoreFailed, match="does not answer, or refuses"):
        signature.require("it", model, ANN)


def identity_token() -> str:
    """Return a token of the right form that nobody vouches for."""
    claims = {"aud": "sigstore", "iss": ANN.issuer, "sub": ANN.identity, "email": ANN.identity}
    claims |= {"email_verified": True, "iat": 0, "nbf": 0, "exp": 4_000_000_000}
    parts = ({"alg": "RS256", "typ": "JWT"}, claims, "")
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()) for part in parts)
    return ".".join(part.decode().rstrip("=") for part in encoded)


def test_the_form_of_the_setting_says_where_the_key_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file may be named relatively; an address and a word stay as they are."""
    monkeypatch.chdir(tmp_path)
    for key in (ADDRESS, SIGSTORE):
        monkeypatch.setenv("SLIPWAY_SIGNING_KEY", key)
        assert Settings().signing_key_in_use == key
        assert absolute("SLIPWAY_SIGNING_KEY", key) == key
    monkeypatch.setenv("SLIPWAY_SIGNING_KEY", "mine.pem")

    assert Settings().signing_key_in_use == tmp_path / "mine.pem"
    assert absolute("SLIPWAY_SIGNING_KEY", "mine.pem") == str(tmp_path / "mine.pem")


def test_a_project_may_name_a_key_in_a_token(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its folder is not put before an address."""
    (tmp_path / project.FILE).write_text(f'signing_key = "{ADDRESS}"\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLIPWAY_SIGNING_KEY", "")

    project.use()

    assert Settings().signing_key == ADDRESS


def test_a_pin_in_the_address_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors and logs show the address."""
    monkeypatch.setenv("SLIPWAY_SIGNING_KEY", f"{ADDRESS}?pin-value={PIN}")

    with pytest.raises(CatalogueInvalid, match="write the PIN into a file") as caught:
        Settings()

    assert PIN not in str(caught.value)


def test_an_identity_is_required_with_its_issuer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One of them proves nothing; a key beside them would leave open which one counts."""
    assert Settings().verifier is None
    monkeypatch.setenv("SLIPWAY_VERIFY_IDENTITY", ANN.identity)
    with pytest.raises(CatalogueInvalid, match="are set together"):
        Settings()
    monkeypatch.setenv("SLIPWAY_VERIFY_ISSUER", ANN.issuer)

    assert CopyPlace.of(Settings()).public_key == ANN
    assert signature.name_of(ANN) == "ann@example.com (https://accounts.example.com)"

    monkeypatch.setenv("SLIPWAY_VERIFY_KEY", str(tmp_path / "public.pem"))
    with pytest.raises(CatalogueInvalid, match="exclude each other"):
        Settings()
