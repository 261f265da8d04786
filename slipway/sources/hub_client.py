"""Requests to the Hub: where they go, what the Hub lists, and its errors as ours."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NamedTuple

from slipway.errors import AccessDenied, ScanPending, SourceMissing, SourceRefused, Unreachable
from slipway.values import Scan

#: Longest wait for an answer of the Hub; the client itself has no limit.
ANSWER_SECONDS = 15.0


class RepositoryAddress(NamedTuple):
    """One commit of a repository.

    Attributes:
        repo: ``organisation/name``.
        commit: 40 hex digits.
        endpoint: Address of the server; None for ``HF_ENDPOINT``, or the public Hub.
    """

    repo: str
    commit: str
    endpoint: str | None

    def __str__(self) -> str:
        return f"{self.repo}@{self.commit[:8]}"


class ListedFile(NamedTuple):
    """One file as the Hub lists it.

    Attributes:
        path: Relative to the repository.
        sha256: SHA-256 of its bytes, if it is in large file storage.
        git_oid: Git's id of what git stores: the file, or its pointer to large file storage.
    """

    path: str
    size_bytes: int
    sha256: str | None
    git_oid: str | None


def client(endpoint: str | None) -> Any:
    """Return the Hub's client for ``endpoint``, with the token of ``HF_TOKEN`` or with none.

    By default the client also uses a token that a login stored in a file. A release would then
    depend on who ran it, and on which machine.
    """
    from huggingface_hub import HfApi

    return HfApi(endpoint=endpoint, token=os.environ.get("HF_TOKEN") or False)


def model_card(folder: Path) -> Any:
    """Return the model card of a checkpoint, as MLflow logs it; None if it has none."""
    from huggingface_hub import ModelCard

    card = folder / "README.md"
    return ModelCard(card.read_text(encoding="utf-8")) if card.is_file() else None


def info(repo: str, ref: str, endpoint: str | None) -> Any:
    """Return the Hub's description of a repository at ``ref``, with sizes and digests of files.

    Raises:
        SourceMissing, AccessDenied: If there is no such repository or ref, or no access to it.
        Unreachable: If the Hub does not answer.
    """
    with translated_errors(repo, ref, endpoint):
        return client(endpoint).model_info(
            repo, revision=ref, files_metadata=True, securityStatus=True, timeout=ANSWER_SECONDS
        )


def head(repo: str, ref: str, endpoint: str | None) -> str:
    """Return the commit that ``ref`` names now, 40 hex digits, with the smallest request.

    Raises:
        SourceMissing, AccessDenied: If there is no such repository or ref, or no access to it.
        Unreachable: If the Hub does not answer.
    """
    with translated_errors(repo, ref, endpoint):
        found = client(endpoint).model_info(
            repo, revision=ref, expand=["sha"], timeout=ANSWER_SECONDS
        )
    return str(found.sha)


def scan(address: RepositoryAddress, description: Any, paths: Sequence[str]) -> Scan:
    """Return the result of the Hub's own security scan of the files that are used.

    Args:
        address: The commit.
        description: The result of :func:`info` for it.
        paths: The files.

    Raises:
        SourceRefused: If the scan flags one of them.
        ScanPending: If the scan is not done.
    """
    status = getattr(description, "security_repo_status", None)
    if not status:
        return "unknown"
    for issue in status.get("filesWithIssues") or ():
        if issue["path"] in paths:
            rule = f"the Hub's security scan flags it as {issue.get('level', 'unsafe')}"
            raise SourceRefused(issue["path"], rule, f"see its page in {address.repo}; use another")
    if not status.get("scansDone"):
        raise ScanPending(str(address))
    return "clean"


def list_files(address: RepositoryAddress, paths: Sequence[str]) -> tuple[ListedFile, ...]:
    """Return ``paths`` as the Hub lists them at the commit, in their order.

    Raises:
        SourceRefused: If one of them is not listed.
        SourceMissing, AccessDenied: If there is no such repository or commit, or no access to it.
        Unreachable: If the Hub does not answer.
    """
    files = {file.rfilename: file for file in info(*address).siblings}
    if unlisted := sorted(set(paths) - set(files)):
        raise SourceRefused(unlisted[0], f"not listed in {address}", "resolve it again")
    return tuple(_listed(files[path]) for path in paths)


def _listed(file: Any) -> ListedFile:
    sha256 = file.lfs["sha256"] if file.lfs else None
    return ListedFile(file.rfilename, file.size or 0, sha256, file.blob_id)


@contextmanager
def translated_errors(repo: str, ref: str, endpoint: str | None) -> Iterator[None]:
    """Turn the client's errors into ours."""
    from huggingface_hub import constants, errors
    from huggingface_hub.utils import httpx

    try:
        yield
    except errors.GatedRepoError as error:
        advice = "accept its terms on the Hub and set HF_TOKEN to a token that may read it"
        raise AccessDenied(repo, advice) from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        advice = "check the name; set HF_TOKEN if it is private"
        raise SourceMissing(f"repository {repo}", advice) from error
    except errors.RevisionNotFoundError as error:
        advice = "name a branch, tag or commit of it as ref"
        raise SourceMissing(f"{ref!r} in {repo}", advice) from error
    except errors.RemoteEntryNotFoundError as error:
        raise SourceRefused(repo, f"a listed file is gone at {ref}", "resolve it again") from error
    except (
        errors.OfflineModeIsEnabled,
        errors.HfHubHTTPError,
        httpx.HTTPError,
        json.JSONDecodeError,  # a web page, such as the sign-in of a network
        OSError,
    ) as error:
        response = getattr(error, "response", None)
        if response is not None and response.status_code == httpx.codes.UNAUTHORIZED:
            advice = "correct HF_TOKEN, which the Hub does not know, or leave it out"
            raise AccessDenied(repo, advice) from error
        address = endpoint or constants.ENDPOINT
        raise Unreachable("the Hugging Face Hub", address, _one_line(error)) from error


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def retry_after_seconds(error: BaseException | None) -> float:
    """Return how long the server asks us to wait before the next request; 0 if it does not.

    Source: ``Retry-After``, RFC 9110, section 10.2.3: seconds, or a date.
    """
    while error is not None:
        response = getattr(error, "response", None)
        value = response.headers.get("Retry-After", "") if response is not None else ""
        if value:
            return _seconds(value)
        error = error.__cause__
    return 0.0


def _seconds(value: str) -> float:
    if value.isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return (moment - datetime.now(tz=UTC)).total_seconds()
