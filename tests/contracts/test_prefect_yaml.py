"""prefect.yaml says what it seems to say: Prefect itself takes unknown keys in silence."""

import importlib
from typing import Any

import pytest
import yaml
from line import PROJECT

DOCUMENT = yaml.safe_load((PROJECT / "prefect.yaml").read_text(encoding="utf-8"))
DEPLOYMENTS = DOCUMENT["deployments"]

TOP = {"name", "pull", "definitions", "deployments"}
DEPLOYMENT = {
    "name",
    "entrypoint",
    "description",
    "tags",
    "parameters",
    "concurrency_limit",
    "work_pool",
    "schedules",
    "triggers",
}


def flow_of(deployment: dict[str, Any]) -> Any:
    """Import what the deployment's entrypoint names."""
    module, name = deployment["entrypoint"].split(":")
    return getattr(importlib.import_module(module), name)


def test_it_has_no_unknown_key() -> None:
    """A misspelt limit would be no limit."""
    assert set(DOCUMENT) <= TOP
    assert [set(deployment) - DEPLOYMENT for deployment in DEPLOYMENTS] == [set()] * len(
        DEPLOYMENTS
    )


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda each: each["name"])
def test_an_entrypoint_is_a_flow_that_takes_the_parameters(deployment: dict[str, Any]) -> None:
    """Named by module, since a file's path would put flows/ first on sys.path."""
    flow = flow_of(deployment)

    assert flow.name == deployment["name"]
    assert set(deployment["parameters"]) <= set(flow.parameters.properties)
    if not set(flow.parameters.required or ()) - set(deployment["parameters"]):
        assert flow.validate_parameters(deployment["parameters"])


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda each: each["name"])
def test_a_limit_says_what_happens_to_the_next_run(deployment: dict[str, Any]) -> None:
    """Waiting and being cancelled are very different answers to pressing Run twice."""
    limit = deployment["concurrency_limit"]

    assert limit["limit"] >= 1
    assert limit["collision_strategy"] in {"ENQUEUE", "CANCEL_NEW"}
