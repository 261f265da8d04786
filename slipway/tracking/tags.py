"""Names of the tags that Slipway writes to MLflow: each name stands here and nowhere else."""

#: Names of the tags by which releases are found again.
KEY, WRAPPER = "slipway.key", "slipway.wrapper"

#: Tag of a model's experiment that remembers what the last look at its source saw.
LAST_SEEN = "slipway.watched"

#: Names of the tags that say what a version's bytes are: the artifact's digest, as
#: ``keys.manifest_digest`` counts it, and the SHA-256 of the wrapper's code and of ``MLmodel``.
DIGEST, CODE, MLMODEL = "slipway.digest", "slipway.code_sha256", "slipway.mlmodel_sha256"

STATUS, RELEASE = "slipway.status", "slipway.release"

#: Why nothing promotes this version again, until a person lifts it.
QUARANTINED = "slipway.quarantined"

#: ``pending``, ``approved`` or ``rejected``: a person may set it in the MLflow UI.
APPROVAL = "slipway.approval"

#: By whom it was approved or rejected; set when that was carried out.
DECIDED = "slipway.decided"

#: The Prefect run whose form waits for the answer.
APPROVAL_RUN = "slipway.approval_run"

#: ``pending`` until the event that tells of the move was sent.
PENDING_EVENT = "slipway.announce"

PARENT, CANDIDATE, VERDICT, REASONS = (
    "mlflow.parentRunId",
    "slipway.candidate",
    "slipway.verdict",
    "slipway.reasons",
)
