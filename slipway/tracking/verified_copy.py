"""A private copy of a registered version: exactly the files that were released, and nothing else.

MLflow keeps a folder, its loader takes whatever the folder holds, and whoever may edit the
experiment may add to it: bytecode beside the wrapper would be executed instead of the wrapper. So
nothing is ever loaded from MLflow's own folder. The process that may sign in to MLflow makes a
copy, and the process that runs the wrapper receives that copy and no credentials.

Tags may be edited too. Where a public key is set, it must have signed all files of the version, and
the record among them must be that of just this version.

A copy is addressed by the digests in the version's tags. Servers, preflights, smoke tests and
``slipway predict`` share it, and every byte of it is read again before each use.
"""

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import yaml

from slipway import keys
from slipway.errors import ArtifactChanged, SourceMissing, VersionRefused, VersionUnsigned
from slipway.settings import Settings
from slipway.system import disk
from slipway.system.store import Store, manifest, require_disk
from slipway.tracking import (
    bill_of_materials,
    flavors,
    known_wrappers,
    release_record,
    run_record,
    signature,
)
from slipway.tracking.location import (
    MlflowLocation,
    client_of,
    connect,
    if_any_of,
    mlflow_location,
)
from slipway.tracking.model_files import DELETE, open_files
from slipway.tracking.release_record import RELEASE_AGAIN
from slipway.tracking.tags import CODE, DIGEST, FORMAT, KEY, MLMODEL, SIGNATURE
from slipway.values import FileEntry, Value, WrapperKind
from slipway.values.signers import Verifier

_MLMODEL = "MLmodel"
_IN_USE_SECONDS = 3600.0

#: Folders of what a wrapper reads. Their digest is the version's tag.
PAYLOAD: Mapping[WrapperKind, tuple[str, ...]] = {
    "onnx": (flavors.ARTIFACT,),
    "transformers": ("model", "components"),
}

#: What MLflow and its transformers flavor write beside a model for people and other tools. None of
#: it is copied.
_NOT_LOADED = {
    *("conda.yaml", "python_env.yaml", "requirements.txt", "registered_model_meta"),
    *("input_example.json", "serving_input_example.json", "environment_variables.txt"),
    *("LICENSE.txt", "model_card.md", "model_card_data.yaml"),
    *(release_record.FILE, release_record.SIGNATURE_FILE),
    *(bill_of_materials.FILE, run_record.FILE),
    *("uv.lock", "pyproject.toml", ".python-version"),
}


class VerifiedCopy(Value):
    """A private copy of a version's files.

    Attributes:
        folder: For MLflow's loader.
        digest: Of what the wrapper reads, equal to the version's tag.
    """

    folder: Path
    digest: str


class CopyPlace(Value):
    """Where versions come from, and where their copies are kept.

    Attributes:
        root: Folder of all copies.
        store: Folder of the store. What is in it as well is not written a second time.
        wrappers: Folder of this checkout's wrapper and of the list of those released before.
        public_key: File of the key that must have signed what is loaded, or who must have done so
            without one; None if nobody must.
    """

    location: MlflowLocation
    root: Path
    store: Path
    wrappers: Path
    public_key: Verifier | None = None

    @classmethod
    def of(cls, settings: Settings) -> "CopyPlace":
        """Return the place that the settings name."""
        home = settings.home.resolve()
        return cls(
            location=mlflow_location(settings),
            root=home / "copies",
            store=home / "store",
            wrappers=settings.wrappers.resolve(),
            public_key=settings.verifier,
        )

    def made(self, name: str, version: int) -> Path | None:
        """Return the folder of a version's copy, not verified again; None if there is none yet."""
        made = (self.root / name).glob(f"{version}-*/manifest.json")
        return next((file.parent for file in made), None)

    def remove_unused(
        self, name: str, *, keep: set[int], unused_seconds: float = _IN_USE_SECONDS
    ) -> None:
        """Remove the copies of a registered model that were not fetched for a while.

        One that another process is writing stays, however long that takes.

        Args:
            name: The model.
            keep: Versions whose copies stay in any case.
            unused_seconds: Other processes may be loading a copy that was fetched since.
        """
        store = Store(self.root / name)
        for copy in store.root.glob("*-*/"):
            if int(copy.name.partition("-")[0]) not in keep:
                store.remove(copy.name, time.time() - unused_seconds)


class CopyRequest(Value):
    """Which version to copy.

    Attributes:
        name: Name of the registered model.
        decided: Whether the version is one that may serve, and so has a record and a signature. A
            candidate gets both when its smoke test is over.
    """

    place: CopyPlace
    name: str
    version: int
    kind: WrapperKind = "onnx"
    decided: bool = True

    @property
    def public_key(self) -> Verifier | None:
        """Who must have signed this version; None if nobody must."""
        return self.place.public_key if self.decided else None

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"


