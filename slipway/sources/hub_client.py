"""Requests to the Hub: where they go, what the Hub lists, and its errors as ours."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from slipway.errors import AccessDenied, ScanPending, SourceMissing, SourceRefused, Unreachable
from slipway.sources import model_card
from slipway.system import disk
from slipway.system.network import is_loopback
from slipway.validation import names
from slipway.values import Scan

#: Longest wait for an answer of the Hub; the client itself has no limit.
ANSWER_SECONDS = 15.0
_PUBLIC_HUB = "https://huggingface.co"
_COMMIT_DIGITS, _SHA256_DIGITS = 40, 64


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


class Listing(NamedTuple):
    """What the Hub says of a repository at a ref, after its form and its names were checked.

    Attributes:
        commit: 40 hex digits.
        files: All files, by path.
        license: As the model card declares it, in lower case.
        security: Result of the Hub's own scan; None if it has none.
    """

    commit: str
    files: dict[str, ListedFile]
    license: str | None
    security: Any

    def digest(self, paths: Iterable[str]) -> str:
        """Return the SHA-256 over the names and contents of these files, 64 hex digits."""
        found = (self.files[path] for path in sorted(paths))
        ids = [(file.path, file.sha256 or file.git_oid) for file in found]
        return hashlib.sha256(json.dumps(ids).encode()).hexdigest()


def client(endpoint: str | None) -> Any:
    """Return the Hub's client for ``endpoint``, with a token if that is where it belongs.

    By default the client also uses a token that a login stored in a file. A release would then
    depend on who ran it, and on which machine.
    """
    from huggingface_hub import HfApi

    return HfApi(endpoint=address_of(endpoint), token=token_for(endpoint) or False)


def address_of(endpoint: str | None) -> str:
    """Return the address of ``endpoint``: without one, of ``HF_ENDPOINT`` or the public Hub.

    The client takes a variable that is set and empty for an address.
    """
    return (endpoint or os.environ.get("HF_ENDPOINT") or _PUBLIC_HUB).rstrip("/")


def token_for(endpoint: str | None) -> str | None:
    """Return ``HF_TOKEN`` for the host that it belongs to, and None for every other.

    It belongs to the host of ``HF_ENDPOINT``, by default to the public Hub. It is never sent over
    plain HTTP, except to this machine.
    """
    parts, own = urlsplit(address_of(endpoint)), urlsplit(address_of(None))
    is_private = parts.scheme == "https" or is_loopback(parts.hostname or "")
    is_own = parts.netloc.lower() == own.netloc.lower()
    return os.environ.get("HF_TOKEN") if is_private and is_own else None


def _token_advice(endpoint: str | None, advice: str) -> str:
    """Return ``advice``, or that there is a token which was not sent."""
    if os.environ.get("HF_TOKEN") and token_for(endpoint) is None:
        return "HF_TOKEN is only sent to the server of HF_ENDPOINT, over HTTPS or on this machine"
    return advice


def info(repo: str, ref: str, endpoint: str | None) -> Listing:
    """Return what the Hub lists of a repository at ``ref``, with sizes and digests of files.

    Raises:
        SourceRefused: If a name in it leads out of a folder, or the answer has another form.
        SourceMissing, AccessDenied: If there is no such repository or ref, or no access to it.
        Unreachable: If the Hub does not answer.
    """
    with translated_errors(repo, ref, endpoint):
        found = client(endpoint).model_info(
            repo, revision=ref, files_metadata=True, securityStatus=True, timeout=ANSWER_SECONDS
        )
        return _listing(repo, found)


def committed_at(address: RepositoryAddress) -> datetime:
    """Return when a commit was made."""
    with translated_errors(*address):
        commits = client(address.endpoint).list_repo_commits(address.repo, revision=address.commit)
        found: datetime = commits[0].created_at  # the commit itself comes before its parents
        return found


def head(repo: str, ref: str, endpoint: str | None) -> str:
    """Return the commit that ``ref`` names now, 40 hex digits, with the smallest request."""
    with translated_errors(repo, ref, endpoint):
        found = client(endpoint).model_info(
            repo, revision=ref, expand=["sha"], timeout=ANSWER_SECONDS
        )
        return _hex(found.sha, _COMMIT_DIGITS)


def scan(address: RepositoryAddress, listing: Listing, paths: Sequence[str]) -> Scan:
    """Return the result of the Hub's own security scan of the files that are used.

    Args:
        address: The commit.
        listing: The result of :func:`info` for it.
        paths: Those files.

    Raises:
        SourceRefused: If the scan flags one of them.
        ScanPending: If the scan is not done.
    """
    status = listing.security
    if not status:
        return "unknown"
    for issue in status.get("filesWithIssues") or ():
        if issue["path"] in paths:
            level = names.shown(str(issue.get("level", "unsafe")))
            rule = f"the Hub's security scan flags it as {level}"
            raise SourceRefused(issue["path"], rule, f"see its page in {address.repo}; use another")
    if not status.get("scansDone"):
        raise ScanPending(str(address))
    return "clean"


def list_files(
    address: RepositoryAddress, paths: Sequence[str], files_digest: str
) -> tuple[ListedFile, ...]:
    """Return ``paths`` as the Hub lists them at the commit, in their order.

    Args:
        address: The commit.
        paths: The files.
        files_digest: What their digest was when the commit was resolved.

    Raises:
        SourceRefused: If one of them is not listed, or the digest is another one.
    """
    listing = info(*address)
    if unlisted := sorted(set(paths) - set(listing.files)):
        raise SourceRefused(unlisted[0], f"not listed in {address}", "resolve it again")
    if listing.digest(paths) != files_digest:
        rule = "the files of this commit are not those that were resolved"
        raise SourceRefused(str(address), rule, "run the release again; do not trust this server")
    return tuple(listing.files[path] for path in paths)


def _listing(repo: str, found: Any) -> Listing:
    siblings = found.siblings or ()
    names.require_inside(repo, (file.rfilename for file in siblings))
    card = found.card_data
    declared = model_card.license_text(card.license) if card else None
    return Listing(
        commit=_hex(found.sha, _COMMIT_DIGITS),
        files={file.rfilename: _listed(file) for file in siblings},
        license=declared and names.shown(declared),
        security=getattr(found, "security_repo_status", None),
    )


def _listed(file: Any) -> ListedFile:
    sha256 = _hex(file.lfs["sha256"], _SHA256_DIGITS) if file.lfs else None
    git_oid = _hex(file.blob_id, _COMMIT_DIGITS) if file.blob_id else None
    return ListedFile(file.rfilename, int(file.size or 0), sha256, git_oid)


def _hex(text: Any, digits: int) -> str:
    """Return an id of the Hub if it has as many hex digits as it should.

    Raises:
        ValueError: If it has another form.
    """
    if not re.fullmatch(rf"[0-9a-f]{{{digits}}}", text):
        raise ValueError(f"{ascii(text)[:80]} is no id of {digits} hex digits")
    return str(text)


@contextmanager
def translated_errors(repo: str, ref: str, endpoint: str | None) -> Iterator[None]:
    """Turn the client's errors into ours."""
    from huggingface_hub import errors
    from huggingface_hub.utils import httpx

    try:
        yield
    except errors.GatedRepoError as error:
        advice = "accept its terms on the Hub and set HF_TOKEN to a token that may read it"
        raise AccessDenied(repo, _token_advice(endpoint, advice)) from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        advice = f"check the name; {_token_advice(endpoint, 'set HF_TOKEN if it is private')}"
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
        if disk.failure(error):
            raise  # of this machine: whoever writes there says so
        response = getattr(error, "response", None)
        if response is not None and response.status_code == httpx.codes.UNAUTHORIZED:
            advice = "correct HF_TOKEN, which the Hub does not know, or leave it out"
            raise AccessDenied(repo, advice) from error
        reason = _one_line(error)
        raise Unreachable("the Hugging Face Hub", address_of(endpoint), reason) from error
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        # an answer of another form
        rule = f"the server describes it otherwise than a Hub does: {_one_line(error)}"
        raise SourceRefused(repo, rule, "use another endpoint") from error


def _one_line(error: Exception) -> str:
    return names.shown(" ".join(f"{type(error).__name__}: {error}".split())[:200])


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
    # a date in "-0000" is UTC too, and Python reads it without a time zone: RFC 5322, section 3.3
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(tz=UTC)).total_seconds()
