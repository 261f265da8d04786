"""A release from a person's approval to the next person's second thoughts, on the whole line."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.objects import FlowRun

from commands.main import run
from flows.approve_model import approve_model
from flows.reconcile import reconcile
from tests.support.fake_registry import FakeRegistry
from tests.support.project import Project

pytestmark = pytest.mark.slow  # seven flow runs with a real server


@contextmanager
def forms_of_approve_model() -> Iterator[Callable[[], list[FlowRun]]]:
    """Deploy approve-model for a while; the function returns the runs that were started of it."""
    identity = approve_model.to_deployment("approve-model").apply()
    started = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[identity]))
    with get_client(sync_client=True) as client:
        yield lambda: client.read_flow_runs(flow_run_filter=started)
        client._client.delete(f"/deployments/{identity}")


def test_one_release_from_approval_to_rollback_to_lift(released_project: Project) -> None:
    """It waits, serves, fails, is refused to every run, comes back, and is made once more."""
    from flows.release_model import release_model

    project = released_project
    project.edit('suite = "brief"', 'suite = "brief"\napproval = "manual"')
    project.limit("answered_prompts = { min = 3 }")
    fake_registry = FakeRegistry(project.registry(), project.folder / "files")

    first = release_model("tiny")
    with forms_of_approve_model() as opened:  # deployed since: the form is opened late, and once
        reconcile()
        assert [each.parameters for each in opened()] == [{"model": "tiny", "version": 2}]
        again, once_more = release_model("tiny"), release_model("tiny")
        assert [each.parameters for each in opened()] == [{"model": "tiny", "version": 2}]
    assert (first.waiting, again.waiting, again.existed) == (True, True, True)
    assert once_more == again
    assert fake_registry.registry.champion("tiny") == 1

    assert run(["approve", "tiny", "--reason", "read and good"]) == 0
    assert release_model("tiny").waiting is False
    assert fake_registry.registry.champion("tiny") == 2

    assert run(["rollback", "tiny", "--reason", "it answers in verse"]) == 0
    before = fake_registry.aliases()
    kept = release_model("tiny")
    assert kept.verdict.kind == "rejected"
    assert "it answers in verse" in kept.verdict.reasons[0]
    assert run(["release", "tiny"]) == 3
    assert run(["release", "tiny", "--force"]) == 3
    assert fake_registry.aliases() == before

    lifting = ["release", "tiny", "--lift-quarantine"]
    assert run(lifting) == 2
    assert run([*lifting, "--reason", "it was the prompt"]) == 0
    assert fake_registry.aliases()[0] == {"candidate": 2, "champion": 2, "previous": 1}
    assert [each.kind for each in fake_registry.registry.history("tiny")] == [
        "promotion",
        "promotion",
        "rollback",
        "promotion",
    ]

    repeated = release_model("tiny", force=True)
    assert (repeated.existed, repeated.waiting, repeated.versions.onnx.version) == (False, True, 3)
