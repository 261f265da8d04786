"""The repositories of a local Hub, and who may ask for them."""

import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from tests.support.hub.blobs import Blob, BlobStore, read_blob
from tests.support.hub.refusals import InvalidToken, RepoNotFound
from tests.support.hub.repository import Gate, Repository, Security

BOOKKEEPING = frozenset({".git", ".cache"})  # folders that tools leave inside of a repository
Files = Path | Mapping[str, bytes]


class Store:
    """Repositories with their commits; contents lie in ``folder``, the rest in memory.

    Args:
        folder: Where pushed contents are kept, each once.
        tokens: User name by bearer token. A store without tokens asks nobody who they are, so that
            a token for the real Hub, which the client sends along by itself, does no harm.
    """

    def __init__(self, folder: Path, tokens: Mapping[str, str] | None = None) -> None:
        self._blobs = BlobStore(folder / "blobs")
        self._tokens = dict(tokens or {})
        self._repositories: dict[str, Repository] = {}
        self._writing = threading.RLock()

    def push(
        self, repo_id: str, files: Files, *, ref: str = "main", message: str = "Upload model"
    ) -> str:
        """Make a commit that holds exactly ``files``, and move a branch to it.

        Args:
            repo_id: ``organisation/name``; made when it is not there yet.
            files: A folder, or contents by path in the repository. They are copied.
            ref: The branch, or a full name such as ``refs/pr/1``. A new one grows from ``main``.
            message: First line is the title.

        Returns:
            The commit's id, 40 hex digits.

        Raises:
            ValueError: The name is not of the form ``organisation/name``, a path is not plain,
                or no file was given.
        """
        contents = files_of(files) if isinstance(files, Path) else files
        blobs = {path: self._blobs.keep(content, path) for path, content in contents.items()}
        return self._commit(repo_id, blobs, ref, message, datetime.now(UTC))

    def adopt(self, repo_id: str, folder: Path) -> str:
        """Make a commit on ``main`` out of ``folder`` without copying: its files must not change.

        Its id and date depend on the files alone: the same folder is the same commit tomorrow.

        Raises:
            ValueError: The name is not of the form ``organisation/name``, or there is no file.
        """
        files = files_of(folder)
        blobs = {path: read_blob(file, path) for path, file in files.items()}
        newest = max((file.stat().st_mtime for file in files.values()), default=0)
        return self._commit(
            repo_id, blobs, "main", "Upload model", datetime.fromtimestamp(newest, UTC)
        )

    def tag(self, repo_id: str, name: str, commit: str) -> None:
        """Put the tag ``name`` on a commit; a tag of that name moves.

        Raises:
            RepoNotFound: There is no such repository.
            RevisionNotFound: It has no such commit.
        """
        with self._writing:
            repository = self.repository(repo_id)
            self._repositories[repo_id] = repository.with_tag(name, repository.resolve(commit))

    def reset(self, repo_id: str, commit: str, *, ref: str = "main") -> None:
        """Move a branch to any commit of the repository, as a forced push does.

        Raises:
            RepoNotFound: There is no such repository.
            RevisionNotFound: It has no such commit.
        """
        with self._writing:
            repository = self.repository(repo_id)
            self._repositories[repo_id] = repository.with_branch(ref, repository.resolve(commit))

    def delete_branch(self, repo_id: str, ref: str) -> None:
        """Remove a branch; its commits stay.

        Raises:
            RepoNotFound: There is no such repository.
        """
        with self._writing:
            self._repositories[repo_id] = self.repository(repo_id).without_branch(ref)

    def delete(self, repo_id: str) -> None:
        """Remove a repository.

        Raises:
            RepoNotFound: There is no such repository.
        """
        with self._writing:
            self.repository(repo_id)
            del self._repositories[repo_id]

    def configure(
        self,
        repo_id: str,
        *,
        private: bool = False,
        gated: Gate = False,
        readers: Iterable[str] = (),
        security: Security | None = None,
    ) -> None:
        """Say who may read a repository and what scanners found; what is left out is as at first.

        Args:
            repo_id: A repository that was pushed before.
            private: Hide it from all but its readers.
            gated: Refuse its files to all but its readers.
            readers: Users who may read it, besides its owner.
            security: What scanners found; None leaves it out of every answer, as mirrors do.

        Raises:
            RepoNotFound: There is no such repository.
        """
        with self._writing:
            self._repositories[repo_id] = replace(
                self.repository(repo_id),
                private=private,
                gated=gated,
                readers=frozenset(readers),
                security=security,
            )

    def repository(self, repo_id: str) -> Repository:
        """Return the repository as it is now.

        Raises:
            RepoNotFound: There is none of that name.
        """
        if repo_id not in self._repositories:
            raise RepoNotFound(repo_id)
        return self._repositories[repo_id]

    def repositories(self) -> list[Repository]:
        """Return all repositories, by name."""
        return [repository for _, repository in sorted(self._repositories.copy().items())]

    def user_of(self, token: str | None) -> str | None:
        """Return who ``token`` belongs to; None without a token, or when there are no accounts.

        Raises:
            InvalidToken: There are accounts, and the token belongs to none.
        """
        if token is None or not self._tokens:
            return None
        if token not in self._tokens:
            raise InvalidToken
        return self._tokens[token]

    def _commit(
        self, repo_id: str, blobs: Mapping[str, Blob], ref: str, message: str, date: datetime
    ) -> str:
        _check(repo_id, blobs)
        with self._writing:
            before = self._repositories.get(repo_id, Repository(repo_id))
            after = before.with_commit(blobs, ref, message, date)
            self._repositories[repo_id] = after
        return after.resolve(ref).id


def files_of(folder: Path) -> dict[str, Path]:
    """Return the files below ``folder`` by their path in it, without git's and downloads' own."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    paths = {path.relative_to(folder): path for path in files}
    return {
        name.as_posix(): path for name, path in paths.items() if not BOOKKEEPING & {*name.parts}
    }


def _check(repo_id: str, paths: Collection[str]) -> None:
    organisation, _, name = repo_id.partition("/")
    if not organisation or not name or "/" in name:
        raise ValueError(f"got repository {repo_id!r} (expected organisation/name)")
    if not paths:
        raise ValueError(f"got no file for {repo_id} (expected at least one)")
    if odd := [path for path in paths if not _is_plain(path)]:
        raise ValueError(f"got paths {', '.join(odd)} (expected plain ones below the repository)")


def _is_plain(path: str) -> bool:
    parsed = PurePosixPath(path)
    relative = not parsed.is_absolute() and ".." not in parsed.parts
    return relative and str(parsed) == path
