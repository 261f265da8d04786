"""A bundle becomes logged models and a run of the registry that it goes to: the same bytes."""

import re
from pathlib import Path
from typing import Any

from slipway.system.failpoints import failpoint
from slipway.system.store import manifest, sha256
from slipway.tracking import release_record
from slipway.tracking.bundle import RUN, Bundle
from slipway.tracking.heartbeat import beating
from slipway.tracking.lease import create_run
from slipway.tracking.location import MlflowLocation, connect, experiment_id
from slipway.tracking.log_models import Logged, Registrable
from slipway.tracking.tags import KEY, LEASE, NOTE, PROMOTED_FROM, SOURCE_NAME, WRAPPER
from slipway.tracking.verified_copy import PAYLOAD, payload_digest
from slipway.values import WRAPPER_KINDS, WrapperKind


class BundleRequest(Registrable):
    """A release that another registry had.

    Attributes:
        bundle: Its files.
    """

    bundle: Bundle

    @classmethod
    def of(cls, bundle: Bundle, title: str, location: MlflowLocation) -> "BundleRequest":
        """Return what to log of a bundle at ``location``."""
        return cls(
            location=location,
            key=bundle.record.key,
            model=bundle.record.model,
            title=title,
            contract=bundle.run.contract,
            tags=bundle.origin.to_tags() | {PROMOTED_FROM: bundle.comes_from},
            bundle=bundle,
        )

    def size_bytes(self, kind: WrapperKind) -> int:
        """Return the size of the artifact or of the weights."""
        below = self.bundle.folder / kind / PAYLOAD[kind][0]
        return sum(path.stat().st_size for path in below.rglob("*") if path.is_file())

    def difference(self, folder: Path, kind: WrapperKind) -> str | None:
        """Return the first file of a copy that is not the bundle's; None if all are."""
        bundled, found = manifest(self.bundle.folder / kind), manifest(folder)
        known = {file.path: file.sha256 for file in bundled}
        for file in found:
            if known.get(file.path) != file.sha256:
                return f"{file.path} differs"
        same = payload_digest(kind, found) == payload_digest(kind, bundled)
        return None if same else "a file is missing"


def log(request: BundleRequest) -> Logged:
    """Return a new run with the bundle's report, and both wrappers logged in it."""
    client, run = connect(request.location), request.bundle.run
    experiment = experiment_id(client, request.model, request.location)
    failpoint("land.before-run")
    tags = run.tags | request.tags | {KEY: request.key, SOURCE_NAME: "slipway"}
    run_id = create_run(client, experiment, request.lease, run.name, tags)
    failpoint("land.after-run")
    try:
        with beating(client, run_id):
            _write_run(client, run_id, request)
            failpoint("land.after-report")
            ids = {
                kind: _log_wrapper(client, experiment, run_id, kind, request)
                for kind in WRAPPER_KINDS
            }
    except Exception:
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id, "FINISHED")
    failpoint("land.after-end")
    return _logged(run_id, ids, request.bundle.folder)


def description(bundle: Bundle, run_id: str, location: MlflowLocation) -> str:
    """Return the Markdown for the version's page, whose links lead to the run ``run_id``."""
    return _description(bundle, connect(location).get_run(run_id))


def _description(bundle: Bundle, run: Any) -> str:
    there = re.escape(bundle.record.mlflow_run)
    here = f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    return re.sub(rf"#/experiments/\w+/runs/{there}", here, bundle.run.description)


def _write_run(client: Any, run_id: str, request: BundleRequest) -> None:
    from mlflow.entities import Metric, Param, RunTag

    run, here = request.bundle.run, client.get_run(run_id)
    at_ms = here.info.start_time
    client.log_batch(
        run_id,
        metrics=[Metric(name, value, at_ms, 0) for name, value in run.metrics.items()],
        params=[Param(name, value) for name, value in run.params.items()],
        tags=[RunTag(NOTE, _description(request.bundle, here))],
    )
    client.log_artifacts(run_id, str(request.bundle.folder / RUN))


def _log_wrapper(
    client: Any, experiment: str, run_id: str, kind: WrapperKind, request: BundleRequest
) -> str:
    """Return the id of one wrapper, logged byte by byte as it was."""
    failpoint("land.before-wrapper")
    lease = {LEASE: request.lease.id}
    logged = client.create_logged_model(experiment, kind, source_run_id=run_id, tags=lease)
    failpoint("land.after-model")
    client.log_model_artifacts(logged.model_id, str(request.bundle.folder / kind))
    failpoint("land.after-files")
    client.finalize_logged_model(logged.model_id, "READY")
    failpoint("land.after-ready")
    tags = {KEY: request.key, WRAPPER: kind, SOURCE_NAME: "slipway"}
    client.set_logged_model_tags(logged.model_id, tags)
    return str(logged.model_id)


def _logged(run_id: str, ids: dict[WrapperKind, str], folder: Path) -> Logged:
    signed = {kind: folder / kind / release_record.SIGNATURE_FILE for kind in ids}
    return Logged(
        run_id=run_id,
        model_ids=ids,
        descriptions={kind: sha256(folder / kind / "MLmodel") for kind in ids},
        digests={kind: payload_digest(kind, manifest(folder / kind)) for kind in ids},
        signatures={kind: sha256(file) for kind, file in signed.items() if file.is_file()},
    )
