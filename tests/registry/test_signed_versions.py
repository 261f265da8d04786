"""With a public key, nothing is loaded but what that key has signed as just this version."""

import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slipway.errors import ArtifactChanged, MoveRefused, SigningKeyUnusable, VersionRefused
from slipway.registry import Registry
from slipway.settings import Settings
from slipway.system import signing_keys
from slipway.system.store import manifest
from slipway.tracking import release_record
from slipway.tracking.tags import CODE, DIGEST, KEY, MLMODEL, SIGNATURE
from slipway.tracking.verification import examine
from slipway.tracking.verified_copy import CopyPlace, CopyRequest, VerifiedCopy, fetch
from slipway.values import AuditInfo, LoggedWrapper, Rejected, Release
from tests.support.fake_registry import FakeRegistry, fresh_name

BOB = AuditInfo(actor="bob@harbour", reason="it answers in verse")
REFUSED = (ArtifactChanged, VersionRefused)
FLIPS = 200


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """Return a private and a public key."""
    return pair(tmp_path / "keys")


@pytest.fixture
def signed(registry: Registry, tmp_path: Path, keys: tuple[Path, Path]) -> FakeRegistry:
    """Return a model whose releases are signed, in a registry that requires it."""
    private, public = keys
    copies = registry.copies.model_copy(update={"root": tmp_path / "copies", "public_key": public})
    strict = Registry(copies, registry.locks)
    return FakeRegistry(strict, tmp_path / "files", fresh_name(), private)


@pytest.fixture
def released(signed: FakeRegistry) -> Release:
    """Return the first release of the model."""
    return signed.release("one")


def pair(folder: Path) -> tuple[Path, Path]:
    """Make a pair of keys."""
    private, public = folder / "private.pem", folder / "public.pem"
    signing_keys.make_pair(private, public)
    return private, public


def request(model: FakeRegistry, wrapper: LoggedWrapper) -> CopyRequest:
    """Return what to copy."""
    return CopyRequest(
        place=model.registry.copies, name=wrapper.name, version=wrapper.version, kind=wrapper.kind
    )


def load(model: FakeRegistry, wrapper: LoggedWrapper) -> VerifiedCopy:
    """Copy a version as whatever loads one does, with no earlier copy at hand."""
    shutil.rmtree(model.registry.copies.root, ignore_errors=True)
    return fetch(request(model, wrapper))


def kept(model: FakeRegistry, wrapper: LoggedWrapper) -> Path:
    """Return the folder in which MLflow keeps a wrapper."""
    return model.file(wrapper, "")


def paths(model: FakeRegistry, wrapper: LoggedWrapper) -> list[str]:
    """Return every file of a wrapper."""
    return [file.path for file in manifest(kept(model, wrapper))]


@contextmanager
def restored(file: Path) -> Iterator[bytes]:
    """Put a file back as it was before the body; yield its bytes."""
    content = file.read_bytes()
    yield content
    file.unlink(missing_ok=True)
    file.write_bytes(content)


def retag(model: FakeRegistry, wrapper: LoggedWrapper, source: LoggedWrapper) -> None:
    """Give a version the tags of another one that say what its bytes are."""
    client = model.registry.client
    tags = client.get_model_version(source.name, str(source.version)).tags
    for tag in (DIGEST, CODE, MLMODEL, SIGNATURE, KEY):
        client.set_model_version_tag(wrapper.name, str(wrapper.version), tag, tags[tag])


def replay(model: FakeRegistry, wrapper: LoggedWrapper, source: LoggedWrapper) -> None:
    """Replace the files of a version by those of another one."""
    folder = kept(model, wrapper)
    shutil.rmtree(folder)
    shutil.copytree(kept(model, source), folder)


def test_what_is_signed_is_loaded(signed: FakeRegistry, released: Release) -> None:
    """Both wrappers; the copy has what a wrapper reads, and no more."""
    onnx, transformers = released.versions.wrappers

    assert {path.name for path in load(signed, onnx).folder.iterdir()} == {
        "MLmodel",
        "artifacts",
        "onnx_genai.py",
    }
    assert (load(signed, transformers).folder / "model" / "model.safetensors").is_file()


