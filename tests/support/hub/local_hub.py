"""A Hub of one's own: push to it, serve it, order what goes wrong."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.support.hub.refusals import Refusal
from tests.support.hub.server import RunningHub, serve
from tests.support.hub.store import Files, Store, files_of
from tests.support.hub.webhook import Webhook

PAGE_SIZE = 1000  # entries; the real Hub's


class LocalHub(Store):
    """Repositories that can be pushed to from Python and read over HTTP.

    Attributes:
        webhooks: Told of every push, in the words of the real Hub.
    """

    def __init__(self, folder: Path, tokens: Mapping[str, str] | None = None) -> None:
        super().__init__(folder, tokens)
        self.webhooks: list[Webhook] = []

    def push(
        self, repo_id: str, files: Files, *, ref: str = "main", message: str = "Upload model"
    ) -> str:
        """Make a commit as :meth:`Store.push` does, and tell the webhooks of it."""
        before = self._head(repo_id, ref)
        commit = super().push(repo_id, files, ref=ref, message=message)
        for webhook in self.webhooks:
            webhook.send(repo_id, ref, before, commit)
        return commit

    def _head(self, repo_id: str, ref: str) -> str | None:
        try:
            return self.repository(repo_id).resolve(ref).id
        except Refusal:
            return None

    def serve(
        self, port: int = 0, *, page_size: int = PAGE_SIZE
    ) -> AbstractContextManager[RunningHub]:
        """Serve on loopback for as long as the context lasts; pushes show at once.

        Args:
            port: Where; 0 takes a free port.
            page_size: Entries on one page of a tree or a history; a small one makes a small
                repository take several.

        Returns:
            A context that gives the running Hub: its ``endpoint``, its log ``requests`` and its
            ``faults``.
        """
        return serve(self, port, page_size)


@contextmanager
def serve_folder(folder: Path, port: int = 0) -> Iterator[RunningHub]:
    """Serve every folder ``ORGANISATION/NAME`` below ``folder`` as a repository of one commit.

    The files are hashed once, at the start, and served from where they lie: they must stay as they
    are. The same files give the same commit each time.

    Args:
        folder: Holds a folder for each organisation.
        port: Where, on loopback; 0 takes a free port.
    """
    hub = LocalHub(folder)
    for repository in sorted(folder.glob("[!.]*/[!.]*")):
        if repository.is_dir() and files_of(repository):
            hub.adopt(repository.relative_to(folder).as_posix(), repository)
    with hub.serve(port) as running:
        yield running
