"""What each part is started with."""

from configparser import ConfigParser
from pathlib import Path

import pytest

from deployments import services
from slipway.errors import CatalogueInvalid
from slipway.settings import Settings

PASSWORD = "a-long-100%-password"  # noqa: S105 - of a test


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return settings of a machine with a password and a token."""
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL", "SLIPWAY_MLFLOW_WEBHOOK_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    monkeypatch.setenv("SLIPWAY_AUTH", f"operator:{PASSWORD}")
    monkeypatch.setenv("HF_TOKEN", "hf_abc")
    return Settings()


def test_every_part_listens_on_loopback(settings: Settings) -> None:
    """Unless an address says otherwise, nobody from outside comes in."""
    everything = (*services.servers(settings), *services.workers(settings))

    assert len(everything) == 5
    assert all(part.url.startswith("http://127.0.0.1:") for part in everything)
    assert all(part.health.startswith(part.url) for part in everything)


def test_the_model_server_sees_no_secret_but_mlflows_password(settings: Settings) -> None:
    """It runs what others made, and needs the registry alone."""
    server = services.service_environment(services.model_server(settings), settings)
    worker = services.service_environment(services.worker(settings), settings)

    hidden = {"HF_TOKEN", "PREFECT_API_AUTH_STRING"}
    assert hidden & set(server) == set()
    assert hidden <= set(worker)
    assert "SLIPWAY_AUTH" not in server.keys() | worker.keys()
    assert server["MLFLOW_TRACKING_PASSWORD"] == PASSWORD


def test_no_setting_is_taken_for_a_secret(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A longest answer in tokens is no token."""
    monkeypatch.setenv("SLIPWAY_SERVING_MAX_TOKENS", "64")

    server = services.service_environment(services.model_server(settings), settings)

    assert server["SLIPWAY_SERVING_MAX_TOKENS"] == "64"


def test_a_databases_password_is_on_no_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any user of the machine may read those; the server alone finds it in its environment."""
    address = "postgresql://ann:a-password@127.0.0.1/mlflow"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    settings = Settings()

    server, worker = services.mlflow_server(settings), services.worker(settings)

    assert "a-password" not in " ".join(server.command)
    assert services.service_environment(server, settings)["MLFLOW_BACKEND_STORE_URI"] == address
    assert "a-password" not in str(services.service_environment(worker, settings))


def test_mlflow_reads_the_password_as_it_is(settings: Settings) -> None:
    """A percent sign means something to the format of its file."""
    variables = services.mlflow_server(settings).variables
    services.prepare(settings)

    file = ConfigParser()
    file.read(variables["MLFLOW_AUTH_CONFIG_PATH"])
    assert file["mlflow"]["admin_username"] == "operator"
    assert file["mlflow"]["admin_password"] == PASSWORD
    assert file["mlflow"]["default_permission"] == "NO_PERMISSIONS"


def test_looking_at_a_part_leaves_its_password_as_it_is(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A doctor with a wrong password must not write that one for MLflow to read."""
    services.prepare(settings)
    monkeypatch.setenv("SLIPWAY_AUTH", "operator:another-long-password")

    path = services.mlflow_server(Settings()).variables["MLFLOW_AUTH_CONFIG_PATH"]

    assert "another-long-password" not in Path(path).read_text(encoding="utf-8")


def test_no_part_shows_its_secrets(settings: Settings) -> None:
    """Not where it is printed, nor on its command line, which any user may read."""
    everything = (*services.servers(settings), *services.workers(settings))

    assert not any("password" in repr(part).lower() for part in everything)


@pytest.mark.parametrize("auth", ["operator", "operator:short", ":a-long-enough-password"])
def test_a_password_has_a_user_and_a_length(auth: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What MLflow would refuse when it starts is refused before, in one line."""
    monkeypatch.setenv("SLIPWAY_AUTH", auth)

    with pytest.raises(CatalogueInvalid, match=r"SLIPWAY_AUTH: .*expected user:password"):
        Settings()
