"""Where a model comes from, and its files once they are here."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from slipway.values.base import Value

#: Result of the Hub's security scan; a flagged file never gets this far.
Scan = Literal["clean", "unknown"]


class HubSource(Value):
    """A repository on the Hugging Face Hub, or on a server that speaks like it.

    Attributes:
        ref: Branch, tag or commit to follow.
        endpoint: Address of the server; None for ``HF_ENDPOINT``, or the public Hub.
    """

    kind: Literal["hub"] = "hub"
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    ref: str = "main"
    endpoint: str | None = Field(default=None, pattern=r"^https?://[^@]+$")


class PackageSource(Value):
    """A Python package that carries the model's weights as one GGUF file.

    Attributes:
        file: The GGUF file's path inside the installed package.
        repo: The repository that the weights were made from: the model's public name.
    """

    kind: Literal["package"] = "package"
    package: str
    file: str = Field(pattern=r"\.gguf$")
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")


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

    path: str
    size_bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Published(Value):
    """One folder of a repository with ready ONNX artifacts, at one commit.

    Attributes:
        commit: The Hub's commit, 40 hex digits.
        endpoint: Address of the server; None for ``HF_ENDPOINT``, or the public Hub.
        folder: Path of the folder inside the repository; empty for its root.
        paths: The files that are taken, relative to the repository.
        size_bytes: What a download of those files brings.
    """

    repo: str
    commit: str = Field(pattern=r"^[0-9a-f]{40}$")
    endpoint: str | None
    folder: str
    paths: tuple[str, ...] = Field(min_length=1)
    size_bytes: int = Field(gt=0)


class Revision(Value):
    """A source, pinned to one commit.

    Attributes:
        commit: 40 hex digits: the Hub's commit, or where a source has none, the first 40 of
            ``digest``.
        digest: SHA-256 over names and contents of the files that a release uses, those of
            ``published`` included. A commit that only changes the README has another ``commit`` and
            the same ``digest``.
        paths: The files of a checkpoint that are taken from the source.
        size_bytes: What a download of those files brings.
        license: License identifier as the source declares it, in lower case.
        published: The ready artifact, where the recipe selects one.
        scan: ``unknown`` where the Hub ran none.
    """

    source: Source
    commit: str = Field(pattern=r"^[0-9a-f]{40}$")
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    paths: tuple[str, ...] = Field(min_length=1)
    size_bytes: int = Field(gt=0)
    license: str | None
    published: Published | None = None
    scan: Scan = "unknown"

    @property
    def name(self) -> str:
        """Public name and short commit, as ``org/name@0123abcd``."""
        return f"{self.source.repo}@{self.commit[:8]}"


class Stored(Value):
    """A folder in the store, whose files were verified.

    Attributes:
        key: The store's name for it; the same inputs give the same key.
        folder: Where the files lie. Later steps read it and never write to it.
        files: Every file in it, in order of path.
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
        architecture: First entry of ``architectures`` in its ``config.json``.
        parameters: Count of numbers that the safetensors headers declare.
        chat_template_digest: SHA-256 of its chat template; None if it has none.
    """

    revision: Revision
    stored: Stored
    architecture: str
    parameters: int = Field(gt=0)
    chat_template_digest: str | None = None
