"""The pair of keys that signs releases is made once, for its owner alone."""

import json
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from commands.main import run
from slipway.errors import SigningKeyUnusable
from slipway.settings import Settings
from slipway.system import signing_keys


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the keys in a home of the test's own."""
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path / "home"))
    for name in ("SLIPWAY_SIGNING_KEY", "SLIPWAY_VERIFY_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_keys_init_makes_a_pair_that_signs_from_then_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The command says where the public key is; nobody else reads the private one."""
    assert Settings().signing_key_in_use is None

    assert run(["keys", "init", "--json"]) == 0

    said = json.loads(capsys.readouterr().out)
    private, public = Path(said["private"]), Path(said["public"])
    key = load_pem_private_key(private.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp256r1"
    assert {stat.S_IMODE(file.stat().st_mode) for file in (private, public)} == {0o600}
    assert stat.S_IMODE(private.parent.stat().st_mode) == 0o700
    assert said["fingerprint"] == signing_keys.fingerprint(public)
    assert Settings().signing_key_in_use == private


def test_keys_init_overwrites_no_key(capsys: pytest.CaptureFixture[str]) -> None:
    """What is signed with the first one would not be verified any more."""
    assert run(["keys", "init"]) == 0
    assert "SLIPWAY_VERIFY_KEY=" in capsys.readouterr().out
    before = [file.read_bytes() for file in Settings().own_signing_keys]

    assert run(["keys", "init"]) == 2

    assert [file.read_bytes() for file in Settings().own_signing_keys] == before
    assert "no key is overwritten" in capsys.readouterr().err


def test_a_named_key_takes_precedence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It may lie anywhere, and is not made here."""
    run(["keys", "init"])
    monkeypatch.setenv("SLIPWAY_SIGNING_KEY", str(tmp_path / "mine.pem"))

    assert Settings().signing_key_in_use == tmp_path / "mine.pem"


def test_a_file_without_a_public_key_is_refused(tmp_path: Path) -> None:
    """It says what is expected."""
    file = tmp_path / "key.pem"
    file.write_text("a key", encoding="utf-8")

    with pytest.raises(SigningKeyUnusable, match="P-256, P-384 or P-521"):
        signing_keys.fingerprint(file)
