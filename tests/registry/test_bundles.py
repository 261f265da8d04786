"""A champion is carried from one registry to another: the same files, named by both histories."""

import hashlib
import io
import random
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from slipway.errors import MoveRefused, NoChampion, SourceRefused, VersionRefused
from slipway.registry import Registry
from slipway.registry.requirements import unmet
from slipway.system import signing_keys
from slipway.system.store import manifest
from slipway.tracking import bundle as bundles
from slipway.tracking import log_bundle, release_record
from slipway.tracking.bundle import Bundle
from slipway.tracking.bundle_file import SUMS, pack, unpack
from slipway.tracking.tags import KEY, PROMOTED_FROM, SIGNATURE
from slipway.tracking.verification import examine
from slipway.tracking.verified_copy import CopyRequest
from slipway.values import AuditInfo, Environment, Promoted, Rejected, Release
from tests.support.fake_registry import ANN, FakeRegistry, fresh_name, new_registry

DAY = datetime(2026, 11, 1, tzinfo=UTC)
FLIPS = 200


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a private and a public key."""
    folder = tmp_path_factory.mktemp("keys")
    signing_keys.make_pair(folder / "private.pem", folder / "public.pem")
    return folder / "private.pem", folder / "public.pem"


@pytest.fixture
def dev(registry: Registry, tmp_path: Path, keys: tuple[Path, Path]) -> FakeRegistry:
    """Return a model whose releases are signed."""
    copies = registry.copies.model_copy(update={"root": tmp_path / "dev", "public_key": keys[1]})
    strict = Registry(copies, registry.locks)
    return FakeRegistry(strict, tmp_path / "files", fresh_name(), keys[0])


@pytest.fixture(scope="module")
def other_registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Return another registry, in a database and a folder of its own."""
    return new_registry(tmp_path_factory.mktemp("prod"))


def prod(other: Registry, keys: tuple[Path, Path]) -> Registry:
    """Return the other registry, connected; it requires signatures."""
    copies = other.copies.model_copy(update={"public_key": keys[1]})
    return Registry(copies, other.locks)


def released(dev: FakeRegistry, key: str, *, dated: datetime = DAY) -> Release:
    """Return a release that is champion."""
    reopened = replace(dev, registry=Registry(dev.registry.copies, dev.registry.locks))
    return reopened.release(key, dated=dated)


def bundled(dev: FakeRegistry, release: Release, folder: Path) -> Bundle:
    """Return the bundle of a release, in a new folder."""
    folder.mkdir()
    return bundles.write(release, dev.registry.copies, "dev", folder)


def land(registry: Registry, bundle: Bundle, *, force: bool = False) -> Release:
    """Return the release as it ends in another registry, where every test passes."""
    request = log_bundle.BundleRequest.of(bundle, "Tiny", registry.location)
    versions = registry.register_once(request, log_bundle.log)
    release = bundle.release(versions, Promoted(reasons=("all hold",)))
    text = log_bundle.description(bundle, versions.run_id, registry.location)
    audit = AuditInfo(actor="ann@harbour", reason=f"promoted from {bundle.comes_from}")
    return registry.promote(release, "champion", text, audit, overtakes=force)


