"""The endpoints of the Hub that its client asks, each from a request to a response."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import unquote

from tests.support.hub import listings
from tests.support.hub.messages import FileSlice, Json, Request, Response, asked_span
from tests.support.hub.refusals import GatedRepo, InvalidToken, NotSupported, Refusal, RepoNotFound
from tests.support.hub.repository import Commit, Repository
from tests.support.hub.store import Store

EXPANDED_PAGE_SIZE = 50  # entries; the real Hub's limit where each costs a look into the history
MODEL_LIST_QUERY = frozenset(
    {"author", "cardData", "config", "cursor", "expand", "full", "limit", "search"}
)
MODEL_LIST_LIMIT = 1000

Values = dict[str, str]
Item = TypeVar("Item")


class Routes:
    """Answers requests about the repositories of ``store``.

    Args:
        store: What is served.
        endpoint: Where it is served, such as ``http://127.0.0.1:8080``; begins links to next pages.
        page_size: Entries on one page of a tree or a history.
    """

    def __init__(self, store: Store, endpoint: str, page_size: int) -> None:
        self._store = store
        self._endpoint = endpoint
        self._page_size = page_size

    def answer(self, request: Request) -> Response:
        """Return the answer to ``request``; a refusal is an answer too."""
        try:
            return self._dispatch(request)
        except Refusal as refusal:
            return _refused(refusal)

    def _dispatch(self, request: Request) -> Response:
        asked = "GET" if request.method == "HEAD" else request.method
        for method, pattern, handler in ROUTES:
            if method == asked and (match := pattern.fullmatch(request.target)):
                values = {name: unquote(value or "") for name, value in match.groupdict().items()}
                return handler(self, request, values)
        raise RepoNotFound(request.path, self._store.user_of(request.token))

    def whoami(self, request: Request, _values: Values) -> Response:
        """Say who the token belongs to."""
        user = self._store.user_of(request.token)
        if user is None:
            raise InvalidToken
        return _json(listings.user(user))

    def models(self, request: Request, _values: Values) -> Response:
        """List the models that match, by name; private ones only to their readers."""
        if unknown := set(request.query) - MODEL_LIST_QUERY:
            raise NotSupported(f"listing models by {', '.join(sorted(unknown))}")
        user = self._store.user_of(request.token)
        matching = [
            repository
            for repository in self._store.repositories()
            if _is_visible(repository, user) and _is_sought(repository, request)
        ]
        shown, headers = self._page(request, matching, request.number("limit", MODEL_LIST_LIMIT))
        return _json([_model_in_list(repository) for repository in shown], headers)

    def model(self, request: Request, values: Values) -> Response:
        """Describe a model at a revision, or at the head of ``main``."""
        repository, commit = self._commit(request, values)
        switches = {"blobs": request.asks("blobs"), "security": request.asks("securityStatus")}
        described = listings.model(repository, commit, **switches)
        names = request.query.get("expand")
        return _json(listings.only(described, names) if names else described)

    def tree(self, request: Request, values: Values) -> Response:
        """List the entries of a folder, page by page."""
        repository, commit = self._commit(request, values)
        expand = request.asks("expand")
        size = min(self._page_size, EXPANDED_PAGE_SIZE) if expand else self._page_size
        paths = commit.paths_below(values["path"], recursive=request.asks("recursive"))
        shown, headers = self._page(request, paths, size)
        entries = [listings.entry(repository, commit, path, expand=expand) for path in shown]
        return _json(entries, headers)

    def paths_info(self, request: Request, values: Values) -> Response:
        """Describe those of the posted paths that exist."""
        repository, commit = self._commit(request, values)
        paths = [path for path in request.form.get("paths", []) if path and commit.oid(path)]
        expand = request.asks("expand")
        return _json([listings.entry(repository, commit, path, expand=expand) for path in paths])

    def commits(self, request: Request, values: Values) -> Response:
        """List the history of a revision, newest first, page by page."""
        repository, commit = self._commit(request, values)
        history = [*repository.history(commit)]
        shown, headers = self._page(request, history, self._page_size)
        return _json([listings.commit_of_history(repository, one) for one in shown], headers)

    def refs(self, request: Request, values: Values) -> Response:
        """List branches and tags."""
        repository = self._repository(request, values)
        return _json(listings.refs(repository, pull_requests=request.asks("include_prs")))

    def auth_check(self, request: Request, values: Values) -> Response:
        """Say whether whoever asks may read the files."""
        self._check_gate(request, self._repository(request, values))
        return _json({})

    def resolve(self, request: Request, values: Values) -> Response:
        """Send a file, or the asked part of it."""
        repository, commit = self._commit(request, values)
        self._check_gate(request, repository)
        blob = commit.blob(values["path"])
        headers = {
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
            "ETag": f'"{blob.etag}"',
            "X-Repo-Commit": commit.id,
        }
        if blob.lfs:
            headers |= {"X-Linked-Etag": f'"{blob.etag}"', "X-Linked-Size": str(blob.size_bytes)}
        span = asked_span(request.span, blob.size_bytes)
        if span is None:
            return Response(200, headers, (FileSlice(blob.path, 0, blob.size_bytes),))
        start, stop = span
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{blob.size_bytes}"
        return Response(206, headers, (FileSlice(blob.path, start, stop),))

    def _repository(self, request: Request, values: Values) -> Repository:
        user = self._store.user_of(request.token)
        try:
            repository = self._store.repository(values["repo_id"])
        except RepoNotFound as missing:
            raise RepoNotFound(missing.repo_id, user) from missing
        if not _is_visible(repository, user):
            raise RepoNotFound(repository.repo_id, user)
        return repository

    def _commit(self, request: Request, values: Values) -> tuple[Repository, Commit]:
        repository = self._repository(request, values)
        return repository, repository.resolve(values.get("revision", "main"))

    def _check_gate(self, request: Request, repository: Repository) -> None:
        user = self._store.user_of(request.token)
        if repository.gated and not repository.is_read_by(user):
            raise GatedRepo(repository.repo_id, user)

    def _page(
        self, request: Request, items: Sequence[Item], size: int
    ) -> tuple[Sequence[Item], dict[str, str]]:
        start = request.number("cursor", 0)
        stop = start + size
        if stop >= len(items):
            return items[start:], {}
        link = f'<{self._endpoint}{request.target_at(stop)}>; rel="next"'
        return items[start:stop], {"Link": link}


def _is_visible(repository: Repository, user: str | None) -> bool:
    return not repository.private or repository.is_read_by(user)


def _is_sought(repository: Repository, request: Request) -> bool:
    author = request.query.get("author", [repository.author])[0]
    words = request.query.get("search", [""])[0].lower()
    return repository.author == author and words in repository.repo_id.lower()


def _model_in_list(repository: Repository) -> Json:
    described = listings.model(repository, repository.resolve("main"))
    return {name: value for name, value in described.items() if name != "siblings"}


def _json(content: Any, headers: dict[str, str] | None = None) -> Response:
    body = json.dumps(content).encode()
    return Response(200, {"Content-Type": "application/json", **(headers or {})}, (body,))


def _refused(refusal: Refusal) -> Response:
    message = str(refusal)
    headers = {"Content-Type": "application/json", "X-Error-Message": message, **refusal.headers}
    if refusal.code:
        headers["X-Error-Code"] = refusal.code
    return Response(refusal.status, headers, (json.dumps({"error": message}).encode(),))


REPO = r"/(?P<repo_id>[^/]+/[^/]+|[^/]+)"  # without an organisation it is understood, to be refused
REVISION = r"/(?P<revision>[^/]+)"
Handler = Callable[[Routes, Request, Values], Response]
ROUTES: tuple[tuple[str, re.Pattern[str], Handler], ...] = (
    ("GET", re.compile("/api/whoami-v2"), Routes.whoami),
    ("GET", re.compile("/api/models"), Routes.models),
    ("GET", re.compile(f"/api/models{REPO}"), Routes.model),
    ("GET", re.compile(f"/api/models{REPO}/revision{REVISION}"), Routes.model),
    ("GET", re.compile(f"/api/models{REPO}/tree{REVISION}(?:/(?P<path>.+))?"), Routes.tree),
    ("POST", re.compile(f"/api/models{REPO}/paths-info{REVISION}"), Routes.paths_info),
    ("GET", re.compile(f"/api/models{REPO}/commits{REVISION}"), Routes.commits),
    ("GET", re.compile(f"/api/models{REPO}/refs"), Routes.refs),
    ("GET", re.compile(f"/api/models{REPO}/auth-check"), Routes.auth_check),
    ("GET", re.compile(f"{REPO}/resolve{REVISION}/(?P<path>.+)"), Routes.resolve),
)
