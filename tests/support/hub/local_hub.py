"""The repositories of a local Hub, changed from Python and served over HTTP."""

import shutil
import threading
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from tests.support.hub.api import Api
from tests.support.hub.repositories import Blob, Refusal, Repository, Security
from tests.support.hub.server import HOST, RunningHub, serve
from tests.support.hub.webhook import Webhook


class LocalHub:
    """Repositories whose contents are stored in a folder, each once; the rest is in memory.

    Args:
        folder: Where pushed contents are stored.
        tokens: User name by bearer token. A Hub without tokens accepts every token: the client
            sends the one of the real Hub along.

    Attributes:
        webhooks: Called after every push, with the payload of the real Hub.
    """

    def __init__(self, folder: Path, tokens: Mapping[str, str] | None = None) -> None:
        self.webhooks: list[Webhook] = []
        self._folder = folder / "blobs"
        self._tokens = dict(tokens or {})
        self._repositories: dict[str, Repository] = {}
        self._lock = threading.Lock()

    def repository(self, repo_id: str) -> Repository:
        """Return a repository.

        Raises:
            KeyError: There is none of that name.
        """
        return self._repositories[repo_id]

    def push(self, repo_id: str, files: Path | Mapping[str, bytes], *, ref: str = "main") -> str:
        """Make a commit that consists of exactly ``files``, move a branch to it, call the webhooks.

        Args:
            repo_id: ``organisation/name``; created by the first push.
            files: A folder, or contents by path in the repository. They are copied.
            ref: The branch, or a full name such as ``refs/pr/1``. A new one grows from ``main``.

        Returns:
            The commit's id, 40 hex digits.
        """
        contents = _files(files) if isinstance(files, Path) else files
        blobs = {path: self._store(content, path) for path, content in contents.items()}
        with self._lock:
            repository = self._repositories.setdefault(repo_id, Repository(repo_id))
            before = repository.refs.get(_full(ref))
            after = repository.add(blobs, _full(ref)).id
        for webhook in self.webhooks:
            webhook.send(repo_id, ref, before, after)
        return after

    def tag(self, repo_id: str, name: str, commit: str) -> None:
        """Put the tag ``name`` on a commit."""
        repository = self.repository(repo_id)
        repository.refs[f"refs/tags/{name}"] = repository.resolve(commit).id

    def reset(self, repo_id: str, commit: str) -> None:
        """Move ``main`` to any commit of the repository, as a forced push does."""
        repository = self.repository(repo_id)
        repository.refs["refs/heads/main"] = repository.resolve(commit).id

    def delete_branch(self, repo_id: str, ref: str) -> None:
        """Remove a branch; its commits stay."""
        del self.repository(repo_id).refs[_full(ref)]

    def delete(self, repo_id: str) -> None:
        """Remove a repository."""
        del self._repositories[repo_id]

    def configure(
        self,
        repo_id: str,
        *,
        private: bool = False,
        gated: Literal[False, "auto", "manual"] = False,
        readers: Iterable[str] = (),
        security: Security | None = None,
    ) -> None:
        """Set who may read a repository and what scanners found; see :class:`Repository`.

        Arguments that are left out return to their defaults.
        """
        repository = self.repository(repo_id)
        repository.private, repository.gated = private, gated
        repository.readers, repository.security = frozenset(readers), security

    def find(self, repo_id: str, user: str | None) -> Repository:
        """Return a repository that ``user`` may see; None is a client without a token.

        Raises:
            Refusal: There is none. It looks the same for one that does not exist and a private one.
        """
        repository = self._repositories.get(repo_id)
        if repository is None or (repository.private and not repository.is_read_by(user)):
            raise Refusal(404 if user else 401, f"Repository {repo_id} not found", "RepoNotFound")
        return repository

    def user_of(self, token: str | None) -> str | None:
        """Return the owner of ``token``; None without a token, or on a Hub without tokens.

        Raises:
            Refusal: The token is nobody's.
        """
        if token is None or not self._tokens:
            return None
        if token not in self._tokens:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return self._tokens[token]

    def serve(self, host: str = HOST) -> AbstractContextManager[RunningHub]:
        """Serve on a free port, by default of loopback, while the context lasts.

        Pushes show at once.
        """
        return serve(Api(self).app(), host)

    def _store(self, content: bytes | Path, name: str) -> Blob:
        """Store ``content`` under its SHA-256; a reader never sees a part of it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=self._folder) as temporary:
            path = Path(temporary, "content")
            if isinstance(content, Path):
                shutil.copyfile(content, path)
            else:
                path.write_bytes(content)
            stored = self._folder / Blob.read(path, name).sha256
            path.replace(stored)
        return Blob.read(stored, name)


def _full(ref: str) -> str:
    return ref if ref.startswith("refs/") else f"refs/heads/{ref}"


def _files(folder: Path) -> dict[str, Path]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in files}
