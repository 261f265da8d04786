"""The frozen values that steps pass on: one for each arrow of the line.

``Source → Revision → Weights → BuildResult → Evaluation → Selection → RegisteredVersions →
SmokeReport → Decision → Release``

Each holds what the next step needs and its own identity; none refers back. They are pydantic
models because nearly all of them cross a JSON border: a flow's parameter, a stored result, a child
process.
"""

from slipway.values.aliases import AliasChange as AliasChange
from slipway.values.aliases import AliasChangeKind as AliasChangeKind
from slipway.values.aliases import ApprovalDecision as ApprovalDecision
from slipway.values.aliases import AuditInfo as AuditInfo
from slipway.values.aliases import ChampionPeriod as ChampionPeriod
from slipway.values.aliases import EarlierRejection as EarlierRejection
from slipway.values.aliases import PromotionTarget as PromotionTarget
from slipway.values.answers import Answers as Answers
from slipway.values.answers import CheckResult as CheckResult
from slipway.values.answers import Prediction as Prediction
from slipway.values.answers import Prompt as Prompt
from slipway.values.answers import PromptMessage as PromptMessage
from slipway.values.answers import Regression as Regression
from slipway.values.answers import Rendering as Rendering
from slipway.values.answers import Severity as Severity
from slipway.values.answers import SmokeReport as SmokeReport
from slipway.values.answers import WrapperReport as WrapperReport
from slipway.values.artifacts import Artifact as Artifact
from slipway.values.artifacts import Override as Override
from slipway.values.artifacts import Precision as Precision
from slipway.values.artifacts import Quantization as Quantization
from slipway.values.artifacts import QuantizeRecipe as QuantizeRecipe
from slipway.values.artifacts import Recipe as Recipe
from slipway.values.artifacts import SelectRecipe as SelectRecipe
from slipway.values.artifacts import Target as Target
from slipway.values.artifacts import Variant as Variant
from slipway.values.artifacts import VariantPrecision as VariantPrecision
from slipway.values.base import Value as Value
from slipway.values.comparisons import AnswerChange as AnswerChange
from slipway.values.comparisons import Comparison as Comparison
from slipway.values.comparisons import FigureChange as FigureChange
from slipway.values.comparisons import ReleaseRecord as ReleaseRecord
from slipway.values.comparisons import Trend as Trend
from slipway.values.decisions import Champion as Champion
from slipway.values.decisions import Decision as Decision
from slipway.values.decisions import Inconclusive as Inconclusive
from slipway.values.decisions import Promoted as Promoted
from slipway.values.decisions import Promotion as Promotion
from slipway.values.decisions import Rejected as Rejected
from slipway.values.decisions import Release as Release
from slipway.values.decisions import Verdict as Verdict
from slipway.values.entries import Entry as Entry
from slipway.values.entries import GateLimits as GateLimits
from slipway.values.entries import Gates as Gates
from slipway.values.entries import Wrappers as Wrappers
from slipway.values.evaluations import BuildResult as BuildResult
from slipway.values.evaluations import Evaluation as Evaluation
from slipway.values.evaluations import GateResult as GateResult
from slipway.values.evaluations import GateState as GateState
from slipway.values.evaluations import ScoredCandidate as ScoredCandidate
from slipway.values.evaluations import Selection as Selection
from slipway.values.figures import HIGHER_IS_BETTER as HIGHER_IS_BETTER
from slipway.values.figures import METRICS as METRICS
from slipway.values.figures import Estimate as Estimate
from slipway.values.figures import Fidelity as Fidelity
from slipway.values.figures import Figures as Figures
from slipway.values.figures import Metric as Metric
from slipway.values.figures import Speed as Speed
from slipway.values.sources import FileEntry as FileEntry
from slipway.values.sources import FolderSource as FolderSource
from slipway.values.sources import HubSource as HubSource
from slipway.values.sources import PackageSource as PackageSource
from slipway.values.sources import Published as Published
from slipway.values.sources import Revision as Revision
from slipway.values.sources import Scan as Scan
from slipway.values.sources import Source as Source
from slipway.values.sources import Stored as Stored
from slipway.values.sources import Weights as Weights
from slipway.values.summary import Change as Change
from slipway.values.summary import ReleaseSummary as ReleaseSummary
from slipway.values.versions import Contract as Contract
from slipway.values.versions import LoggedWrapper as LoggedWrapper
from slipway.values.versions import Manifest as Manifest
from slipway.values.versions import RegisteredVersions as RegisteredVersions
from slipway.values.versions import WrapperKind as WrapperKind
from slipway.values.watch import LastSeen as LastSeen
from slipway.values.watch import ReleaseStatus as ReleaseStatus
from slipway.values.watch import RunState as RunState
from slipway.values.watch import SourceState as SourceState
from slipway.values.watch import WatchResult as WatchResult
from slipway.values.watch import WatchState as WatchState
