"""A bundle as one file, for a machine without a network: a tar whose every byte is determined.

Its files are in order, without times, owners and modes. ``SHA256SUMS`` has the digest of each, as
``sha256sum --check`` reads it. Whoever unpacks it makes the same file again and compares both: one
bit that differs, wherever it is, is found before anything is used.
"""

import hashlib
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from slipway.errors import SourceRefused
from slipway.system import disk
from slipway.system.store import flush, manifest, require_disk, sha256
from slipway.values.paths import stays_inside

SUMS = "SHA256SUMS"
_AGAIN = "copy it again, or make it again with `slipway bundle`"


def pack(folder: Path, file: Path) -> str:
    """Write the files of a folder into ``file``, which is there as a whole or not at all.

    Returns:
        The SHA-256 of the file. The folder then has ``SHA256SUMS`` too.

    Raises:
        DiskFailed: If the disk of ``file`` gets full, or is broken.
    """
    (folder / SUMS).write_text(_sums(folder), encoding="utf-8")
    partial = file.with_name(f"{file.name}.partial")
    try:
        with disk.writing(file.absolute().parent):
            with partial.open("wb") as written:
                _write(folder, written)
            flush(partial)
            partial.rename(file)
    finally:
        partial.unlink(missing_ok=True)
    return sha256(file)


def unpack(file: Path, folder: Path) -> None:
    """Write the files of ``file`` into an empty folder, if every byte is as it was packed.

    Raises:
        SourceRefused: If a bit differs, or if a path leaves the folder.
        MachineTooSmall: If the disk has no room for them.
    """
    require_disk(str(file), file.stat().st_size, folder)
    try:
        with tarfile.open(file, mode="r:") as tar:
            for member in _members(file, tar):
                target = folder / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as written:
                    shutil.copyfileobj(_content(tar, member), written)
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise SourceRefused(str(file), f"it is no bundle ({error})", _AGAIN) from error
    _require_sums(file, folder)
    again = _Digest()
    _write(folder, again)
    if again.sha256.hexdigest() != sha256(file):
        raise SourceRefused(str(file), "it has what `slipway bundle` does not write", _AGAIN)


def _members(file: Path, tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the members of a tar; refuse what is no plain file below the folder."""
    seen: set[str] = set()
    for member in tar:
        parents = {str(parent) for parent in PurePosixPath(member.name).parents}
        if not member.isreg() or member.issparse() or not stays_inside(member.name):
            rule = f"{member.name!a} is no plain file below the folder"
            raise SourceRefused(str(file), rule, _AGAIN)
        if seen & {member.name, *parents}:
            raise SourceRefused(str(file), f"{member.name} is there twice", _AGAIN)
        seen.add(member.name)
        yield member


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Any:
    content = tar.extractfile(member)
    assert content is not None  # noqa: S101 - it is a plain file
    return content


def _require_sums(file: Path, folder: Path) -> None:
    sums = folder / SUMS
    written = sums.read_bytes().splitlines() if sums.is_file() else []
    found = _sums(folder).encode().splitlines()
    if written != found:
        different = min({*written} ^ {*found}, default=b"").decode(errors="replace")
        rule = f"it is not as it was made ({different.partition('  ')[2] or SUMS} differs)"
        raise SourceRefused(str(file), ascii(rule)[1:-1], _AGAIN)


def _sums(folder: Path) -> str:
    files = (file for file in manifest(folder) if file.path != SUMS)
    return "".join(f"{file.sha256}  {file.path}\n" for file in files)


def _write(folder: Path, out: Any) -> None:
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            member = tarfile.TarInfo(path.relative_to(folder).as_posix())
            member.size = path.stat().st_size
            with path.open("rb") as content:
                tar.addfile(member, content)


class _Digest:
    """A file that keeps nothing but the SHA-256 of what was written."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()

    def write(self, block: bytes) -> int:
        self.sha256.update(block)
        return len(block)
