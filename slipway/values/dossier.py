"""Everything about one release that people may want to read."""

from slipway.values.answers import SmokeReport
from slipway.values.artifacts import Artifact
from slipway.values.base import Value
from slipway.values.candidates import Candidate
from slipway.values.decisions import Verdict
from slipway.values.entries import Entry
from slipway.values.sources import Weights


class Dossier(Value):
    """What a report is made from.

    Attributes:
        entry: What was asked for.
        weights: What it was made from.
        artifact: What was made.
        candidate: What was logged.
        report: What it answered.
        verdict: What was decided.
        champion: Version of the ONNX wrapper that served when it was decided; None for none.
        flow_run_url: Where people see the Prefect run; None when it was no run.
        mlflow_url: Where people see the MLflow run.
    """

    entry: Entry
    weights: Weights
    artifact: Artifact
    candidate: Candidate
    report: SmokeReport
    verdict: Verdict
    champion: int | None
    flow_run_url: str | None
    mlflow_url: str
