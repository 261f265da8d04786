"""Everything about one release that people may want to read."""

from slipway.values.answers import SmokeReport
from slipway.values.artifacts import Artifact
from slipway.values.base import Value
from slipway.values.decisions import Verdict
from slipway.values.entries import Entry
from slipway.values.evaluations import GateResult, Selection
from slipway.values.sources import Weights
from slipway.values.versions import RegisteredVersions


class Change(Value):
    """Something that is not as it was in the version that serves.

    Attributes:
        what: What it is, such as a file's name or ``license``.
        before: What it was; None for what was not there.
        after: What it is; None for what is no longer there.
    """

    what: str
    before: str | None
    after: str | None


class ReleaseSummary(Value):
    """What a report is made from.

    Attributes:
        entry: What was asked for.
        weights: What it was made from.
        selection: What was made of it, and which of that was chosen.
        versions: What was logged.
        report: What it answered.
        verdict: What was decided.
        gates: What the gates said of the chosen candidate, with all that the smoke test added.
        champion: Version of the ONNX wrapper that served when it was decided; None for none.
        changes: What differs from that version.
        flow_run_url: Where people see the Prefect run; None when it was no run.
        mlflow_url: Where people see the MLflow run.
    """

    entry: Entry
    weights: Weights
    selection: Selection
    versions: RegisteredVersions
    report: SmokeReport
    verdict: Verdict
    gates: tuple[GateResult, ...]
    champion: int | None
    changes: tuple[Change, ...]
    flow_run_url: str | None
    mlflow_url: str

    @property
    def artifact(self) -> Artifact:
        """The artifact that was chosen."""
        return self.selection.artifact