def fetch(request: CopyRequest) -> VerifiedCopy:
    """Return the private copy of a version, made now if there is none.

    Raises:
        SourceMissing: If there is no such version.
        VersionRefused: If it lacks a digest, or has a file or a wrapper that was not released.
        VersionUnsigned: If it has to be signed, and nobody signed it.
        ArtifactChanged: If a file is not the one that was released.
        MachineTooSmall: If the disk has too little space.
        DiskFailed: If it gets full meanwhile, or is broken.
        Unreachable: If MLflow does not answer.
    """
    released = _released(request)
    store = Store(_private(_private(request.place.root) / request.name))
    key = f"{request.version}-{keys.digest(released | _verified_by(request))[:32]}"
    entry = store.make(key, lambda folder: _copy_loaded(request, released, folder))
    _require_released(request, entry.files, released)
    os.utime(entry.folder.parent)
    return VerifiedCopy(folder=entry.folder, digest=released[DIGEST])


def verify(request: CopyRequest) -> None:
    """Compare what MLflow keeps of a version now with what was released.

    Raises:
        SlipwayError: As ``fetch`` does.
    """
    with whole_copy(request):
        pass


@contextmanager
def whole_copy(request: CopyRequest) -> Iterator[tuple[Path, tuple[FileEntry, ...]]]:
    """Yield a temporary folder with every file that MLflow keeps of a version now, and their list.

    Raises:
        SlipwayError: As ``fetch`` does.
    """
    released = _released(request)
    _require_not_deleted(request)
    with tempfile.TemporaryDirectory(dir=_private(request.place.root)) as room:
        folder = Path(room) / request.name
        with disk.writing(request.place.root):
            folder.mkdir()
            files = _copy(request, released, folder)
        yield folder, files


def _require_not_deleted(request: CopyRequest) -> None:
    """Check the logged model of a version: once deleted, its files stay only until a clean-up."""
    from mlflow.exceptions import MlflowException

    client = client_of(request.place.location)
    source = client.get_model_version(request.name, str(request.version)).source
    try:
        if source.startswith("models:/m-"):
            client.get_logged_model(source.removeprefix("models:/"))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise VersionRefused(str(request), "its logged model was deleted", RELEASE_AGAIN) from error


