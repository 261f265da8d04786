"""Repositories as frozen values: a push makes a new one, so that a reader never sees half of it."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from tests.support.hub.blobs import Blob, git_oid
from tests.support.hub.refusals import EntryNotFound, RevisionNotFound

Gate = Literal[False, "auto", "manual"]
COMMIT_ID = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Security:
    """What the Hub's scanners say of a repository.

    Attributes:
        scans_done: Whether every file was looked at.
        files_with_issues: Level of each suspect file, such as ``unsafe``, by path.
    """

    scans_done: bool = True
    files_with_issues: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Commit:
    """One snapshot of a repository.

    Attributes:
        id: 40 hex digits, derived from the repository's name, the parent, the tree and the message.
        parent: Id of the commit before; None for the first.
        blobs: The files, by path in the repository.
        folders: Git's tree id of each folder, by path; the root's path is empty.
        message: First line is the title.
        date: When it was made, in UTC.
    """

    id: str
    parent: str | None
    blobs: Mapping[str, Blob]
    folders: Mapping[str, str]
    message: str
    date: datetime

    def blob(self, path: str) -> Blob:
        """Return the file at ``path``.

        Raises:
            EntryNotFound: There is none.
        """
        if path not in self.blobs:
            raise EntryNotFound(path, self.id)
        return self.blobs[path]

    def oid(self, path: str) -> str | None:
        """Return git's id of the file or folder at ``path``; None when there is neither."""
        return self.blobs[path].oid if path in self.blobs else self.folders.get(path)

    def paths_below(self, folder: str, *, recursive: bool) -> list[str]:
        """List files and folders below ``folder`` (empty for the root), in order.

        Raises:
            EntryNotFound: There is no such folder.
        """
        if folder not in self.folders:
            raise EntryNotFound(folder, self.id)
        prefix = f"{folder}/" if folder else ""
        below = (path for path in {*self.blobs, *self.folders} if path and path.startswith(prefix))
        return sorted(path for path in below if recursive or "/" not in path.removeprefix(prefix))


@dataclass(frozen=True, slots=True)
class Repository:
    """A model repository.

    Attributes:
        repo_id: ``organisation/name``.
        commits: Every commit ever pushed, by id.
        refs: Commit id by full name, such as ``refs/heads/main`` or ``refs/tags/v1``.
        private: Whether all but its readers are told that it does not exist.
        gated: Whether all but its readers are refused its files.
        readers: Users who may read it, besides the one whose name is the organisation.
        security: What scanners found; None as on a Hub that does not scan.
    """

    repo_id: str
    commits: Mapping[str, Commit] = field(default_factory=dict)
    refs: Mapping[str, str] = field(default_factory=dict)
    private: bool = False
    gated: Gate = False
    readers: frozenset[str] = frozenset()
    security: Security | None = None

    @property
    def author(self) -> str:
        """The user or organisation that owns the repository."""
        return self.repo_id.partition("/")[0]

    def is_read_by(self, user: str | None) -> bool:
        """Tell whether ``user`` is its owner or one of its readers."""
        return user is not None and user in {self.author, *self.readers}

    def resolve(self, revision: str) -> Commit:
        """Return the commit that a branch, a tag, a full ref or a 40-digit id names.

        Raises:
            RevisionNotFound: It names none.
        """
        if COMMIT_ID.fullmatch(revision) and revision in self.commits:
            return self.commits[revision]
        for ref in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision):
            if ref in self.refs:
                return self.commits[self.refs[ref]]
        raise RevisionNotFound(self.repo_id, revision)

    def history(self, commit: Commit) -> Iterator[Commit]:
        """Yield ``commit`` and all before it, newest first."""
        yield commit
        while commit.parent is not None:
            commit = self.commits[commit.parent]
            yield commit

    def last_change(self, path: str, commit: Commit) -> Commit:
        """Return the commit, up to ``commit``, that gave ``path`` the content it has there."""
        changed = commit
        for earlier in self.history(commit):
            if earlier.oid(path) != commit.oid(path):
                break
            changed = earlier
        return changed

    def with_commit(
        self, blobs: Mapping[str, Blob], ref: str, message: str, date: datetime
    ) -> "Repository":
        """Return this repository with one more commit, which the branch ``ref`` then names."""
        name = ref if ref.startswith("refs/") else f"refs/heads/{ref}"
        parent = self.refs.get(name, self.refs.get("refs/heads/main"))
        folders = folder_oids(blobs)
        identity = "\0".join((self.repo_id, parent or "", folders[""], message))
        commit = Commit(git_oid("commit", identity.encode()), parent, blobs, folders, message, date)
        return replace(
            self,
            commits={**self.commits, commit.id: commit},
            refs={**self.refs, name: commit.id},
        )

    def with_tag(self, name: str, commit: Commit) -> "Repository":
        """Return this repository with the tag ``name`` on ``commit``."""
        return replace(self, refs={**self.refs, f"refs/tags/{name}": commit.id})

    def with_branch(self, name: str, commit: Commit) -> "Repository":
        """Return this repository with the branch ``name`` on ``commit``, wherever it was."""
        return replace(self, refs={**self.refs, f"refs/heads/{name}": commit.id})

    def without_branch(self, name: str) -> "Repository":
        """Return this repository without the branch ``name``; its commits stay."""
        kept = {ref: commit for ref, commit in self.refs.items() if ref != f"refs/heads/{name}"}
        return replace(self, refs=kept)


def folder_oids(blobs: Mapping[str, Blob]) -> dict[str, str]:
    """Return git's tree id of each folder that holds ``blobs``; the root's path is empty.

    Source: "Git Objects", Pro Git, https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
    """
    entries: defaultdict[str, dict[str, bytes]] = defaultdict(dict)
    for path, blob in blobs.items():
        folder, _, name = path.rpartition("/")
        entries[folder][name] = _tree_entry("100644", name, blob.oid)
    oids: dict[str, str] = {}
    for folder in _deepest_first(entries):
        # Git orders a folder as if its name ended in a slash; the key carries it.
        oids[folder] = git_oid(
            "tree", b"".join(entry for _, entry in sorted(entries[folder].items()))
        )
        parent, _, name = folder.rpartition("/")
        entries[parent][f"{name}/"] = _tree_entry("40000", name, oids[folder])
    return oids


def _tree_entry(mode: str, name: str, oid: str) -> bytes:
    return f"{mode} {name}\0".encode() + bytes.fromhex(oid)


def _deepest_first(folders: Mapping[str, object]) -> list[str]:
    ancestors = {""}
    for folder in folders:
        parts = folder.split("/")
        ancestors.update("/".join(parts[:depth]) for depth in range(1, len(parts) + 1))
    return sorted(
        ancestors, key=lambda folder: len(folder.split("/")) if folder else 0, reverse=True
    )