def test_the_same_files_are_champion_in_the_other_registry(
    dev: FakeRegistry, other_registry: Registry, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    """Both wrappers, record, signature and report; and each history names the other."""
    released(dev, "one")
    release = released(dev, "two")
    bundle = bundled(dev, release, tmp_path / "bundle")
    there = prod(other_registry, keys)

    landed = land(there, bundle)

    assert [each.version for each in release.versions.wrappers] == [2, 2]
    assert [each.version for each in landed.versions.wrappers] == [1, 1]
    assert there.aliases(dev.model) == {"candidate": 1, "champion": 1}
    for number, request in enumerate(there.copies_of(dev.model, 1)):
        found = examine(request)
        kind = release.versions.wrappers[number].kind
        assert (found.fault, found.signature) == (None, "valid")
        assert found.files == len(manifest(bundle.folder / kind))
    assert there.tags(dev.model, 1)[PROMOTED_FROM] == "dev v2"
    run = there.client.get_run(landed.versions.run_id)
    assert run.data.metrics == {"kl_mean": 0.01}
    assert [each.path for each in there.client.list_artifacts(run.info.run_id)] == ["report.md"]
    (period,) = there.history(dev.model)
    assert period.elsewhere == ("from dev v2",)
    here = Registry(dev.registry.copies, dev.registry.locks)
    here.record_promoted(release, "prod", 1)
    assert [each.elsewhere for each in here.history(dev.model)] == [(), ("to prod v1",)]


def test_a_second_promotion_registers_nothing(
    dev: FakeRegistry, other_registry: Registry, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    """The release key is the same in both registries."""
    bundle = bundled(dev, released(dev, "one"), tmp_path / "bundle")
    there = prod(other_registry, keys)
    first = land(there, bundle)

    second = land(there, bundle)

    assert second == first.model_copy(update={"existed": True})
    assert len(there.client.search_model_versions(f"name = '{dev.model}'")) == 1
    assert there.released(dev.model, "one") == second


def test_a_version_with_the_same_key_and_other_files_is_refused(
    dev: FakeRegistry, other_registry: Registry, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    """Somebody registered it there."""
    bundle = bundled(dev, released(dev, "one"), tmp_path / "bundle")
    there = prod(other_registry, keys)
    foreign = replace(dev, registry=there, folder=tmp_path / "foreign", signing_key=None)
    foreign.register("one")

    request = log_bundle.BundleRequest.of(bundle, "Tiny", there.location)
    found = there.registered(request)
    assert found  # the same bytes
    (bundle.folder / "onnx" / "artifacts" / "model" / "model.onnx").chmod(0o600)
    (bundle.folder / "onnx" / "artifacts" / "model" / "model.onnx").write_bytes(b"others")
    with pytest.raises(MoveRefused, match="is not what it would log"):
        there.registered(request)


def test_an_older_source_overtakes_only_if_a_person_insists(
    dev: FakeRegistry, other_registry: Registry, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    """As a release does in one registry."""
    old = bundled(dev, released(dev, "old"), tmp_path / "old")
    new = bundled(dev, released(dev, "new", dated=DAY + timedelta(days=1)), tmp_path / "new")
    there = prod(other_registry, keys)
    land(there, new)

    late = land(there, old)

    assert isinstance(late.verdict, Rejected)
    assert "is older than" in late.verdict.reasons[0]
    assert there.champion(dev.model) == 1
    assert land(there, old, force=True).versions.onnx.version == there.champion(dev.model)


def test_a_rollback_there_changes_nothing_here(
    dev: FakeRegistry, other_registry: Registry, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    """And what was rolled back there is not promoted again by itself."""
    there = prod(other_registry, keys)
    for key in ("one", "two"):
        bundle = bundled(dev, released(dev, key), tmp_path / key)
        there = prod(other_registry, keys)
        land(there, bundle)
    there.roll_back(dev.model, None, ANN)

    assert there.champion(dev.model) == 1
    again = there.released(dev.model, "two")
    assert again
    assert isinstance(again.verdict, Rejected)
    here = Registry(dev.registry.copies, dev.registry.locks)
    assert here.champion(dev.model) == 2
    assert here.state(dev.model, 2).obstacle is None


def test_what_may_not_serve_does_not_leave(dev: FakeRegistry) -> None:
    """No champion; one that is quarantined; one that somebody registered by hand."""
    with pytest.raises(NoChampion):
        dev.registry.leaving(dev.model)
    dev.release("one")
    dev.release("two")
    dev.registry.roll_back(dev.model, None, ANN)
    dev.move_by_hand(2)
    with pytest.raises(MoveRefused, match="version 2 is quarantined"):
        dev.registry.leaving(dev.model)
    dev.register("three")
    dev.move_by_hand(3)
    with pytest.raises(MoveRefused, match="version 3 is not released"):
        dev.registry.leaving(dev.model)


def test_a_release_that_is_not_signed_does_not_leave(dev: FakeRegistry, tmp_path: Path) -> None:
    """Where a key is set."""
    release = released(dev, "one")
    number = str(release.versions.onnx.version)
    dev.registry.client.delete_model_version_tag(dev.model, number, SIGNATURE)

    with pytest.raises(VersionRefused, match="it is not signed"):
        bundled(dev, release, tmp_path / "bundle")


def test_a_release_without_a_record_does_not_leave(
    fake_registry: FakeRegistry, tmp_path: Path
) -> None:
    """Also where no key is set: an earlier version of Slipway released it."""
    release = released(fake_registry, "one")

    with pytest.raises(VersionRefused, match=r"it has no run\.json; release the model again"):
        bundled(fake_registry, release, tmp_path / "bundle")


def test_what_its_own_record_rejects_does_not_leave(
    fake_registry: FakeRegistry, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    """Whatever its tags say; also where no key is set."""
    sealed = replace(fake_registry, signing_key=keys[0])
    summary = sealed.sealed("one", verdict=Rejected(reasons=("it loops",)))
    release = Release(
        versions=summary.versions,
        repo=summary.weights.revision.source.repo,
        commit=summary.weights.revision.commit,
        variant=summary.artifact.variant,
        verdict=Promoted(reasons=("somebody edited it",)),
        promotion=None,
    )

    with pytest.raises(VersionRefused, match="its record says rejected: it loops"):
        bundled(sealed, release, tmp_path / "bundle")


@pytest.fixture
def packed(dev: FakeRegistry, tmp_path: Path) -> Path:
    """Return the file of a bundle."""
    bundle = bundled(dev, released(dev, "one"), tmp_path / "bundle")
    pack(bundle.folder, tmp_path / "tiny.bundle")
    return tmp_path / "tiny.bundle"


def refusal(file: Path, folder: Path, public_key: Path | None = None) -> str | None:
    """Return why a file is refused, unpacked into a new folder; None if it is not."""
    folder.mkdir()
    try:
        unpack(file, folder)
        bundles.read(folder, public_key)
    except (SourceRefused, VersionRefused) as error:
        return str(error)
    finally:
        shutil.rmtree(folder)
    return None


def test_a_bundle_is_the_same_file_twice(packed: Path, tmp_path: Path) -> None:
    """Whenever and wherever it is made; ``sha256sum --check`` reads its list."""
    (tmp_path / "again").mkdir()
    unpack(packed, tmp_path / "again")

    pack(tmp_path / "again", tmp_path / "again.bundle")

    assert (tmp_path / "again.bundle").read_bytes() == packed.read_bytes()
    for line in (tmp_path / "again" / SUMS).read_text(encoding="utf-8").splitlines():
        digest, path = line.split("  ")
        assert hashlib.sha256((tmp_path / "again" / path).read_bytes()).hexdigest() == digest


def test_every_bit_of_a_bundle_counts(packed: Path, tmp_path: Path) -> None:
    """In files, names, padding and lists; at places of a fixed seed, and at the end."""
    content = packed.read_bytes()
    assert refusal(packed, tmp_path / "room") is None
    places = random.Random(15).sample(range(len(content) * 8), FLIPS)  # noqa: S311 - seeded
    accepted = []
    for bit in (*places, len(content) * 8 - 1):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        packed.write_bytes(flipped)
        if refusal(packed, tmp_path / "room") is None:
            accepted.append(bit)
    assert accepted == []


def members(packed: Path) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """Yield the members of a bundle."""
    with tarfile.open(packed) as tar:
        for member in tar:
            content = tar.extractfile(member)
            assert content
            yield member, content.read()


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "onnx/../../outside", "a\\b"])
def test_a_path_that_leaves_the_folder_is_refused(packed: Path, tmp_path: Path, name: str) -> None:
    """Before anything is written there."""
    every = list(members(packed))
    with tarfile.open(packed, "w") as tar:
        for member, content in (*every, (tarfile.TarInfo(name), b"")):
            tar.addfile(member, io.BytesIO(content))

    reason = refusal(packed, tmp_path / "room")

    assert reason
    assert "is no plain file below the folder" in reason
    assert not (tmp_path / "outside").exists()


def test_a_link_a_double_and_another_file_are_refused(packed: Path, tmp_path: Path) -> None:
    """A tar may hold all of them."""
    every = list(members(packed))
    link = tarfile.TarInfo("onnx/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    added = tarfile.TarInfo("zeros")
    for extra in (link, every[0][0], added):
        with tarfile.open(packed, "w") as tar:
            for member, content in (*every, (extra, b"")):
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        assert refusal(packed, tmp_path / "room")
    packed.write_bytes(b"no tar")
    assert "it is no bundle" in (refusal(packed, tmp_path / "room") or "")


def test_a_bundle_that_another_key_signed_is_refused(packed: Path, tmp_path: Path) -> None:
    """Although each of its bytes is as it was packed."""
    signing_keys.make_pair(tmp_path / "private.pem", tmp_path / "other.pem")

    reason = refusal(packed, tmp_path / "room", tmp_path / "other.pem")

    assert "signature is not valid" in (reason or "")


def changed_copies(folder: Path, copy: Path) -> Iterator[tuple[str, Path]]:
    """Yield a copy of a bundle for each of its files, with one bit of that file flipped."""
    for file in manifest(folder):
        shutil.copytree(folder, copy)
        changed = copy / file.path
        content = changed.read_bytes()
        changed.chmod(0o600)
        changed.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        yield file.path, copy
        shutil.rmtree(copy)


def test_whoever_writes_the_list_of_sums_again_changes_no_file(
    packed: Path, tmp_path: Path, keys: tuple[Path, Path]
) -> None:
    """One bit of each file, the report included; the sums are those of the changed files."""
    whole = tmp_path / "whole"
    whole.mkdir()
    unpack(packed, whole)
    (whole / SUMS).unlink()
    assert refusal(packed, tmp_path / "room", keys[1]) is None

    refused = {}
    for path, folder in changed_copies(whole, tmp_path / "copy"):
        pack(folder, tmp_path / "changed.bundle")
        refused[path] = refusal(tmp_path / "changed.bundle", tmp_path / "room", keys[1])

    assert {"run/report.md", "onnx/run.json", "onnx/model.sig"} <= refused.keys()
    assert all(refused.values())
    assert "run/report.md is not as its run.json says" in (refused["run/report.md"] or "")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("bundle.json", "bundle.json is not part of a bundle"),
        ("more/file", "more is not part of a bundle"),
        ("run/more.txt", "run/more.txt is not as its run.json says"),
        ("onnx/more.txt", "more.txt is not as its record says"),
        ("transformers/more.txt", "more.txt is not as its record says"),
    ],
)
def test_a_file_that_nobody_signed_is_refused(
    packed: Path, tmp_path: Path, keys: tuple[Path, Path], path: str, expected: str
) -> None:
    """Wherever it is added; the list of sums has it."""
    folder = tmp_path / "edited"
    folder.mkdir()
    unpack(packed, folder)
    (folder / path).parent.mkdir(exist_ok=True)
    (folder / path).write_text("{}", encoding="utf-8")
    pack(folder, tmp_path / "edited.bundle")

    reason = refusal(tmp_path / "edited.bundle", tmp_path / "room", keys[1])

    assert expected in (reason or "")


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("release.json", "HuggingFaceTB/", "acme/"),
        ("release.json", '"key": "one"', '"key": "two"'),
        ("run.json", '"dated": "2026-', '"dated": "2099-'),
        ("run.json", '"precision": "int8"', '"precision": "fp32"'),
        ("run.json", '"kl_mean": 0.01', '"kl_mean": 9.01'),
        ("run.json", '"description": "Release one."', '"description": "Release it all."'),
    ],
)
def test_what_decides_about_a_release_is_signed(  # noqa: PLR0917 - an edit is three words
    packed: Path, tmp_path: Path, keys: tuple[Path, Path], file: str, before: str, after: str
) -> None:
    """Whoever edits a document of both wrappers, with all records and sums, lacks the key."""
    folder = tmp_path / "edited"
    folder.mkdir()
    unpack(packed, folder)
    for kind in ("onnx", "transformers"):
        edited = folder / kind / file
        text = edited.read_text(encoding="utf-8")
        assert before in text
        edited.write_text(text.replace(before, after), encoding="utf-8")
        record_again(folder / kind)
    pack(folder, tmp_path / "edited.bundle")

    reason = refusal(tmp_path / "edited.bundle", tmp_path / "room", keys[1])

    assert "its signature is not valid" in (reason or "")


def record_again(folder: Path) -> None:
    """Write the digest of every file of a wrapper into its record, as whoever changed one does."""
    file = folder / release_record.FILE
    record = release_record.read("it", file.read_bytes())
    own = {release_record.FILE, release_record.SIGNATURE_FILE}
    files = tuple(each for each in manifest(folder) if each.path not in own)
    file.write_bytes(release_record.statement(record.model_copy(update={"files": files})))


def test_a_report_that_somebody_edited_in_mlflow_does_not_leave(
    dev: FakeRegistry, tmp_path: Path
) -> None:
    """Nor one that somebody removed; what was added to the run stays behind."""
    release = released(dev, "one")
    client, run_id = dev.registry.client, release.versions.run_id
    client.log_text(run_id, "more", "more.txt")
    assert not (bundled(dev, release, tmp_path / "first").folder / "run" / "more.txt").exists()
    client.log_metric(run_id, "kl_mean", 0.0)
    assert bundled(dev, release, tmp_path / "second").run.metrics == {"kl_mean": 0.01}

    client.log_text(run_id, "# Better report", "report.md")

    with pytest.raises(
        VersionRefused, match=r"run/report\.md is not as its run\.json says; release"
    ):
        bundled(dev, release, tmp_path / "third")


def test_wrappers_of_two_releases_are_no_bundle(
    dev: FakeRegistry, tmp_path: Path, keys: tuple[Path, Path]
) -> None:
    """Although the key has signed both."""
    one = bundled(dev, released(dev, "one"), tmp_path / "one").folder
    two = bundled(dev, released(dev, "two"), tmp_path / "two").folder
    shutil.rmtree(one / "transformers")
    shutil.move(two / "transformers", one)

    with pytest.raises(VersionRefused, match="its wrappers are of two releases"):
        bundles.read(one, keys[1])


def test_how_long_a_champion_has_served_is_read_from_the_history(dev: FakeRegistry) -> None:
    """Too short, long enough, not recorded."""
    dev.release("one")
    _, period = dev.registry.leaving(dev.model)
    assert period.since
    day = Environment(tracking_uri="http://127.0.0.1:5000", served_hours=24)

    soon = unmet(day, period, period.since + timedelta(hours=23))

    assert soon == "it has been champion for 23.0 hours, and 24 are required"
    assert unmet(day, period, period.since + timedelta(hours=24)) is None
    by_hand = period.model_copy(update={"since": None})
    assert unmet(day, by_hand, DAY) == "nothing recorded since when it is champion"
    assert unmet(day.model_copy(update={"served_hours": 0}), by_hand, DAY) is None


def test_what_a_failed_landing_left_is_gone_afterwards(
    dev: FakeRegistry,
    other_registry: Registry,
    keys: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A logged model without a version."""
    bundle = bundled(dev, released(dev, "one"), tmp_path / "bundle")
    there = prod(other_registry, keys)
    with monkeypatch.context() as patch, suppress(OSError):
        patch.setattr(log_bundle, "_logged", broken)
        land(there, bundle)
    assert there.champion(dev.model) is None

    landed = land(there, bundle)

    experiment = there.client.get_experiment_by_name(dev.model)
    models = there.client.search_logged_models([experiment.experiment_id])
    assert {each.model_id for each in models} == {
        each.model_id for each in landed.versions.wrappers
    }
    assert all(each.tags[KEY] == "one" for each in models)
    request = CopyRequest(place=there.copies, name=dev.model, version=1)
    assert examine(request).fault is None


def broken(*_: object) -> None:
    """Fail as a full disk does."""
    raise OSError
