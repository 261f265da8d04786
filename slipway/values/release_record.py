"""What a release says of itself, inside both of its logged models."""

from typing import Any

from pydantic import AwareDatetime, Field

from slipway.values.aliases import AuditInfo
from slipway.values.base import Value
from slipway.values.decisions import Verdict
from slipway.values.evaluations import GateResult
from slipway.values.sources import FileEntry, Scan
from slipway.values.versions import WrapperKind


class RecordedSource(Value):
    """Where the weights come from, as ``Revision`` has it.

    Attributes:
        digest: SHA-256 over names and contents of the files that the release uses.
        license: As the source declares it; nobody has checked it.
    """

    repo: str
    commit: str
    digest: str
    license: str | None
    scan: Scan


class RecordedRelease(Value):
    """The record of a release: what it is, what it was tested with, and how it was decided.

    Attributes:
        model: Name of the registered model that holds this wrapper.
        key: The release key, which no other version of the model has.
        variant: Name of the artifact, such as ``cpu-int4-rtn-block-32``.
        files: Every file of the logged model but the record itself and its signature.
        recipe: The recipe of the catalogue's entry.
        tools: Versions of the tools that shape the bytes.
        tested_with: SHA-256 of the wrapper's code, prompts, texts and suites, by name.
        started: Who or what started the release, and why.
        at: When the record was written, after the decision.
        prefect_run: Page of the Prefect run; None outside of a run.
        mlflow_run: Id of the release's run.
    """

    model: str
    wrapper: WrapperKind
    key: str
    source: RecordedSource
    variant: str
    files: tuple[FileEntry, ...] = Field(min_length=1)
    recipe: dict[str, Any]
    tools: dict[str, str]
    tested_with: dict[str, str]
    gates: tuple[GateResult, ...]
    verdict: Verdict
    started: AuditInfo
    at: AwareDatetime
    prefect_run: str | None
    mlflow_run: str