def _private(folder: Path) -> Path:
    """Make a folder that only this user may read."""
    with disk.writing(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
    return folder


def _released(request: CopyRequest) -> dict[str, str]:
    """Return the digests in a version's tags, if its wrapper is known."""
    client = connect(request.place.location)
    read = partial(client.get_model_version, request.name, str(request.version))
    version = if_any_of(client, request.name, read)
    if version is None:
        advice = f"`slipway status {request.name}` lists the versions"
        raise SourceMissing(str(request), advice)
    tags = (DIGEST, CODE, MLMODEL, *((SIGNATURE, KEY) if request.public_key else ()))
    if missing := [tag for tag in tags if not version.tags.get(tag)]:
        if missing[0] == SIGNATURE:
            raise VersionUnsigned(str(request), "it is not signed", RELEASE_AGAIN)
        reason = f"its tag {missing[0]} is missing, so its files cannot be verified"
        raise VersionRefused(str(request), reason, RELEASE_AGAIN)
    if request.kind == "transformers" and FORMAT not in version.tags:
        reason = "it was registered before the files of the reference had a digest"
        raise VersionRefused(str(request), reason, RELEASE_AGAIN)
    known_wrappers.require(str(request), version.tags[CODE], request.place.wrappers)
    return {tag: version.tags[tag] for tag in tags}


def _verified_by(request: CopyRequest) -> dict[str, str]:
    """Return who signed a copy: one that another key verified, or none, is not used."""
    key = request.public_key
    return {"verified by": signature.name_of(key)} if key else {}


def _copy_loaded(request: CopyRequest, released: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Copy what is loaded into ``folder``."""
    files = _copy(request, released, folder)
    for file in files:
        if not _is_loaded(file.path, request):
            (folder / file.path).unlink()
    return {file.path: file.sha256 for file in files}


def _copy(request: CopyRequest, released: Mapping[str, str], folder: Path) -> tuple[FileEntry, ...]:
    """Copy every file into ``folder``; what decides about the rest first."""
    place = request.place
    files = open_files(request.name, request.version, place.location, Store(place.store))
    sizes = files.sizes()
    for path in sizes:
        _is_loaded(path, request)  # raises before anything is copied
    require_disk(f"a copy of {request}", files.new_bytes(sizes), folder)
    digests: dict[str, str] = {}
    for path in sorted(sizes, key=lambda path: (path != _MLMODEL, path)):
        digests[path] = files.copy(path, folder)
        if (folder / path).stat().st_nlink == 1:  # else it is the store's
            (folder / path).chmod(0o400)
        if path == _MLMODEL:
            _require_equal(request, path, MLMODEL, digests[path], released)
            _require_description(request, folder / path)
    for each in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        each.chmod(0o700)
    copied = manifest(folder, digests)
    _require_released(request, copied, released)
    if request.public_key:
        _require_signed(request, folder, copied, released, request.public_key)
    return copied


def _require_signed(
    request: CopyRequest,
    folder: Path,
    files: tuple[FileEntry, ...],
    released: Mapping[str, str],
    public_key: Verifier,
) -> None:
    """Check that a key has signed these files, and that they are a release of just this version."""
    found = {file.path: file.sha256 for file in files}
    signed = found.get(release_record.SIGNATURE_FILE, "none")
    _require_equal(request, release_record.SIGNATURE_FILE, SIGNATURE, signed, released)
    signature.require(str(request), folder, public_key)
    if release_record.FILE not in found:
        raise VersionRefused(str(request), "it has no record of its release", RELEASE_AGAIN)
    content = (folder / release_record.FILE).read_bytes()
    record = release_record.read(str(request), content)
    key = released[KEY]
    if fault := release_record.fault(record, request.name, key, files) or _original(request, key):
        raise VersionRefused(str(request), fault, RELEASE_AGAIN)


def _original(request: CopyRequest, key: str) -> str | None:
    """Return of which version this one is a replay; None if no earlier one has its key."""
    client = client_of(request.place.location)
    query = f"name = '{request.name}' AND tags.`{KEY}` = '{key}'"
    versions = (int(each.version) for each in client.search_model_versions(query))
    first = min(versions, default=request.version)
    return f"its record is that of version {first}" if first < request.version else None


def _is_loaded(path: str, request: CopyRequest) -> bool:
    """Tell whether a file belongs into the copy.

    Raises:
        VersionRefused: If a release has no such file.
    """
    payload = any(path.startswith(f"{folder}/") for folder in PAYLOAD[request.kind])
    code = path.endswith((".py", ".pyc", ".pyd", ".so")) or "__pycache__" in path.split("/")
    if payload and not code:
        return keys.identifies(path)  # the digest does not cover the model's card
    if path in {_MLMODEL, *_code(request.kind)}:
        return True
    if path in _NOT_LOADED:
        return False
    raise VersionRefused(str(request), f"{path} is not part of a release", DELETE)


def _code(kind: WrapperKind) -> tuple[str, ...]:
    """Return the files of code; the transformers wrapper is MLflow's own."""
    return (known_wrappers.FILE,) if kind == "onnx" else ()


def _require_released(
    request: CopyRequest, files: tuple[FileEntry, ...], released: Mapping[str, str]
) -> None:
    """Compare the digests of a copy with those of the version's tags."""
    found = {file.path: file.sha256 for file in files}
    for path, tag in ((_MLMODEL, MLMODEL), *((path, CODE) for path in _code(request.kind))):
        _require_equal(request, path, tag, found.get(path, "none"), released)
    digest = payload_digest(request.kind, files)
    _require_equal(request, PAYLOAD[request.kind][0], DIGEST, digest, released)


def payload_digest(kind: WrapperKind, files: tuple[FileEntry, ...]) -> str:
    """Return the digest of what a wrapper reads.

    Args:
        kind: The wrapper.
        files: All files of the logged model.
    """
    folders = PAYLOAD[kind]
    # the artifact's paths are relative to it, as they were when it was built
    root = f"{folders[0]}/" if len(folders) == 1 else ""
    return keys.manifest_digest(
        file.model_copy(update={"path": file.path.removeprefix(root)})
        for file in files
        if file.path.startswith(tuple(f"{folder}/" for folder in folders))
    )


def _require_equal(
    request: CopyRequest, path: str, tag: str, found: str, released: Mapping[str, str]
) -> None:
    if found != released[tag]:
        raise ArtifactChanged(str(request), path, released[tag], found)


def _require_description(request: CopyRequest, description: Path) -> None:
    """Check what ``MLmodel`` lets MLflow execute: this wrapper, from this folder."""
    written = yaml.safe_load(description.read_text(encoding="utf-8"))["flavors"]
    if fault := flavors.fault(request.kind, written):
        raise VersionRefused(str(request), f"MLmodel {fault}, which no release does", RELEASE_AGAIN)
