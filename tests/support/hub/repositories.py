"""What a local Hub consists of: repositories, their commits, and the files of each commit."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import yaml

CARD = "README.md"
LFS_SUFFIXES = frozenset({".bin", ".data", ".gguf", ".onnx", ".onnx_data", ".safetensors"})
LFS_SUFFIX_MIN_BYTES = 10 * 1024
LFS_ALWAYS_MIN_BYTES = 10 * 1024 * 1024  # the real Hub refuses such a file outside of LFS

_CARD_HEADER = re.compile(r"\A---[ \t]*\n(.*?)^---[ \t]*$", re.DOTALL | re.MULTILINE)


class Refusal(Exception):
    """An error that the Hub answers with.

    Args:
        status: HTTP status.
        message: Sent as ``X-Error-Message`` and in the body.
        code: ``X-Error-Code``, from which the client picks the error that it raises.
        headers: More headers of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        codes = {"X-Error-Code": code} if code else {}
        self.headers = {"X-Error-Message": message, **codes, **(headers or {})}


@dataclass(frozen=True, slots=True)
class Security:
    """The result of the Hub's scanners for a repository.

    Attributes:
        scans_done: Whether every file was scanned.
        files_with_issues: Level of each suspect file, such as ``unsafe``, by path.
    """

    scans_done: bool = True
    files_with_issues: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Blob:
    """The content of one file.

    Attributes:
        path: Where the bytes are stored.
        size_bytes: Length of the content.
        sha256: SHA-256 of the content, 64 hex digits.
        oid: Git's id, 40 hex digits: of the content, or of its pointer when ``lfs``.
        lfs: Whether git stores a pointer, and large file storage the bytes.
    """

    path: Path
    size_bytes: int
    sha256: str
    oid: str
    lfs: bool

    @classmethod
    def read(cls, path: Path, name: str) -> "Blob":
        """Return the content of ``path`` as that of the repository's file ``name``."""
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        size_bytes = path.stat().st_size
        lfs = in_large_file_storage(name, size_bytes)
        stored_by_git = lfs_pointer(sha256, size_bytes) if lfs else path.read_bytes()
        return cls(path, size_bytes, sha256, git_oid("blob", stored_by_git), lfs)

    @property
    def etag(self) -> str:
        """SHA-256 in large file storage, git's id otherwise."""
        return self.sha256 if self.lfs else self.oid


def git_oid(kind: Literal["blob", "commit"], content: bytes) -> str:
    """Return git's id of an object, 40 hex digits.

    Source: "Git Objects", Pro Git, https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
    """
    header = f"{kind} {len(content)}\0".encode()
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()


def lfs_pointer(sha256: str, size_bytes: int) -> bytes:
    """Return the text that git stores in place of a large file.

    Source: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
    """
    version = "version https://git-lfs.github.com/spec/v1"
    return f"{version}\noid sha256:{sha256}\nsize {size_bytes}\n".encode()


def in_large_file_storage(name: str, size_bytes: int) -> bool:
    """Return whether a file of this name and size is in large file storage."""
    by_name = PurePosixPath(name).suffix in LFS_SUFFIXES and size_bytes >= LFS_SUFFIX_MIN_BYTES
    return by_name or size_bytes >= LFS_ALWAYS_MIN_BYTES


@dataclass(frozen=True, slots=True)
class Commit:
    """One snapshot of a repository.

    Attributes:
        id: 40 hex digits.
        blobs: The files, by path in the repository.
        at: When it was made.
    """

    id: str
    blobs: Mapping[str, Blob]
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def card(self) -> dict[str, Any]:
        """The metadata at the head of the model card."""
        blob = self.blobs.get(CARD)
        text = blob.path.read_text(encoding="utf-8-sig", errors="replace") if blob else ""
        header = _CARD_HEADER.match(text)
        return yaml.safe_load(header[1]) if header else {}


@dataclass(slots=True)
class Repository:
    """A model repository.

    Attributes:
        repo_id: ``organisation/name``.
        commits: Every commit ever pushed, by id.
        refs: Commit id by full name, such as ``refs/heads/main`` or ``refs/tags/v1``.
        private: Whether it is hidden from all but its readers.
        gated: How access to its files is granted; False for files that everybody may read.
        readers: Users who may read it, besides its owner.
        security: The scanners' result; None for a Hub that does not scan.
    """

    repo_id: str
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    private: bool = False
    gated: Literal[False, "auto", "manual"] = False
    readers: frozenset[str] = frozenset()
    security: Security | None = None

    def is_read_by(self, user: str | None) -> bool:
        """Return whether ``user`` is the owner or one of the readers."""
        return user is not None and user in {self.repo_id.partition("/")[0], *self.readers}

    def resolve(self, revision: str) -> Commit:
        """Return the commit that a branch, a tag, a full ref or a 40-digit id names.

        Raises:
            Refusal: It names none.
        """
        for ref in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision):
            if ref in self.refs:
                return self.commits[self.refs[ref]]
        if revision not in self.commits:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[revision]

    def add(self, blobs: Mapping[str, Blob], ref: str) -> Commit:
        """Make a commit of ``blobs``, which the full ref ``ref`` then names."""
        parent = self.refs.get(ref, self.refs.get("refs/heads/main", ""))
        files = [f"{path} {blob.sha256}" for path, blob in sorted(blobs.items())]
        identity = "\0".join((self.repo_id, parent, *files))
        commit = Commit(git_oid("commit", identity.encode()), blobs)
        self.commits[commit.id] = commit
        self.refs[ref] = commit.id
        return commit


def entry_not_found(commit: Commit) -> Refusal:
    """Return the refusal of a path that ``commit`` does not have."""
    return Refusal(404, "Entry not found", "EntryNotFound", {"X-Repo-Commit": commit.id})
