"""What a release says of itself, inside both of its logged models."""

from typing import Any

from pydantic import AwareDatetime, Field

from slipway.values.aliases import AuditInfo
from slipway.values.artifacts import VariantPrecision
from slipway.values.base import Record, Value
from slipway.values.decisions import Verdict
from slipway.values.environments import EnvironmentName
from slipway.values.evaluations import GateResult
from slipway.values.sources import FileEntry, Scan
from slipway.values.versions import Contract, WrapperKind


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


class RecordedRun(Record):
    """What the run of a release shows, and what else another registry needs of the release.

    Attributes:
        environment: Where it was released.
        version: Of the ONNX wrapper there.
        contract: Of the ONNX wrapper.
        precision: Type of the artifact's weights.
        provenance: As in ``Revision``; likewise ``dated``.
        description: Markdown of the version's page.
        name: The run's.
        params: By name; likewise its metrics, the finite ones, and some of its tags.
        files: The report and the run's other files.
    """

    environment: EnvironmentName
    version: int
    contract: Contract
    precision: VariantPrecision
    provenance: str
    dated: AwareDatetime | None
    description: str
    name: str
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    files: tuple[FileEntry, ...]
