"""The frozen values that travel along the line, one per arrow.

``Source → Revision → Weights → Attempts → Trials → Choice → Candidate → SmokeReport → Verdict →
Promotion``

Each holds what the next step needs and its own identity; none refers back. They are pydantic
models because nearly all of them cross a JSON border: a flow's parameter, a stored result, a child
process.
"""

from slipway.values.aliases import (
    AliasChange,
    AliasChangeKind,
    ApprovalDecision,
    AuditInfo,
    ChampionPeriod,
    EarlierRejection,
    PromotionTarget,
)
from slipway.values.answers import (
    Answers,
    CheckResult,
    Prediction,
    Prompt,
    PromptMessage,
    Regression,
    Rendering,
    Severity,
    SmokeReport,
    WrapperReport,
)
from slipway.values.artifacts import (
    Artifact,
    Override,
    Precision,
    Quantization,
    QuantizeRecipe,
    Recipe,
    SelectRecipe,
)
from slipway.values.base import Value
from slipway.values.comparisons import AnswerChange, Comparison, FigureChange, ReleaseRecord, Trend
from slipway.values.decisions import (
    Champion,
    Decision,
    GateLimits,
    Gates,
    Inconclusive,
    Promoted,
    Promotion,
    Rejected,
    Release,
    Verdict,
)
from slipway.values.entries import Entry, Wrappers
from slipway.values.evaluations import (
    BuildResult,
    Evaluation,
    GateResult,
    GateState,
    ScoredCandidate,
    Selection,
)
from slipway.values.figures import (
    HIGHER_IS_BETTER,
    METRICS,
    Estimate,
    Fidelity,
    Figures,
    Metric,
    Speed,
)
from slipway.values.manifests import Manifest
from slipway.values.sources import (
    FileEntry,
    FolderSource,
    HubSource,
    PackageSource,
    Published,
    Revision,
    Scan,
    Source,
    Stored,
    Weights,
)
from slipway.values.summary import Change, ReleaseSummary
from slipway.values.variants import Target, Variant, VariantPrecision
from slipway.values.versions import Contract, LoggedWrapper, RegisteredVersions, WrapperKind
from slipway.values.watch import LastSeen, ReleaseStatus, RunState, SourceState, WatchResult

__all__ = [
    "HIGHER_IS_BETTER",
    "METRICS",
    "AliasChange",
    "AliasChangeKind",
    "AnswerChange",
    "Answers",
    "ApprovalDecision",
    "Artifact",
    "AuditInfo",
    "BuildResult",
    "Champion",
    "ChampionPeriod",
    "Change",
    "CheckResult",
    "Comparison",
    "Contract",
    "Decision",
    "EarlierRejection",
    "Entry",
    "Estimate",
    "Evaluation",
    "Fidelity",
    "FigureChange",
    "Figures",
    "FileEntry",
    "FolderSource",
    "GateLimits",
    "GateResult",
    "GateState",
    "Gates",
    "HubSource",
    "Inconclusive",
    "LastSeen",
    "LoggedWrapper",
    "Manifest",
    "Metric",
    "Override",
    "PackageSource",
    "Precision",
    "Prediction",
    "Promoted",
    "Promotion",
    "PromotionTarget",
    "Prompt",
    "PromptMessage",
    "Published",
    "Quantization",
    "QuantizeRecipe",
    "Recipe",
    "RegisteredVersions",
    "Regression",
    "Rejected",
    "Release",
    "ReleaseRecord",
    "ReleaseStatus",
    "ReleaseSummary",
    "Rendering",
    "Revision",
    "RunState",
    "Scan",
    "ScoredCandidate",
    "SelectRecipe",
    "Selection",
    "Severity",
    "SmokeReport",
    "Source",
    "SourceState",
    "Speed",
    "Stored",
    "Target",
    "Trend",
    "Value",
    "Variant",
    "VariantPrecision",
    "Verdict",
    "WatchResult",
    "Weights",
    "WrapperKind",
    "WrapperReport",
    "Wrappers",
]
