"""The frozen values that travel along the line, one per arrow.

``Source → Revision → Weights → Attempts → Trials → Choice → Candidate → SmokeReport → Verdict →
Promotion``

Each holds what the next step needs and its own identity; none refers back. They are pydantic
models because nearly all of them cross a JSON border: a flow's parameter, a stored result, a child
process.
"""

from slipway.values.answers import (
    Answers,
    Check,
    Message,
    Prediction,
    Prompt,
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
from slipway.values.candidates import Candidate, Contract, LoggedWrapper, WrapperKind
from slipway.values.decisions import (
    Champion,
    Gates,
    Inconclusive,
    Judgement,
    Keep,
    Limits,
    Promote,
    Promotion,
    Release,
    Verdict,
)
from slipway.values.dossier import Change, Dossier
from slipway.values.entries import Entry, Wrappers
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
from slipway.values.records import Comparison, Differing, Record, Step, Trend
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
from slipway.values.trials import Attempt, Choice, Contender, GateResult, GateState, Trial
from slipway.values.variants import Target, Variant, VariantPrecision

__all__ = [
    "HIGHER_IS_BETTER",
    "METRICS",
    "Answers",
    "Artifact",
    "Attempt",
    "Candidate",
    "Champion",
    "Change",
    "Check",
    "Choice",
    "Comparison",
    "Contender",
    "Contract",
    "Differing",
    "Dossier",
    "Entry",
    "Estimate",
    "Fidelity",
    "Figures",
    "FileEntry",
    "FolderSource",
    "GateResult",
    "GateState",
    "Gates",
    "HubSource",
    "Inconclusive",
    "Judgement",
    "Keep",
    "Limits",
    "LoggedWrapper",
    "Manifest",
    "Message",
    "Metric",
    "Override",
    "PackageSource",
    "Precision",
    "Prediction",
    "Promote",
    "Promotion",
    "Prompt",
    "Published",
    "Quantization",
    "QuantizeRecipe",
    "Recipe",
    "Record",
    "Regression",
    "Release",
    "Rendering",
    "Revision",
    "Scan",
    "SelectRecipe",
    "Severity",
    "SmokeReport",
    "Source",
    "Speed",
    "Step",
    "Stored",
    "Target",
    "Trend",
    "Trial",
    "Value",
    "Variant",
    "VariantPrecision",
    "Verdict",
    "Weights",
    "WrapperKind",
    "WrapperReport",
    "Wrappers",
]
