"""Everything about one release that its report is made from."""

from slipway.values.answers import SmokeReport
from slipway.values.artifacts import Artifact
from slipway.values.base import Value
from slipway.values.decisions import Verdict
from slipway.values.entries import Entry
from slipway.values.evaluations import GateResult, Selection
from slipway.values.sources import Weights
from slipway.values.versions import RegisteredVersions


class Change(Value):
    """A difference between a release and the champion; None where one of them has no such entry.

    Attributes:
        what: The entry that differs, such as a file's name or ``license``.
    """

    what: str
    before: str | None
    after: str | None


class ReleaseSummary(Value):
    """Everything about one release.

    Attributes:
        gates: The gates of the selected candidate, with those on the smoke test's figures.
        champion: Version of the champion's ONNX wrapper at the decision; None without a champion.
        flow_run_url: Page of the Prefect run; None outside of a run.
        chat_url: Page that chats with the served champion; None if no server is meant to have it.
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
    chat_url: str | None = None

    @property
    def artifact(self) -> Artifact:
        """The selected candidate's artifact."""
        return self.selection.artifact
