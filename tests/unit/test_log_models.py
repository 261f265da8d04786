"""What MLflow refuses while a release is logged: a retry helps, or it does not."""

from typing import Any

import pytest
from mlflow.entities import LoggedModelOutput
from mlflow.exceptions import MlflowException, RestException

from slipway.errors import Unreachable
from slipway.tracking import log_models
from slipway.tracking.location import experiment_id
from tests.support.fake_registry import FakeRegistry, new_registry


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> FakeRegistry:
    """Return a registry with a database of its own."""
    folder = tmp_path_factory.mktemp("registry")
    return FakeRegistry(new_registry(folder), folder / "files")


@pytest.fixture(scope="module")
def twice(fake: FakeRegistry) -> str:
    """Return the code with which MLflow refuses a model that is the output of a run already."""
    client = fake.registry.client
    experiment = experiment_id(client, fake.model, fake.registry.location)
    run_id = client.create_run(experiment).info.run_id
    output = LoggedModelOutput(client.create_logged_model(experiment).model_id, 0)
    client.log_outputs(run_id, [output])
    with pytest.raises(MlflowException) as refused:
        client.log_outputs(run_id, [output])
    return str(refused.value.error_code)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("TEMPORARILY_UNAVAILABLE", Unreachable),
        ("INTERNAL_ERROR", Unreachable),
        ("REQUEST_LIMIT_EXCEEDED", Unreachable),
        ("twice", Unreachable),
        ("PERMISSION_DENIED", RestException),
        ("INVALID_PARAMETER_VALUE", RestException),
        ("RESOURCE_DOES_NOT_EXIST", RestException),
    ],
)
def test_only_what_a_retry_can_help_counts_as_unreachable(
    fake: FakeRegistry,
    twice: str,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    error: type[Exception],
) -> None:
    """From the first request on; with what MLflow said."""

    def refuse(*_: Any) -> str:
        said = {"error_code": twice if code == "twice" else code, "message": "the reason"}
        raise RestException(said)

    monkeypatch.setattr(log_models, "experiment_id", refuse)

    with pytest.raises(error, match="the reason") as raised:
        log_models.log(fake.request(code))

    assert getattr(raised.value, "retryable", False) is (error is Unreachable)
