"""Flow runs are started, which outlive whoever started them."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentFlowRunCreate
from prefect.client.schemas.objects import FlowRun
from prefect.states import Scheduled, to_state_create


def start_run(
    deployment: str,
    parameters: Mapping[str, Any],
    idempotency_key: str,
    tags: Iterable[str] = (),
    at: datetime | None = None,
) -> FlowRun:
    """Return the run of ``deployment`` with this key, started unless it was before.

    The deployment's schema names the models that the catalogue had when it was deployed, and the
    UI's forms enforce it. Here it is not enforced, so that a model that was added since can be
    released: the flow validates its parameters itself. Prefect's client does not offer that, its
    API does.

    Args:
        deployment: As ``flow/deployment``.
        parameters: Of the flow.
        idempotency_key: A second call with the same key returns the same run.
        tags: Of the run, beside the deployment's.
        at: When it begins; None for now.

    Raises:
        ObjectNotFound: If there is no such deployment.
    """
    wanted = DeploymentFlowRunCreate(
        parameters=dict(parameters),
        idempotency_key=idempotency_key,
        tags=list(tags),
        enforce_parameter_schema=False,
    )
    if at is not None:
        wanted.state = to_state_create(Scheduled(scheduled_time=at))
    with get_client(sync_client=True) as client:
        response = client.request(
            "POST",
            "/deployments/{id}/create_flow_run",
            path_params={"id": client.read_deployment_by_name(deployment).id},
            json=wanted.model_dump(mode="json", exclude_unset=True),
        )
    return FlowRun.model_validate(response.json())


def has_ended(run: FlowRun) -> bool:
    """Return whether nothing more comes of a run: it is completed, or has failed or crashed."""
    return run.state is not None and run.state.is_final()
