"""Where a model comes from, and its files once they are here."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, field_validator

from slipway.values.base import Value
from slipway.values.paths import RelativePath

#: Result of the Hub's security scan; a flagged file never gets this far.
Scan = Literal["clean", "unknown"]

#: What begins a digest, where a source has no commits: it never looks like a commit of the Hub.
DIGEST_OF = "sha256:"
_SHORT = 8
#: How a GGUF file's name ends, such as ``Q4_1.gguf`` or ``f16.gguf``:
#: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#gguf-naming-convention
_ENCODING = re.compile(
    r"(?:^|[-._])(?:I?Q|TQ|MXFP|NVFP|BF|FP?)(\d+)(?:_\w+)?\.gguf$", re.IGNORECASE
)


def short(commit: str, digits: int = _SHORT) -> str:
    """Return the first digits of a commit; of a digest, the word and its first digits."""
    if commit.startswith(DIGEST_OF):
        return f"digest {commit.removeprefix(DIGEST_OF)[:digits]}"
    return commit[:digits]


def pinned(repo: str, commit: str) -> str:
    """Return ``org/name@0123abcd``, or ``org/name, digest 0123abcd`` where there is no commit."""
    return f"{repo}{', ' if commit.startswith(DIGEST_OF) else '@'}{short(commit)}"


class SourceCommit(Value):
    """What says which of two sources is newer.

    Attributes:
        commit: As in ``Revision``.
        at: When it was committed, as the Hub says; where a source has no commits, when a release
            resolved it; None in the records of earlier versions.
    """

    repo: str
    commit: str
    at: AwareDatetime | None

    def __str__(self) -> str:
        return f"{pinned(self.repo, self.commit)} of {self.at:%Y-%m-%d %H:%M:%S}"


class HubSource(Value):
    """A repository on the Hugging Face Hub, or on a server that speaks like it.

    Attributes:
        endpoint: Address of the server; None for ``HF_ENDPOINT``, or the public Hub.
    """

    kind: Literal["hub"] = "hub"
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    ref: str = "main"
    endpoint: str | None = Field(default=None, pattern=r"^https?://[^@]+$")


class PackageSource(Value):
    """A Python package that carries the model's weights as one GGUF file.

    Attributes:
        repo: The repository that the weights were made from: the model's public name.
    """

    kind: Literal["package"] = "package"
    package: str
    file: RelativePath = Field(pattern=r"\.gguf$")
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")

    @property
    def provenance(self) -> str:
        """How the weights came to be, with the bits that the file's name states."""
        bits = _ENCODING.search(self.file)
        file = f"a{'n' * bits[1].startswith('8')} {bits[1]}-bit GGUF" if bits else "a GGUF file"
        return f"weights from {file}, unpacked to float32"


class FolderSource(Value):
    """A checkpoint in transformers' layout on this machine, such as a fine-tune of one's own.

    Attributes:
        path: The folder; relative ones are looked up from the catalogue's folder.
        repo: Public name for the model, since the folder's path must not leave this machine.
    """

    kind: Literal["folder"] = "folder"
    path: Path
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")


Source = Annotated[HubSource | PackageSource | FolderSource, Field(discriminator="kind")]


class FileEntry(Value):
    """One file of a folder, by content; ``path`` is relative to it, with forward slashes."""

    path: RelativePath
    size_bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Published(Value):
    """One folder of a repository with ready ONNX artifacts, at one commit.

    Attributes:
        endpoint: As in ``HubSource``.
        folder: Path inside the repository; empty for its root.
        files_digest: As in ``Revision``, of these ``paths``.
    """

    repo: str
    commit: str = Field(pattern=r"^[0-9a-f]{40}$")
    endpoint: str | None
    folder: Literal[""] | RelativePath
    paths: tuple[RelativePath, ...] = Field(min_length=1)
    size_bytes: int = Field(gt=0)
    files_digest: str = Field(pattern=r"^[0-9a-f]{64}$")


class Revision(Value):
    """A source, pinned to one commit.

    Attributes:
        commit: The Hub's commit, 40 hex digits. Where a source has none, ``sha256:`` and
            ``digest``; earlier versions wrote the first 40 digits of it.
        digest: SHA-256 over names and contents of the files that a release uses, those of
            ``published`` included. A commit that only changes the README has another ``commit`` and
            the same ``digest``.
        files_digest: SHA-256 over names and contents of all of ``paths``, the README included, as
            the source had them when it was resolved. What is taken later must have the same.
        license: License identifier as the source declares it, in lower case; several with commas.
        published: The artifacts that a recipe selects, in the order of its candidates.
        scan: ``unknown`` where the Hub ran none.
        dated: As in ``SourceCommit``; of several commits, the latest date.
    """

    source: Source
    commit: str = Field(pattern=r"^([0-9a-f]{40}|sha256:[0-9a-f]{64})$")
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    files_digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    paths: tuple[RelativePath, ...] = Field(min_length=1)
    size_bytes: int = Field(gt=0)
    license: str | None
    published: tuple[Published, ...] = ()
    scan: Scan = "unknown"
    dated: AwareDatetime | None = None

    @field_validator("published", mode="before")
    @classmethod
    def _of_an_earlier_version(cls, written: Any) -> Any:
        """Read what earlier versions wrote: one, or None."""
        if written is None:
            return ()
        return written if isinstance(written, list | tuple) else (written,)

    @property
    def licenses(self) -> tuple[str | None, ...]:
        """Every license that the source declares; None alone if it declares none."""
        return tuple(self.license.split(", ")) if self.license else (None,)

    @property
    def name(self) -> str:
        """Public name and short commit, see ``pinned``."""
        return pinned(self.source.repo, self.commit)

    @property
    def source_commit(self) -> SourceCommit:
        """What orders it among the revisions of its source."""
        return SourceCommit(repo=self.source.repo, commit=self.commit, at=self.dated)

    @property
    def is_digest(self) -> bool:
        """Whether there is no commit, and a digest stands for it."""
        return self.commit.startswith(DIGEST_OF)

    @property
    def short(self) -> str:
        """The first digits of the commit, see ``short``."""
        return short(self.commit)

    @property
    def published_variants(self) -> tuple[str, ...]:
        """Names of the published artifacts: their folders' own, or whole paths if two are alike."""
        own = tuple(each.folder.rpartition("/")[2] or "published" for each in self.published)
        if len(set(own)) == len(own):
            return own
        return tuple(each.folder.replace("/", "-") or "published" for each in self.published)

    @property
    def provenance(self) -> str:
        """How the weights came to be; empty if they are used as they were published."""
        return self.source.provenance if isinstance(self.source, PackageSource) else ""


class Stored(Value):
    """A folder in the store, whose files were verified.

    Attributes:
        folder: Where the files lie. Later steps read it and never write to it.
    """

    key: str
    folder: Path
    files: tuple[FileEntry, ...] = Field(min_length=1)

    @property
    def size_bytes(self) -> int:
        """Sum of the file sizes."""
        return sum(file.size_bytes for file in self.files)


class Weights(Value):
    """A checkpoint in transformers' layout: safetensors, configuration, tokenizer.

    Attributes:
        parameters: Count of numbers that the safetensors headers declare.
        tied: Whether one matrix is both its token embeddings and its output layer.
        chat_template_digest: SHA-256 of its chat template; None if it has none.
    """

    revision: Revision
    stored: Stored
    architecture: str
    parameters: int = Field(gt=0)
    tied: bool = False
    chat_template_digest: str | None = None
