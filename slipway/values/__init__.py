"""The frozen values that travel along the line, one per arrow.

``Source → Revision → Weights → Artifact → Candidate → SmokeReport → Verdict → Promotion``

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
    Severity,
    SmokeReport,
    WrapperReport,
)
from slipway.values.artifacts import (
    Artifact,
    Precision,
    Quantization,
    QuantizeRecipe,
    Recipe,
    SelectRecipe,
)
from slipway.values.base import Value
from slipway.values.candidates import Candidate, Contract, LoggedWrapper, WrapperKind
from slipway.values.decisions import Gates, Inconclusive, Keep, Promote, Promotion, Release, Verdict
from slipway.values.dossier import Dossier
from slipway.values.entries import Entry, Wrappers
from slipway.values.moves import Cause, Decision, Goal, Move, MoveKind, Refusal, Reign
from slipway.values.notices import Notice
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
from slipway.values.variants import Target, Variant, VariantPrecision
from slipway.values.watching import Attempt, Seen, Sighting, Standing, Watched

__all__ = [
    "Answers",
    "Artifact",
    "Attempt",
    "Candidate",
    "Cause",
    "Check",
    "Contract",
    "Decision",
    "Dossier",
    "Entry",
    "FileEntry",
    "FolderSource",
    "Gates",
    "Goal",
    "HubSource",
    "Inconclusive",
    "Keep",
    "LoggedWrapper",
    "Message",
    "Move",
    "MoveKind",
    "Notice",
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
    "Refusal",
    "Reign",
    "Release",
    "Revision",
    "Scan",
    "Seen",
    "SelectRecipe",
    "Severity",
    "Sighting",
    "SmokeReport",
    "Source",
    "Standing",
    "Stored",
    "Target",
    "Value",
    "Variant",
    "VariantPrecision",
    "Verdict",
    "Watched",
    "Weights",
    "WrapperKind",
    "WrapperReport",
    "Wrappers",
]
