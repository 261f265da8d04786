"""Repositories, commits and files as the Hub's API writes them in JSON.

Source: the fields that ``huggingface_hub`` reads, and https://huggingface.co/docs/hub/api
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from tests.support.hub.blobs import Blob
from tests.support.hub.card import CARD, read_card, tags_of
from tests.support.hub.messages import Json
from tests.support.hub.repository import Commit, Repository, Security

ALWAYS_SHOWN = frozenset({"_id", "id", "modelId"})


def model(
    repository: Repository, commit: Commit, *, blobs: bool = False, security: bool = False
) -> Json:
    """Describe a model at one commit.

    Args:
        repository: The model's repository.
        commit: The commit that was asked for.
        blobs: Also say the size and the ids of each file.
        security: Also say what scanners found, if there are any.
    """
    card = _card(commit)
    scans = repository.security if security else None
    return {
        **identity(repository),
        "author": repository.author,
        "sha": commit.id,
        "lastModified": timestamp(commit.date),
        "createdAt": timestamp([*repository.history(commit)][-1].date),
        "private": repository.private,
        "gated": repository.gated,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": tags_of(card, commit.blobs),
        **{key: card[key] for key in ("library_name", "pipeline_tag") if key in card},
        "cardData": card,
        "siblings": [
            _sibling(path, blob, full=blobs) for path, blob in sorted(commit.blobs.items())
        ],
        **({"securityRepoStatus": _security(scans)} if scans else {}),
    }


def identity(repository: Repository) -> Json:
    """Name a model, as every answer about it does."""
    repo_id = repository.repo_id
    return {"_id": repo_id, "id": repo_id, "modelId": repo_id}


def only(model: Json, names: Iterable[str]) -> Json:
    """Return the named properties of ``model``, and what names it."""
    shown = ALWAYS_SHOWN.union(names)
    return {name: value for name, value in model.items() if name in shown}


def entry(repository: Repository, commit: Commit, path: str, *, expand: bool) -> Json:
    """Describe the file or folder at ``path``.

    Args:
        repository: Where it lies.
        commit: The commit that was asked for.
        path: An existing file or folder.
        expand: Also say which commit changed it last, and what scanners found.
    """
    blob = commit.blobs.get(path)
    shown = _file(path, blob) if blob else _folder(path, commit.folders[path])
    if expand:
        shown["lastCommit"] = _last_commit(repository.last_change(path, commit))
    if expand and blob and repository.security:
        shown["securityFileStatus"] = _file_security(path, repository.security)
    return shown


def commit_of_history(repository: Repository, commit: Commit) -> Json:
    """Describe one commit of a repository's history."""
    title, _, message = commit.message.partition("\n")
    return {
        "id": commit.id,
        "title": title,
        "message": message.strip(),
        "authors": [{"user": repository.author}],
        "date": timestamp(commit.date),
    }


def refs(repository: Repository, *, pull_requests: bool) -> Json:
    """List what names commits of a repository, by kind."""
    kinds = {"branches": "refs/heads/", "tags": "refs/tags/", "converts": "refs/convert/"}
    if pull_requests:
        kinds["pullRequests"] = "refs/pr/"
    return {
        kind: [
            {"name": ref.removeprefix(prefix), "ref": ref, "targetCommit": commit_id}
            for ref, commit_id in sorted(repository.refs.items())
            if ref.startswith(prefix)
        ]
        for kind, prefix in kinds.items()
    }


def user(name: str) -> Json:
    """Describe the account that a token belongs to."""
    token = {"displayName": "local", "role": "read"}
    auth = {"type": "access_token", "accessToken": token}
    return {"type": "user", "id": name, "name": name, "fullname": name, "orgs": [], "auth": auth}


def timestamp(date: datetime) -> str:
    """Write ``date``, which is in UTC, in the only form that the client reads."""
    return date.strftime("%Y-%m-%dT%H:%M:%S.") + f"{date.microsecond // 1000:03}Z"


def _card(commit: Commit) -> dict[str, Any]:
    blob = commit.blobs.get(CARD)
    return read_card(blob.path.read_text(encoding="utf-8", errors="replace")) if blob else {}


def _sibling(path: str, blob: Blob, *, full: bool) -> Json:
    if not full:
        return {"rfilename": path}
    lfs = {"sha256": blob.sha256, "size": blob.size_bytes, "pointerSize": blob.pointer_size_bytes}
    return {
        "rfilename": path,
        "size": blob.size_bytes,
        "blobId": blob.oid,
        **({"lfs": lfs} if blob.lfs else {}),
    }


def _file(path: str, blob: Blob) -> Json:
    lfs = {"oid": blob.sha256, "size": blob.size_bytes, "pointerSize": blob.pointer_size_bytes}
    return {
        "type": "file",
        "oid": blob.oid,
        "size": blob.size_bytes,
        "path": path,
        **({"lfs": lfs} if blob.lfs else {}),
    }


def _folder(path: str, oid: str) -> Json:
    return {"type": "directory", "oid": oid, "size": 0, "path": path}


def _last_commit(commit: Commit) -> Json:
    title = commit.message.partition("\n")[0]
    return {"id": commit.id, "title": title, "date": timestamp(commit.date)}


def _security(security: Security) -> Json:
    issues = [{"path": path, "level": level} for path, level in security.files_with_issues.items()]
    return {"scansDone": security.scans_done, "filesWithIssues": issues}


def _file_security(path: str, security: Security) -> Json:
    unlisted = "safe" if security.scans_done else "queued"
    status = security.files_with_issues.get(path, unlisted)
    return {"status": status, "avScan": {"status": status}, "pickleImportScan": None}