def stock(folder: Path, public: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the library's own command line."""
    files = (str(folder), "--signature", str(folder / "model.sig"), "--public_key", str(public))
    command = (sys.executable, "-m", "model_signing", "verify", "key", *files, *options)
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_librarys_own_command_verifies_what_mlflow_downloads(
    signed: FakeRegistry, released: Release, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    """MLflow adds one file to what it downloads, which has to be ignored by name."""
    import mlflow

    wrapper = released.versions.onnx
    downloaded = mlflow.artifacts.download_artifacts(wrapper.uri, dst_path=str(tmp_path / "it"))
    folder = Path(downloaded)
    ignore = ("--ignore-paths", str(folder / "registered_model_meta"))

    done = stock(folder, keys[1], *ignore)
    (folder / "onnx_genai.py").chmod(0o600)
    with (folder / "onnx_genai.py").open("a", encoding="utf-8") as file:
        file.write("\n")
    changed = stock(folder, keys[1], *ignore)

    assert (done.returncode, changed.returncode) == (0, 1), done.stderr
    assert "Verification succeeded" in done.stdout
    assert paths(signed, wrapper) == [
        each.path for each in manifest(folder) if each.path != "registered_model_meta"
    ]


def test_every_flipped_bit_is_refused(signed: FakeRegistry, released: Release) -> None:
    """Wherever it is: also in the record, the signature, and files that no wrapper reads."""
    dice = random.Random(20_261_129)  # noqa: S311 - repeatable
    wrappers = released.versions.wrappers
    places = [(wrapper, path) for wrapper in wrappers for path in paths(signed, wrapper)]
    accepted = []

    for _ in range(FLIPS):
        wrapper, path = dice.choice(places)
        with restored(signed.file(wrapper, path)) as content:
            bit = dice.randrange(8 * len(content))
            changed = bytearray(content)
            changed[bit // 8] ^= 1 << bit % 8
            signed.file(wrapper, path).write_bytes(changed)
            try:
                load(signed, wrapper)
            except REFUSED:
                continue
            finally:
                signed.file(wrapper, path).write_bytes(content)
            accepted.append((wrapper.name, path, bit))

    assert accepted == []
    assert all(load(signed, wrapper) for wrapper in wrappers)


@pytest.mark.parametrize(
    "path",
    [
        "notes.txt",
        "conda.yaml",
        "registered_model_meta",
        ".gitattributes",
        ".git/config",
        "artifacts/model/more.onnx.data",
        "artifacts/model/README.md",
    ],
)
def test_an_added_file_is_refused(signed: FakeRegistry, released: Release, path: str) -> None:
    """Also one that every tool ignores, and the card, which no other digest covers."""
    wrapper = released.versions.onnx
    added = signed.file(wrapper, path)
    added.parent.mkdir(parents=True, exist_ok=True)
    added.write_text("{}", encoding="utf-8")

    with pytest.raises(REFUSED, match=r"Extra files|not part of a release|has digest"):
        load(signed, wrapper)


def removed(file: Path) -> None:
    """Remove a file."""
    file.unlink()


def renamed(file: Path) -> None:
    """Rename a file."""
    file.rename(file.with_name(f"{file.name}.txt"))


def linked(file: Path) -> None:
    """Replace a file by a link to the same bytes."""
    elsewhere = file.with_name(f".{file.name}")
    file.rename(elsewhere)
    file.symlink_to(elsewhere.name)


@pytest.mark.parametrize("change", [removed, renamed, linked])
def test_a_file_that_is_removed_renamed_or_linked_is_refused(
    signed: FakeRegistry, released: Release, change: Callable[[Path], None]
) -> None:
    """Whichever file it is, of both wrappers."""
    for wrapper in released.versions.wrappers:
        folder = kept(signed, wrapper)
        whole = folder.with_name(f"{folder.name}-whole")
        shutil.copytree(folder, whole)
        for path in paths(signed, wrapper):
            change(folder / path)
            with pytest.raises(REFUSED):
                load(signed, wrapper)
            shutil.rmtree(folder)
            shutil.copytree(whole, folder)
        assert load(signed, wrapper)


def test_what_another_key_has_signed_is_refused(signed: FakeRegistry, tmp_path: Path) -> None:
    """Whatever else is right about it: it is not even promoted."""
    other = replace(signed, signing_key=pair(tmp_path / "other")[0])

    with pytest.raises(MoveRefused, match="signature is not valid"):
        other.release("one")


def test_a_copy_that_another_key_verified_is_not_used(
    signed: FakeRegistry, released: Release, tmp_path: Path
) -> None:
    """The copy was made before the key was replaced."""
    wrapper, (_, other) = released.versions.onnx, pair(tmp_path / "other")
    load(signed, wrapper)
    place = signed.registry.copies.model_copy(update={"public_key": other})

    with pytest.raises(VersionRefused, match="signature is not valid"):
        fetch(request(signed, wrapper).model_copy(update={"place": place}))


def test_a_copy_that_no_key_verified_is_not_used(signed: FakeRegistry, released: Release) -> None:
    """The copy was made before a key was required, and is not what was signed."""
    wrapper = released.versions.onnx
    signed.file(wrapper, "onnx_genai.py").with_name("conda.yaml").write_text("{}", "utf-8")
    place = signed.registry.copies.model_copy(update={"public_key": None})

    assert fetch(request(signed, wrapper).model_copy(update={"place": place}))
    with pytest.raises(VersionRefused, match="Extra files"):
        fetch(request(signed, wrapper))


def test_a_stripped_signature_is_refused(signed: FakeRegistry, released: Release) -> None:
    """With its tag and without it."""
    wrapper, client = released.versions.onnx, signed.registry.client
    signed.file(wrapper, release_record.SIGNATURE_FILE).unlink()

    with pytest.raises(ArtifactChanged, match=r"model.sig has digest none"):
        load(signed, wrapper)
    client.delete_model_version_tag(wrapper.name, str(wrapper.version), SIGNATURE)
    with pytest.raises(VersionRefused, match=r"it is not signed; release .* --force"):
        load(signed, wrapper)


def test_a_release_that_is_not_signed_is_not_promoted(signed: FakeRegistry) -> None:
    """No alias names it."""
    unsigned = replace(signed, signing_key=None)

    with pytest.raises(MoveRefused, match="it is not signed"):
        unsigned.release("one")

    assert signed.aliases() == ({}, {})


def test_an_older_release_in_the_place_of_a_newer_one_is_refused(
    signed: FakeRegistry, released: Release
) -> None:
    """All its files and its signature are genuine; tags that are edited do not help."""
    older, newer = released.versions.onnx, signed.release("two").versions.onnx
    key = signed.tags(newer.version)[KEY]
    replay(signed, newer, older)

    with pytest.raises(ArtifactChanged):
        load(signed, newer)
    retag(signed, newer, older)
    with pytest.raises(VersionRefused, match=f"its record is that of version {older.version}"):
        load(signed, newer)
    signed.registry.client.set_model_version_tag(newer.name, str(newer.version), KEY, key)
    with pytest.raises(VersionRefused, match="its record is one of another release"):
        load(signed, newer)
    assert load(signed, older)


def test_a_release_of_another_model_is_refused(signed: FakeRegistry, released: Release) -> None:
    """Signed with the same key."""
    other = replace(signed, model=fresh_name(), folder=signed.folder / "other")
    wrapper = other.release("one").versions.onnx
    replay(signed, wrapper, released.versions.onnx)
    retag(signed, wrapper, released.versions.onnx)

    with pytest.raises(VersionRefused, match=f"its record is one of {signed.model}"):
        load(signed, wrapper)


def test_a_rejected_release_is_refused_whatever_alias_names_it(signed: FakeRegistry) -> None:
    """Its record was signed as well, and has the verdict."""
    rejected = signed.sealed("one", verdict=Rejected(reasons=("it loops",)))
    signed.move_by_hand(rejected.versions.onnx.version)

    with pytest.raises(VersionRefused, match="its record says rejected: it loops"):
        load(signed, rejected.versions.onnx)


def test_a_rollback_to_what_is_not_signed_is_refused(
    signed: FakeRegistry, released: Release
) -> None:
    """The champion stays."""
    signed.release("two")
    number = str(released.versions.onnx.version)
    signed.registry.client.delete_model_version_tag(signed.model, number, SIGNATURE)

    with pytest.raises(MoveRefused, match="it is not signed"):
        signed.registry.roll_back(signed.model, None, BOB)

    assert signed.registry.champion(signed.model) == released.versions.onnx.version + 1


def test_a_candidate_is_tested_before_it_is_signed(signed: FakeRegistry) -> None:
    """The smoke test says that nothing is decided yet; nothing else does."""
    wrapper = signed.register("one").onnx

    assert fetch(request(signed, wrapper).model_copy(update={"decided": False}))
    with pytest.raises(VersionRefused, match="it is not signed"):
        load(signed, wrapper)


def test_a_key_that_is_none_is_no_fault_of_the_version(
    signed: FakeRegistry, released: Release, tmp_path: Path
) -> None:
    """A missing file, another file, a private key, a key of another kind."""
    text = tmp_path / "text"
    text.write_text("a key", encoding="utf-8")

    for file in (tmp_path / "nothing", text, signed.signing_key):
        place = signed.registry.copies.model_copy(update={"public_key": file})
        with pytest.raises(SigningKeyUnusable, match="slipway keys init"):
            fetch(request(signed, released.versions.onnx).model_copy(update={"place": place}))


def test_the_setting_reaches_all_that_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Serving, redeploys, predict, smoke tests and the registry take their copies from there."""
    monkeypatch.setenv("SLIPWAY_VERIFY_KEY", str(tmp_path / "public.pem"))

    assert CopyPlace.of(Settings()).public_key == tmp_path / "public.pem"


def test_a_version_is_examined(
    signed: FakeRegistry, released: Release, keys: tuple[Path, Path]
) -> None:
    """What holds is shown, and what does not."""
    wrapper = released.versions.onnx

    found = examine(request(signed, wrapper))
    place = signed.registry.copies.model_copy(update={"public_key": None})
    unchecked = examine(request(signed, wrapper).model_copy(update={"place": place}))
    signed.damage(released)
    damaged: Any = examine(request(signed, wrapper))

    assert (found.fault, found.signature) == (None, "valid")
    assert found.files == len(paths(signed, wrapper))
    assert found.signed_by == signing_keys.fingerprint(keys[1])
    assert found.record
    assert found.record.key == released.versions.key
    assert (unchecked.signature, unchecked.signed_by) == ("not checked", None)
    assert "has digest" in damaged.fault
    assert damaged.record is None
