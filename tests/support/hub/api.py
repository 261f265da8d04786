"""The endpoints of the Hub that its client needs to find, list and download models.

Source: the fields that ``huggingface_hub`` reads, and https://huggingface.co/docs/hub/api
"""

from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from tests.support.hub.repositories import (
    Blob,
    Commit,
    Refusal,
    Repository,
    Security,
    entry_not_found,
    lfs_pointer,
)

if TYPE_CHECKING:
    from tests.support.hub.local_hub import LocalHub

_API = "/api/models/{organisation}/{name}"
_FILE = "/{organisation}/{name}/resolve/{revision}/{path:path}"


class Api:
    """Answers requests about the repositories of a Hub."""

    def __init__(self, hub: "LocalHub") -> None:
        self._hub = hub

    def app(self) -> Starlette:
        """Return the application that serves the endpoints."""
        routes = [
            Route(_API, self.model),
            Route(f"{_API}/revision/{{revision:path}}", self.model),
            Route(f"{_API}/commits/{{revision:path}}", self.commits),
            Route(_FILE, self.file),
        ]
        handlers: dict[Any, Any] = {Refusal: _refused, 404: self.unknown}
        return Starlette(routes=routes, exception_handlers=handlers)

    def model(self, request: Request) -> Response:
        """Describe a model at a revision."""
        repository, commit = self._commit(request)
        described = {
            "sha": commit.id,
            "private": repository.private,
            "gated": repository.gated,
            "cardData": commit.card,
            "siblings": [
                _sibling(path, blob, full=_asks(request, "blobs"))
                for path, blob in sorted(commit.blobs.items())
            ],
        }
        if expanded := request.query_params.getlist("expand"):
            described = {key: value for key, value in described.items() if key in expanded}
        if repository.security and _asks(request, "securityStatus"):
            described["securityRepoStatus"] = _security(repository.security)
        return JSONResponse({"_id": repository.repo_id, "id": repository.repo_id, **described})

    def commits(self, request: Request) -> Response:
        """List the commit that a revision names; the client asks for no other one."""
        _, commit = self._commit(request)
        date = commit.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        listed = {"id": commit.id, "title": "", "message": "", "authors": [], "date": date}
        return JSONResponse([listed])

    def file(self, request: Request) -> Response:
        """Send a file, or the requested range of it."""
        repository, commit = self._commit(request)
        user = self._user(request)
        if repository.gated and not repository.is_read_by(user):
            message = f"Access to model {repository.repo_id} is restricted"
            raise Refusal(403 if user else 401, message, "GatedRepo")
        blob = commit.blobs.get(request.path_params["path"])
        if blob is None:
            raise entry_not_found(commit)
        headers = {"ETag": f'"{blob.etag}"', "X-Repo-Commit": commit.id}
        if blob.lfs:
            headers |= {"X-Linked-Etag": f'"{blob.etag}"', "X-Linked-Size": str(blob.size_bytes)}
        return FileResponse(blob.path, headers=headers, media_type="application/octet-stream")

    def unknown(self, request: Request, _error: Exception) -> Response:
        """Answer for an address that the local Hub does not know as for an unknown repository."""
        try:
            self._hub.find(request.url.path, self._user(request))
        except Refusal as refusal:
            return _refused(request, refusal)
        raise AssertionError(request.url.path)

    def _user(self, request: Request) -> str | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return self._hub.user_of(token if scheme == "Bearer" else None)

    def _repository(self, request: Request) -> Repository:
        repo_id = "{organisation}/{name}".format(**request.path_params)
        return self._hub.find(repo_id, self._user(request))

    def _commit(self, request: Request) -> tuple[Repository, Commit]:
        repository = self._repository(request)
        return repository, repository.resolve(request.path_params.get("revision", "main"))


def _asks(request: Request, switch: str) -> bool:
    return request.query_params.get(switch, "").lower() == "true"


def _refused(_request: Request, refusal: Refusal) -> Response:
    return JSONResponse({"error": str(refusal)}, refusal.status, refusal.headers)


def _sibling(path: str, blob: Blob, *, full: bool) -> dict[str, Any]:
    if not full:
        return {"rfilename": path}
    described = {"rfilename": path, "size": blob.size_bytes, "blobId": blob.oid}
    if not blob.lfs:
        return described
    pointer = lfs_pointer(blob.sha256, blob.size_bytes)
    lfs = {"sha256": blob.sha256, "size": blob.size_bytes, "pointerSize": len(pointer)}
    return described | {"lfs": lfs}


def _security(security: Security) -> dict[str, Any]:
    issues = [{"path": path, "level": level} for path, level in security.files_with_issues.items()]
    return {"scansDone": security.scans_done, "filesWithIssues": issues}
