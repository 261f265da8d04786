"""Names of the tags that Slipway writes to MLflow: each name stands here and nowhere else.

``format_1`` alone knows the names that earlier versions wrote.
"""

#: The format of all other tags of the same version, run or experiment; see ``format_1``.
FORMAT, CURRENT_FORMAT = "slipway.format", "2"

#: By these a release is found again.
KEY, WRAPPER = "slipway.key", "slipway.wrapper"

#: Where a release comes from.
REPO, COMMIT, VARIANT = "slipway.repo", "slipway.commit", "slipway.variant"
LICENSE, FLOW_RUN = "slipway.license", "slipway.flow_run"

#: What a version's bytes are: the digest of what its wrapper reads, as ``keys.manifest_digest``
#: counts it, and the SHA-256 of the ONNX wrapper's code and of ``MLmodel``.
DIGEST, CODE, MLMODEL = "slipway.digest", "slipway.code_sha256", "slipway.mlmodel_sha256"

#: The SHA-256 of the signature inside a version's logged model; set once that is complete.
SIGNATURE = "slipway.signature_sha256"

#: On a version: ``released``, and the release as JSON.
STATUS, RELEASE = "slipway.status", "slipway.release"

#: Why nothing promotes this version again, until a person lifts it.
QUARANTINED = "slipway.quarantined"

#: From which version of which environment it was promoted; and, with the name of an environment
#: behind it, which version it is there. Of both wrappers, the number of the one that serves.
PROMOTED_FROM, PROMOTED_TO = "slipway.promoted_from", "slipway.promoted_to"

#: Set by a person to any text: a clean-up leaves this version.
PINNED = "slipway.pinned"

#: ``pending``, ``approved`` or ``rejected``: a person may set it in the MLflow UI.
APPROVAL = "slipway.approval"

#: By whom it was approved or rejected; set when that was carried out.
DECIDED = "slipway.decided"

#: The Prefect run whose form waits for the answer.
APPROVAL_RUN = "slipway.approval_run"

#: ``pending`` until the event about the alias change was sent.
PENDING_EVENT = "slipway.announce"

#: On the run of a release, and on that of each of its candidates: how it ended, and why.
VERDICT, REASONS = "slipway.verdict", "slipway.reasons"

#: On both: every figure with its interval, as JSON; the run's metrics are a few of them.
FIGURES = "slipway.figures"

#: On the run of a candidate: the release's run, and the name of the candidate.
PARENT, CANDIDATE = "mlflow.parentRunId", "slipway.candidate"

#: On the run that records an alias change.
KIND, ACTOR, REASON, VERSION = "slipway.kind", "slipway.by", "slipway.reason", "slipway.version"
BEFORE, AFTER, AT, HOST = "slipway.from", "slipway.to", "slipway.at", "slipway.host"
TRANSACTION, UNDO = "slipway.transaction", "slipway.undo"
RELEASE_RUN = "slipway.release_run"

#: On a run that is being written: the lease of its process, which began at ``AT``; which file locks
#: that one holds; and when it last showed that it lives. A release gives its lease back, once both
#: models are registered.
LEASE, LOCK, HEARTBEAT = "slipway.lease", "slipway.lock", "slipway.heartbeat"

#: On a run of a process that was killed: who ended it, and why.
ENDED = "slipway.ended"

#: On a model's experiment: what the last poll of its source returned.
LAST_SEEN = "slipway.watched"

#: MLflow's own: the Markdown of a run's page, who logged, and which files its page shows as tables.
NOTE, SOURCE_NAME = "mlflow.note.content", "mlflow.source.name"
TABLES = "mlflow.loggedArtifacts"
