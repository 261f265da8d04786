"""What the local Hub says no with.

Each refusal knows the status and the ``X-Error-Code`` by which ``huggingface_hub`` picks the error
that it raises:

    Refusal
    ├── RepoNotFound         401 (anonymous) or 404   RepositoryNotFoundError
    ├── RevisionNotFound     404                      RevisionNotFoundError
    ├── EntryNotFound        404                      RemoteEntryNotFoundError
    ├── GatedRepo            401 (anonymous) or 403   GatedRepoError
    ├── InvalidToken         401                      HfHubHTTPError
    ├── RangeNotSatisfiable  416                      HfHubHTTPError
    └── NotSupported         400                      BadRequestError
"""


class Refusal(Exception):
    """Base of what the local Hub refuses.

    Attributes:
        status: HTTP status of the answer.
        code: Value of ``X-Error-Code``; None sends none.
    """

    status = 400
    code: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the answer besides the usual ones of an error."""
        return {}


class RepoNotFound(Refusal):
    """No such repository, or none that ``user`` may know of.

    Args:
        repo_id: What was asked for.
        user: Who asked; None when nobody signed in, whom the Hub answers 401 and not 404.
    """

    code = "RepoNotFound"

    def __init__(self, repo_id: str, user: str | None = None) -> None:
        super().__init__(repo_id, user)
        self.repo_id = repo_id
        self.status = 404 if user else 401

    def __str__(self) -> str:
        return f"Repository {self.repo_id} not found"


class RevisionNotFound(Refusal):
    """The repository has no such branch, tag or commit."""

    status = 404
    code = "RevisionNotFound"

    def __init__(self, repo_id: str, revision: str) -> None:
        super().__init__(repo_id, revision)
        self.repo_id = repo_id
        self.revision = revision

    def __str__(self) -> str:
        return f"Invalid rev id: {self.revision} of {self.repo_id}"


class EntryNotFound(Refusal):
    """The commit holds no such file or folder.

    Args:
        path: What was asked for.
        commit_id: Where it is missing; the client remembers the absence under it.
    """

    status = 404
    code = "EntryNotFound"

    def __init__(self, path: str, commit_id: str) -> None:
        super().__init__(path, commit_id)
        self.path = path
        self.commit_id = commit_id

    @property
    def headers(self) -> dict[str, str]:
        """Names the commit in which the entry is missing."""
        return {"X-Repo-Commit": self.commit_id}

    def __str__(self) -> str:
        return f"Entry {self.path} not found"


class GatedRepo(Refusal):
    """The repository shows its metadata to all, its files only to its readers.

    Args:
        repo_id: What was asked for.
        user: Who asked; None when nobody signed in.
    """

    code = "GatedRepo"

    def __init__(self, repo_id: str, user: str | None = None) -> None:
        super().__init__(repo_id, user)
        self.repo_id = repo_id
        self.status = 403 if user else 401

    def __str__(self) -> str:
        return f"Access to model {self.repo_id} is restricted"


class InvalidToken(Refusal):
    """The bearer token belongs to no account of this Hub."""

    status = 401

    def __str__(self) -> str:
        return "Invalid credentials in Authorization header"


class RangeNotSatisfiable(Refusal):
    """The asked range begins at or after the file's end."""

    status = 416

    def __init__(self, size_bytes: int) -> None:
        super().__init__(size_bytes)
        self.size_bytes = size_bytes

    @property
    def headers(self) -> dict[str, str]:
        """Names the size that the file has."""
        return {"Content-Range": f"bytes */{self.size_bytes}"}

    def __str__(self) -> str:
        return f"The file has {self.size_bytes} bytes"


class NotSupported(Refusal):
    """The real Hub may know it; the local Hub does not, and says so rather than answer wrongly."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"The local Hub does not support {self.what}"
