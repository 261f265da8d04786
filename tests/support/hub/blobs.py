"""Contents of files: how the Hub identifies them, and where they lie on disk."""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

LFS_SUFFIXES = frozenset({".bin", ".data", ".gguf", ".onnx", ".onnx_data", ".safetensors"})
LFS_SUFFIX_MIN_BYTES = 10 * 1024
LFS_ALWAYS_MIN_BYTES = 10 * 1024 * 1024  # the real Hub refuses such a file outside of LFS


@dataclass(frozen=True, slots=True)
class Blob:
    """The content of one file.

    Attributes:
        path: Where the bytes lie on this disk.
        size_bytes: Length of the content.
        sha256: SHA-256 of the content, 64 hex digits.
        oid: Git's id, 40 hex digits: of the content, or of its pointer when ``lfs``.
        lfs: Whether git keeps only a pointer, and the bytes lie in large file storage.
    """

    path: Path
    size_bytes: int
    sha256: str
    oid: str
    lfs: bool

    @property
    def etag(self) -> str:
        """The id by which a download is recognised: SHA-256 with LFS, git's id without."""
        return self.sha256 if self.lfs else self.oid

    @property
    def pointer_size_bytes(self) -> int:
        """Length of the LFS pointer that git stores for this content."""
        return len(lfs_pointer(self.sha256, self.size_bytes))


def git_oid(kind: str, content: bytes) -> str:
    """Return git's id of an object.

    Args:
        kind: ``blob``, ``tree`` or ``commit``.
        content: The object's bytes, without git's header.

    Source: "Git Objects", Pro Git, https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
    """
    header = f"{kind} {len(content)}\0".encode()
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()


def lfs_pointer(sha256: str, size_bytes: int) -> bytes:
    """Return the text that git stores in place of a large file.

    Source: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
    """
    lines = (
        "version https://git-lfs.github.com/spec/v1",
        f"oid sha256:{sha256}",
        f"size {size_bytes}",
    )
    return "".join(f"{line}\n" for line in lines).encode()


def goes_to_lfs(name: str, size_bytes: int) -> bool:
    """Tell whether a file of this name and size lies in large file storage."""
    by_name = PurePosixPath(name).suffix in LFS_SUFFIXES and size_bytes >= LFS_SUFFIX_MIN_BYTES
    return by_name or size_bytes >= LFS_ALWAYS_MIN_BYTES


def read_blob(path: Path, name: str) -> Blob:
    """Identify the content of ``path`` as the repository's file ``name``, streaming a large one."""
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    size_bytes = path.stat().st_size
    lfs = goes_to_lfs(name, size_bytes)
    stored_by_git = lfs_pointer(sha256, size_bytes) if lfs else path.read_bytes()
    return Blob(path, size_bytes, sha256, git_oid("blob", stored_by_git), lfs)


class BlobStore:
    """A folder that holds every content once, under its SHA-256.

    Args:
        folder: Made when the first content arrives.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, content: bytes | Path, name: str) -> Blob:
        """Store ``content`` (bytes, or a file to copy) as the repository's file ``name``."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=self._folder) as staging:
            staged = Path(staging, "content")
            _write(content, staged)
            blob = read_blob(staged, name)
            kept = self._folder / blob.sha256
            staged.replace(kept)
        return Blob(kept, blob.size_bytes, blob.sha256, blob.oid, blob.lfs)


def _write(content: bytes | Path, target: Path) -> None:
    if isinstance(content, Path):
        shutil.copyfile(content, target)
    else:
        target.write_bytes(content)
